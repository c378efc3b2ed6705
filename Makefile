# make demo    set everything up and run examples/quickstart.yaml
# make test    set everything up and run all tests, as CI does
# make check   lint, types and import rules; make fix repairs what a tool can repair
#
# Longer than CI has time for; docs/testing.md records when each last ran and what it showed:
# make e2e     the tests on a real node alone (Linux, root)
# make faults  kills, disturbances and bad environments, every case at its full count (Linux, root)
# make matrix  property tests with many examples, the chart under Helm 3 and 4, and base models of many families through
#              training and merge into transformers 5, 4.57 and vLLM
# make real    a whole run on a real base model, which comes as a Python package: MODEL=gemma or smollm2, SEED=1
# make bench   benchmarks/, each beside a named peer
#
# make lock    resolve the locks again; make release VERSION=x.y.z REGISTRY=host/path (docs/releasing.md)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
export UV_PYTHON_DOWNLOADS := never

.PHONY: setup demo test e2e faults matrix real bench check fix lock release clean

setup: $(READY)

$(READY): requirements.lock requirements.bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 13) else f"SelfAlign needs Python 3.11 or 3.12, {sys.executable} is {v[0]}.{v[1]}: run make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.bootstrap.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)
	$(BIN)/selfalign run examples/quickstart.yaml

# End-to-end tests mostly wait for pods and images, the others mostly compute: side by side they take less time on two
# cores than one after the other. Their log follows when both have ended. TESTS="tests/operator -k name" runs those alone.
OTHERS := tests/operator tests/stages tests/gitops tests/cluster tests/test_layout.py
test: $(READY)
ifdef TESTS
	$(BIN)/python -m pytest $(TESTS)
else
	@$(BIN)/python -m pytest tests/e2e > end-to-end.log 2>&1 & e2e=$$!; \
	$(BIN)/python -m pytest $(OTHERS); others=$$?; \
	test $$others = 0 || test -n "$$CI" || kill $$e2e; \
	echo "waiting for the end-to-end tests: tail -f end-to-end.log"; \
	wait $$e2e; ended=$$?; cat end-to-end.log; test $$others = 0 && test $$ended = 0
endif

e2e: $(READY)
	$(BIN)/python -m pytest tests/e2e/cluster

faults: $(READY)
	SELFALIGN_TESTS=full $(BIN)/python -m pytest tests/e2e tests/cluster/test_crashes.py tests/cluster/test_operator.py

FORMER := $(HOME)/.cache/selfalign/transformers-4.57
matrix: $(READY)
	SELFALIGN_TESTS=full $(BIN)/python -m pytest tests/operator tests/stages tests/cluster/test_chart.py tests/cluster/test_schema.py
	$(BIN)/uv pip install --quiet --target $(FORMER) --no-deps --require-hashes -r requirements.matrix.txt
	PYTHONPATH=. $(BIN)/python -W ignore -m tests.matrix.table

REAL := $(HOME)/.cache/selfalign/real/packages
real: $(READY)
	$(BIN)/uv pip install --quiet --target $(REAL) --no-deps --require-hashes -r requirements.real.txt
	PYTHONPATH=$(REAL) SELFALIGN_REAL_PACKAGES=$(REAL) $(BIN)/python -m pytest tests/real
	PYTHONPATH=$(REAL) SELFALIGN_REAL_PACKAGES=$(REAL) $(BIN)/python -m tests.real.run --model $(or $(MODEL),gemma) --seed $(or $(SEED),1)

bench: $(READY)
	$(BIN)/python benchmarks/dedup.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/neighbours.py
	PYTHONPATH=.:operator:stages $(BIN)/python benchmarks/storage.py
	PYTHONPATH=.:operator:stages $(BIN)/python benchmarks/training_loss.py

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet \
	--python-platform x86_64-manylinux_2_28 --python-version 3.11
IMAGE_LOCK := $(COMPILE) pyproject.toml --override requirements.overrides.txt --constraint

lock: $(READY)
	$(COMPILE) pyproject.toml --extra cli --extra operator --extra stages --extra generate-cpu --extra train --group dev \
		--override requirements.overrides.txt --output-file requirements.lock
	printf 'uv\nhatchling\neditables\n' | $(COMPILE) - --output-file requirements.bootstrap.txt
	$(IMAGE_LOCK) requirements.lock --extra operator --output-file images/locks/operator.txt
	$(IMAGE_LOCK) requirements.lock --extra stages --output-file images/locks/cpu.txt
	$(IMAGE_LOCK) requirements.lock --extra stages --extra train --output-file images/locks/train.txt
	$(IMAGE_LOCK) images/locks/train.txt --extra stages --extra train --extra generate --output-file images/locks/generate.txt
	$(IMAGE_LOCK) requirements.lock --extra stages --extra train --extra generate-cpu --output-file images/locks/generate-cpu.txt

IMAGES := operator stage-cpu stage-train stage-generate server
release: $(READY) check
	test -n "$(VERSION)" && test -n "$(REGISTRY)"
	test -z "$$(git status --porcelain)" && git describe --exact-match --tags HEAD | grep -qx "v$(VERSION)"
	$(BIN)/python -m pytest tests/operator/test_chart_values.py tests/test_layout.py
	docker build -t $(REGISTRY)/operator:$(VERSION) .
	for target in cpu train generate; do \
		docker build -f images/Dockerfile --target $$target -t $(REGISTRY)/stage-$$target:$(VERSION) . || exit 1; done
	docker build -f images/Dockerfile --target serve -t $(REGISTRY)/server:$(VERSION) .
	for image in $(IMAGES); do docker push $(REGISTRY)/$$image:$(VERSION) || exit 1; done
	mkdir -p dist && helm lint charts/selfalign-operator
	helm package charts/selfalign-operator --version $(VERSION) --app-version $(VERSION) --destination dist
	helm push dist/selfalign-operator-$(VERSION).tgz oci://$(REGISTRY)/charts
	$(BIN)/uv build --wheel --no-build-isolation --python $(BIN)/python --out-dir dist

clean:
	rm -rf $(VENV) .selfalign

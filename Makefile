# make demo   set everything up and run examples/quickstart.yaml
# make test   set everything up and run all tests
# make e2e    set everything up and run the quickstart and more on a real cluster (Linux, root)
# make check  lint, types, import rules; make fix mends what a tool can mend

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
export UV_PYTHON_DOWNLOADS := never

.PHONY: setup demo test e2e check fix lock clean

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

test: $(READY)
	$(BIN)/python -m pytest $(TESTS)

e2e: $(READY)
	$(BIN)/python -m pytest tests/e2e/cluster

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

clean:
	rm -rf $(VENV) .selfalign

# The operator. Build from the repository's root:
#   docker build -t REGISTRY/operator .
# BASE needs python3 3.11 with venv. Behind a proxy with its own certificates, mount /etc/pip.conf, /etc/uv/uv.toml and
# /etc/ssl/certs into the build.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV UV_LINK_MODE=copy UV_CACHE_DIR=/build/wheels
COPY requirements.bootstrap.txt /build/
RUN python3 -m venv /build/tools && /build/tools/bin/pip install --quiet --require-hashes -r /build/requirements.bootstrap.txt
COPY images/locks/operator.txt /build/
RUN --mount=type=cache,target=/build/wheels \
    /build/tools/bin/uv venv --quiet --python "$(command -v python3)" /opt/selfalign \
    && /build/tools/bin/uv pip install --python /opt/selfalign/bin/python --no-deps --require-hashes --compile-bytecode \
        -r /build/operator.txt
COPY pyproject.toml README.md LICENSE NOTICE /build/source/
COPY operator /build/source/operator
COPY stages /build/source/stages
RUN /build/tools/bin/uv build --quiet --wheel --no-build-isolation --python /build/tools/bin/python -o /build /build/source \
    && /build/tools/bin/uv pip install --python /opt/selfalign/bin/python --no-deps --compile-bytecode /build/*.whl

FROM ${BASE}
COPY --from=build /opt/selfalign /opt/selfalign
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["/opt/selfalign/bin/python", "-m", "selfalign_operator.cluster.main"]

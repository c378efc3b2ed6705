# Installs a lock into /opt/selfalign; the installer itself leaves no trace in the layer.
set -eu
cd "$(dirname "$0")"
python3 -m venv /tmp/tools
/tmp/tools/bin/pip install --quiet --no-cache-dir --require-hashes -r requirements.bootstrap.txt
export UV_LINK_MODE=copy UV_CACHE_DIR=/build/wheels
[ -d /opt/selfalign ] || /tmp/tools/bin/uv venv --quiet --python "$(command -v python3)" /opt/selfalign
/tmp/tools/bin/uv pip install --quiet --python /opt/selfalign/bin/python --no-deps --require-hashes --compile-bytecode -r "$1"
rm -rf /tmp/tools

#!/bin/sh
# Puts the newest DuckDB below .tools/duckdb-newest, beside the one that uv.lock has: with that folder in PYTHONPATH the
# same environment runs under it. What is there already stays where no registry can be reached.
set -eu
cd -- "$(dirname -- "$0")/.."
target=.tools/duckdb-newest
# --no-config: the project itself keeps to an older release.
if ! .venv/bin/uv pip install --no-config --quiet --python .venv/bin/python --target "$target" --upgrade 'duckdb>=2,<3'; then
    [ -d "$target/duckdb" ] || exit 1
    echo "No registry can be reached; this is the DuckDB that was fetched before." >&2
fi
PYTHONPATH=$target .venv/bin/python -c 'import duckdb; print("duckdb", duckdb.__version__)'

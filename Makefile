# `make demo` and `make test` need a POSIX shell, make, and either uv or any Python >= 3.8 with pip.
# Everything else is put below this folder by scripts/bootstrap.sh (PYTHON=/path/to/python has the first word there).

RUN = .venv/bin/
ARGS =
# More than there are cores, because tests wait for gateways, folds and clients. Each worker starts a local world of its own;
# more than a few of them help nobody.
WORKERS = -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 4) --maxprocesses 6 --dist loadfile --no-loadscope-reorder
# Of the recording and the archive, what is not about DuckDB files (of the recorder's only the fold makes one, which has
# tests of its own; what is joined with what is the batches' subject too), or needs a gateway, or a kill at each step, to get
# one.
NO_DUCKDB = chain decoding encoding heads interrupted joining journal layout logging_filter observing owners preparing pressing recorder redaction signing \
	spool stores unfolded *through_a_gateway
# uv trusts what the system trusts, also when the tests or the demo start it.
UV_SYSTEM_CERTS ?= 1
export UV_SYSTEM_CERTS
# Images of Python often say that no bytecode is kept. Then each of the thousands of programs that the tests start would
# compile all that it imports of ours, and each of their processes all tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-all test-duckdb test-clients test-live collect lint format bench clean distclean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: ## make or refresh .venv (fast when nothing has changed)
	@sh scripts/bootstrap.sh

demo: setup ## a scripted agent, a recording, a replay and a diff, all on this machine
	@$(RUN)hoop-mitm demo $(ARGS)

test: setup ## the tests that need no real Google project (ARGS="-k name" for some of them)
	@$(RUN)python -m pytest $(WORKERS) --ignore tests/live -m "not exhaustive" $(ARGS)

test-all: setup ## these, and more cases of the same kinds: for a machine with time
	@$(RUN)python -m pytest $(WORKERS) --ignore tests/live $(ARGS)

test-duckdb: setup ## the recording and the archive under the newest DuckDB, too
	@sh scripts/newest-duckdb.sh
	@PYTHONPATH=$(CURDIR)/.tools/duckdb-newest $(RUN)python -m pytest $(WORKERS) \
		$(NO_DUCKDB:%=--ignore-glob="*/test_%.py") --ignore-glob="*/comparing/*" \
		-m "not exhaustive and not long" tests/recording tests/archive $(ARGS)

test-clients: setup ## only the real, unmodified clients through the running gateway
	@$(RUN)python -m pytest $(WORKERS) tests/clients $(ARGS)

test-live: setup ## the Python clients against a real Google project (HOOP_LIVE_PROJECT; see CONTRIBUTING.md)
	@HOOP_LIVE=1 $(RUN)python -m pytest -rs tests/live $(ARGS)

collect: setup ## find all tests, and so compile them, once for all the processes that run them
	@found=$$($(RUN)python -m pytest --collect-only -qq 2>&1) || { echo "$$found"; exit 1; }

lint: setup ## ruff and mypy
	@$(RUN)ruff check .
	@$(RUN)ruff format --check .
	@$(RUN)mypy

format: setup ## let ruff fix and format
	@$(RUN)ruff check --fix .
	@$(RUN)ruff format .

bench: setup ## the benchmarks, as ratios against named baselines
	@$(RUN)python -m benchmarks $(ARGS)

clean: ## remove what tests and tools leave behind, keep .venv and recordings
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis dist sandbox
	find . -name __pycache__ -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +

distclean: clean ## also remove .venv, .tools and .cache; recordings and keys stay
	rm -rf .venv .tools .cache

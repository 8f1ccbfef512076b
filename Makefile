# `make up` runs the board, `make test` passes the tests; both make the virtual environment if need be.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: up test test-sqlite test-postgres test-fast faults lint bench css css-check screenshots clean

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

# What `make test` breaks a little is broken often here, on both databases but for dropped packets, and a kernel is
# compiled; some twenty minutes.
faults: $(VENV)/.dev
	BUILDBOARD_FAULTS=whole $(BIN)/python -m pytest tests/faults tests/whole tests/test_durability.py tests/test_dispatchers.py $(ARGS)
	BUILDBOARD_FAULTS=whole $(BIN)/python -m tests.on_postgres tests/faults tests/test_durability.py tests/test_dispatchers.py $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

# Needs Node 20 or newer; users never do.
CSS_TOOLS := tailwindcss@4.3.5 @tailwindcss/cli@4.3.5 daisyui@5.8.1

css: node_modules/.css-tools
	node_modules/.bin/tailwindcss -i static/src/app.css -o static/app.css --minify

# Whether static/app.css is what the templates give, byte for byte; the tools are fetched if they can be.
css-check: node_modules/.css-tools
	@node_modules/.bin/tailwindcss -i static/src/app.css -o node_modules/app.css --minify 2>/dev/null
	@cmp node_modules/app.css static/app.css || { echo 'static/app.css is not what the templates give: make css'; exit 1; }

node_modules/.css-tools: Makefile
	npm install --no-save --no-package-lock --no-audit --no-fund --silent --fetch-retries 1 $(CSS_TOOLS)
	@touch $@

# A picture of every page, 1280 and 390 px wide, light and dark, into docs/screenshots: ARGS="FOLDER PAGE ...".
screenshots: $(VENV)/.dev
	$(BIN)/python -m tests.screenshots $(ARGS)

clean:
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache

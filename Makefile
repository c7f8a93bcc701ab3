# Two commands matter: `make run` and `make test`. Each makes its own environment and needs only Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test check format demo bench browser mlflow clean

help:  ## list what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(VENV)/run.ok: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mlpipe needs Python 3.11 or newer; name one: make run PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/test.ok: requirements-test.txt $(VENV)/run.ok
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@

run: $(VENV)/run.ok  ## start mlpipe on ports 8001, 8002 and 8050, SQLite in this folder
	$(BIN)/gunicorn wsgi:app

demo: $(VENV)/run.ok  ## a year of real flights in three minutes
	$(BIN)/python demo.py

test: $(VENV)/test.ok browser mlflow  ## run all tests, on SQLite and on PostgreSQL
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered

browser:
	@command -v chromium >/dev/null || (echo "The browser tests need Chromium: apt-get install chromium" && exit 1)

mlflow: $(VENV)/test.ok
	$(BIN)/python -m tests.mlflow.environment

check: $(VENV)/test.ok  ## format, lint, types, import contracts, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config importlinter.ini
	$(BIN)/python -m pytest -q tests/docs

format: $(VENV)/test.ok  ## rewrite the code in its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/test.ok  ## measure what benchmarks/README.md states
	$(BIN)/python benchmarks/forest_kernel.py
	$(BIN)/python benchmarks/predict_http.py
	$(BIN)/python benchmarks/drift_rule.py
	$(BIN)/python benchmarks/quiet_days.py --days 3

clean:  ## remove the environment and caches, no data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

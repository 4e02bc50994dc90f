# Two commands: `make serve` and `make test`. The rest is for those who work on the project.
PYTHON ?= $(shell command -v python3.12 || command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet install

.DEFAULT_GOAL := help
.PHONY: help serve test lint models worker bench-chat bench-local docs clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

serve: .venv/ready models/smollm2-135m-instruct  ## Install what is missing and serve on http://127.0.0.1:8000
	@exec $(BIN)/gunicorn wsgi:app

test: .venv/ready-dev  ## Run every test: no key, no Docker, no server needed
	@$(BIN)/python -m pytest

lint: .venv/ready-dev  ## Check style, types and the direction of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

models: .venv/ready  ## Pull the whole starter set of models
	@$(BIN)/flask --app wsgi models pull starter

models/smollm2-135m-instruct: | .venv/ready
	@$(BIN)/flask --app wsgi models pull smollm2-135m-instruct

docs: .venv/ready  ## Write .env.example and README's route tables from the code
	@$(BIN)/flask --app wsgi documents write

.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing requirements into .venv"
	@$(PIP) -r requirements.txt
	@touch $@

.venv/ready-dev: requirements-dev.txt .venv/ready
	@echo "Installing what tests need into .venv"
	@$(PIP) -r requirements-dev.txt
	@touch $@

clean:  ## Remove the virtual environment and caches; data, models and the database stay
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

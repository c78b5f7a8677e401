# Every target works from a bare checkout: the environment in .venv is made when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types bench bench-penalised docs clean

demo: $(VENV)/.stamp-demo
	@$(BIN)/etamu demo

test: $(VENV)/.stamp-dev
	@$(BIN)/python -m pytest -n 2 -q

lint: $(VENV)/.stamp-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.stamp-bench
	@$(BIN)/python benchmarks/run.py
	@$(BIN)/python benchmarks/tables.py
	@$(BIN)/python benchmarks/stream.py 20e6

# beside glmnet (R), adelie, celer, skglm, glum and scikit-learn, which get an environment of their own (half an hour)
bench-penalised: $(VENV)/.stamp-bench
	@$(BIN)/python benchmarks/penalised.py

docs: $(VENV)/.stamp-docs
	@$(BIN)/sphinx-build -q -W -b html docs docs/_build

clean:
	rm -rf build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

SOURCES := pyproject.toml CMakeLists.txt $(shell find src -name '*.py' -o -name '*.cpp' -o -name '*.hpp')

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("etamu needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-demo: $(VENV)/bin/python $(SOURCES)
	@echo "installing etamu into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check '.[cli]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/bin/python $(SOURCES) requirements/dev.txt
	@echo "installing etamu and its development set into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check '.[cli]'
	@touch $@ $(VENV)/.stamp-demo

$(VENV)/.stamp-bench: $(VENV)/.stamp-dev requirements/bench.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/bench.txt
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-dev requirements/docs.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/docs.txt
	@touch $@

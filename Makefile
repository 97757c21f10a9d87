# Every habit of the project by name; `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# What installs packages; "uv pip" does in seconds what takes pip a minute.
PIP    ?= $(BIN)/pip
export PIP
# How many processes share the tests; most tests wait more than they compute.
JOBS   ?= 4
# In the order of conftest.py, whose last files are short: whoever is done early finds something to do until the end.
SHARED  = --dist loadfile --no-loadscope-reorder
CONSTRAIN = -c constraints.txt
PACKAGES  = ./remote_kernel_provider ./docker_kernel_provider ./kubernetes_kernel_provider ./launchers[python]
LAB       = remote_kernel_provider/labextension
LAB_FILES = $(LAB)/package.json $(LAB)/webpack.config.js $(shell find $(LAB)/schema $(LAB)/src $(LAB)/style -type f)
LINT_LAB  = $(if $(shell command -v npm),lint-lab)

# Thousands of programs are started here: each would compile all of ours anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo lab test test-all test-fast test-pythons conformance cluster cluster-down engine engine-down lint lint-lab format bench docs clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Run a notebook with a plot on a local kernel, from nothing but Python and make
	@mkdir -p demo-output
	$(BIN)/jupyter remote-kernel run examples/sine.ipynb --kernel local/python3 --verbose --output demo-output/sine.ipynb

lab: $(VENV)/.lab  ## Start JupyterLab with a kernel of the local provider in its launcher
	$(BIN)/jupyter local-kernelspec install --sys-prefix --replace
	$(BIN)/jupyter lab

test: $(VENV)/.test  ## Run everything that this machine allows
	$(MAKE) --no-print-directory --jobs=3 --output-sync=target test-all lint test-pythons

# The plus sign has make show its output as it comes, though others run at the same time; theirs follows.
test-all: $(VENV)/.test
	+$(BIN)/python -m pytest -n $(JOBS) $(SHARED) $(PYTEST_OPTIONS)

test-fast: $(VENV)/.test  ## Run the unit tests alone
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_OPTIONS)

test-pythons: $(VENV)/.test  ## Run unit tests and the local contract on every other Python that is here
	tests/other-pythons.sh -n 2 $(SHARED) $(PYTEST_OPTIONS)

engine: $(VENV)/.test  ## Start the Docker engine of the tests, and say how to use it (as root; needs dockerd)
	@cd tests && ../$(BIN)/python -m engine up

engine-down: $(VENV)/.test  ## Stop it
	@cd tests && ../$(BIN)/python -m engine down

cluster: $(VENV)/.test  ## Start the Kubernetes cluster of the tests, and say how to use it (as root; needs Go and containerd)
	@cd tests && ../$(BIN)/python -m cluster up

cluster-down: $(VENV)/.test  ## Stop it and remove everything of it
	@cd tests && ../$(BIN)/python -m cluster down

lint: $(VENV)/.test $(LINT_LAB)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-lab: $(LAB)/node_modules/.checks  ## Check style and types of the JupyterLab extension; needs npm
	cd $(LAB) && npm run --silent lint

format: $(VENV)/.test  ## Put the code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: $(VENV)/.test  ## Run Jupyter Server's own tests with our classes (four minutes more than make test)
	RUN_CONFORMANCE=1 $(BIN)/python -m pytest tests/test_server_conformance.py $(PYTEST_OPTIONS)

bench: $(VENV)/.test  ## Measure against the floor and the peers, in one run, as ratios
	$(BIN)/python -m benchmarks

docs: $(VENV)/.test  ## Build the site into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:  ## Remove everything that make made
	@if [ -d .cache/engine/data ]; then cd tests && $(PYTHON) -m engine remove; fi
	rm -rf $(VENV) .venv-* .cache .mypy_cache .pytest_cache .ruff_cache .coverage* demo-output docs/_build \
		docs/reference/generated tests/artifacts $(LAB)/build $(LAB)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or later is needed; name one: make PYTHON=/path/to/python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) cannot make environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Each stamp is an environment with a little more in it; editable, so that the code at hand is what runs.
SOURCES = $(BIN)/python constraints.txt $(wildcard */pyproject.toml) $(LAB_FILES)
INSTALL = UV_PYTHON=$(BIN)/python $(PIP) install --quiet $(CONSTRAIN) $(addprefix -e ,$(PACKAGES)) matplotlib
# For a format that nobody here uses, it costs each start of a server, and of whatever reads notebooks, two seconds.
LIGHTEN = $(BIN)/pip uninstall --quiet --yes rfc3987-syntax

$(VENV)/.demo: $(SOURCES)
	$(INSTALL)
	@$(LIGHTEN)
	@touch $@

$(VENV)/.lab: $(SOURCES)
	$(INSTALL) "jupyterlab>=4"
	@$(LIGHTEN)
	@touch $(VENV)/.demo $@

$(VENV)/.test: $(SOURCES) requirements-test.txt docs/requirements.txt
	$(INSTALL) "jupyterlab>=4" -r requirements-test.txt -r docs/requirements.txt
	@$(LIGHTEN)
	@touch $(VENV)/.demo $(VENV)/.lab $@

# With what checks the JupyterLab extension; what builds it is fetched by its build.
$(LAB)/node_modules/.checks: $(LAB)/package.json
	cd $(LAB) && npm install --silent
	@touch $@

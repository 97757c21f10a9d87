# Every habit of the project by name; `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# How many processes share the tests; most tests wait more than they compute.
JOBS   ?= 3
# In the order of setup.cfg, whose last files are short: whoever is done early finds something to do until the end.
SHARED  = -n $(JOBS) --dist loadfile --no-loadscope-reorder
CONSTRAIN = -c constraints.txt
PACKAGES  = ./remote_kernel_provider ./docker_kernel_provider ./kubernetes_kernel_provider ./launchers[python]
LAB       = remote_kernel_provider/labextension
LAB_FILES = $(LAB)/package.json $(LAB)/webpack.config.js $(shell find $(LAB)/schema $(LAB)/src $(LAB)/style -type f)
LINT_LAB  = $(if $(shell command -v npm),lint-lab)

.DEFAULT_GOAL := help
.PHONY: help demo lab test test-fast test-pythons conformance cluster cluster-down engine engine-down lint lint-lab format bench docs clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Run a notebook with a plot on a local kernel, from nothing but Python and make
	@mkdir -p demo-output
	$(BIN)/jupyter remote-kernel run examples/sine.ipynb --kernel local/python3 --verbose --output demo-output/sine.ipynb

lab: $(VENV)/.lab  ## Start JupyterLab with a kernel of the local provider in its launcher
	$(BIN)/jupyter local-kernelspec install --sys-prefix --replace
	$(BIN)/jupyter lab

test: $(VENV)/.test $(LINT_LAB)  ## Run everything that this machine allows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(SHARED) $(PYTEST_OPTIONS)
	tests/other-pythons.sh $(SHARED) $(PYTEST_OPTIONS)

test-fast: $(VENV)/.test  ## Run the unit tests alone
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_OPTIONS)

test-pythons: $(VENV)/.test  ## Run unit tests and the local contract on every other Python that is here
	tests/other-pythons.sh $(SHARED)

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
	$(BIN)/pip install --quiet --upgrade pip

# Each stamp is an environment with a little more in it; editable, so that the code at hand is what runs.
$(VENV)/.demo: $(BIN)/python constraints.txt */pyproject.toml $(LAB_FILES)
	$(BIN)/pip install --quiet $(CONSTRAIN) $(addprefix -e ,$(PACKAGES)) matplotlib
	@touch $@

$(VENV)/.lab: $(VENV)/.demo
	$(BIN)/pip install --quiet $(CONSTRAIN) "jupyterlab>=4"
	@touch $@

$(VENV)/.test: $(VENV)/.lab requirements-test.txt docs/requirements.txt
	$(BIN)/pip install --quiet $(CONSTRAIN) -r requirements-test.txt -r docs/requirements.txt
	@touch $@

# With what checks the JupyterLab extension; what builds it is fetched by its build.
$(LAB)/node_modules/.checks: $(LAB)/package.json
	cd $(LAB) && npm install --silent
	@touch $@

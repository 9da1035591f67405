# Everything the project does, from a clone and nothing else: a virtual environment for the tools is made in .venv,
# the environments of the tests and all that is downloaded in .cache.

# The interpreter that .venv is made with: 3.10 or newer. With `make image` it is the image's.
PYTHON ?= python3
OWN_PYTHON := $(if $(filter image,$(MAKECMDGOALS)),python3,$(PYTHON))
# Tests at a time. They spend more than half of it waiting: for servers that hang, for processes to end, for schedulers.
WORKERS ?= $(shell expr $$(nproc) \* 2)
# Where the time goes, after the tests: make test PROFILE=1
PROFILE ?=
# Passed to pytest, for example: make test PYTEST="tests/unit -k process"
PYTEST ?= tests

# What docker/Dockerfile takes, where it is given.
BUILD_ARGUMENTS = $(foreach name,$(filter-out BASE_IMAGE,$(shell sed -n 's/^ARG \([A-Z_]*\).*/\1/p' docker/Dockerfile)),\
    $(if $(filter command% environment%,$(origin $(name))),--build-arg $(name)="$($(name))"))

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
# With PYTHONDONTWRITEBYTECODE every start compiles anew, and the tests measure starts; the others lead elsewhere.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test matrix break bench image lint format environments tools clean

help:  ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(READY)  ## Track an unmodified training script, without an account: what the shim is about
	@$(BIN)/python -m tests.demo

test: tools lint environments  ## Lint, type-check and run all tests, with a Docker engine for as long
	@echo "== tests"
	@$(if $(PROFILE),WANDB_SHIM_TEST_PROFILE=1 )$(BIN)/python -m tests.engine -- \
	    $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST)

matrix: tools environments  ## Run on every Python and wandb what `make test` runs on one of them in turn, and what is slow; docs/support.md
	@$(BIN)/python -m tests.environments --all --large
	@WANDB_SHIM_TEST_MATRIX=1 $(BIN)/python -m tests.engine -- $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup \
	    -m "in_turn or matrix or everywhere" $(if $(filter-out tests,$(PYTEST)),,--support docs/support.md) $(PYTEST)

break: $(READY)  ## Take one rule out of the code at a time, and see a test fail
	@$(BIN)/python -m tests.engine -- $(BIN)/python -m tests.break_it

bench: tools $(READY)  ## Measure what the shim costs
	@$(BIN)/python -m tests.benchmarks
	@$(BIN)/python -m tests.engine -- $(BIN)/python -m tests.benchmarks.image

image: $(READY)  ## Bake the shim into an image: make image BASE_IMAGE=… IMAGE=… [PYTHON=… WHEELS=DIR INIT=1]
	@PYTHON=$(BIN)/python docker/image "$(BASE_IMAGE)" "$(IMAGE)" $(BUILD_ARGUMENTS)

lint: $(READY)  ## Only the static part: ruff, mypy --strict
	@echo "== lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

format: $(READY)  ## Put the code into the form that lint asks for
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

environments: $(READY)  ## Make the environments that the tests run programs in
	@echo "== environments"
	@$(BIN)/python -m tests.environments --all

clean:  ## Remove all that the above have made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# System calls are counted with strace, instructions with valgrind; images are tested with an engine and debootstrap;
# nemo-run takes files to a cluster with rsync and ssh.
tools:
	@missing=$$(for tool in strace valgrind debootstrap rsync ssh:openssh-client; do \
	    command -v $${tool%:*} >/dev/null || echo $${tool#*:}; done); \
	docker info >/dev/null 2>&1 || missing="$$missing $$(for tool in dockerd:docker.io iptables:iptables; do \
	    PATH=$$PATH:/usr/sbin command -v $${tool%:*} >/dev/null || echo $${tool#*:}; done)"; \
	docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || missing="$$missing docker-compose"; \
	$(call apt_install,$$(echo $$missing))

# Made anew where the dependencies have changed; the stamp is written last. Dependency groups need pip 25.1.
$(READY): pyproject.toml
	@echo "== $(VENV)"
	@$(OWN_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=…")'
	@missing=$$($(OWN_PYTHON) -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv); \
	$(call apt_install,$$missing)
	@$(OWN_PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --group typing
	@touch $@

# Install Debian packages, or say how. $(1): their names, possibly none.
define apt_install
	if [ -z "$(1)" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "== apt-get install" $(1); \
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(1); } >/dev/null; \
	else echo "missing; as root: apt-get install" $(1) >&2; exit 1; fi
endef

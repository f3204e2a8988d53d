# Two commands: `make detect` (catalogue of the sample map, or MAP=path/to/map.fits) and `make test`.
# Both make their own virtual environment first; nothing but Python 3.11 or 3.12, git, make and a compiler is needed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV ?= .venv
MAP ?= data/sample_map.fits.gz
OUT = detect-output
BIN := $(abspath $(VENV))/bin
OVERWRITE := $(if $(filter file,$(origin OUT)),--overwrite)
STAMP := $(VENV)/.installed
EXTRAS := train,tracking,export,mpi,parquet,test

# MPI from wheels runs as root in containers and on machines with fewer cores than ranks; the others ask no server.
export OMPI_ALLOW_RUN_AS_ROOT := 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM := 1
export PRTE_MCA_rmaps_default_mapping_policy := :oversubscribe
export NO_ALBUMENTATIONS_UPDATE := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PATH := $(BIN):$(PATH)

VARIANT ?= cpu

.PHONY: help detect install horovod test test-full check clean

help:
	@echo 'make detect [MAP=map.fits] [OUT=folder] [ARGS="..."]  catalogue of a map (default: the sample map)'
	@echo 'make test                                          checks and tests'
	@echo 'make horovod [VARIANT=cpu|nccl]                    Horovod against the PyTorch that is installed'
	@echo 'make test-full                                     the longer proofs too'

install: $(STAMP)

$(STAMP): pyproject.toml .ci/constraints.txt .ci/install.sh
	@bash .ci/install.sh "$(VENV)" "$(EXTRAS)"
	@touch "$@"

horovod: $(STAMP)
	@bash train/install_horovod.sh "$(VENV)" "$(VARIANT)"

detect: $(STAMP)
	@neanias-ml detect "$(MAP)" -o "$(OUT)" $(OVERWRITE) $(ARGS)

check: $(STAMP)
	ruff check neanias_ml tests train data
	mypy
	lint-imports

test: check
	pytest -n 2 --dist loadscope -m 'not slow' $(ARGS)

test-full: check
	pytest -n 2 --dist loadscope $(ARGS)

clean:
	rm -rf "$(VENV)" detect-output build *.egg-info

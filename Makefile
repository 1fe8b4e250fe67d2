# `make demo` and `make test` need Python 3.11 or later, two cores and the package index; no root.
PYTHON ?= python3
VENV ?= .venv
# An index for CPU builds of torch; without it the default Linux wheel may bring CUDA.
TORCH_INDEX ?=
# HASHES=1 checks every package but torch against the hashes in envs/cpu-hashed.txt.
HASHES ?=
TORCH = torch==2.13.0

BIN = $(VENV)/bin
# Three processes of one thread each on two cores: tests of Slurm and of Snakemake wait much of their time.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK = $(if $(HASHES),--require-hashes -r envs/cpu-hashed.txt,-r envs/cpu.txt)

.PHONY: env demo test test-long lint format clean

env: $(VENV)/.complete

$(VENV)/.complete: envs/cpu.txt envs/cpu-hashed.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "aidocell needs Python 3.11 or later; give make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) install --no-deps $(LOCK)
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

# A run that was killed leaves Snakemake's lock behind; `recover` clears it if its owner is dead.
demo: env
	$(BIN)/aidocell recover results --wait
	$(BIN)/snakemake
	@echo "Open results/report/report.html in a browser."

test: env
	$(PYTEST)

# Kills, faults and damage by the hundred: an hour on a slow machine.
test-long: env
	$(PYTEST) -m long

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/codespell
	$(BIN)/snakemake --lint

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

clean:
	rm -rf results .snakemake

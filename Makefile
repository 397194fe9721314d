# The words of this project; `make` alone explains them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .make
RUN_FLAGS ?=
TEST_FLAGS ?=
BENCH_ARGS ?=
CUTS ?= 500
# Tests that break disks, networks and processes, or load them: one after the other.
QUIET := faults soak
SOAK_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check format lint types imports unit conformance e2e tools docs constraints clean \
	bench bench-docs soak soak-power sabotage audit bandit sbom wheel lock pages

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 24

run: $(STAMPS)/run ## install and start the server on ./data (RUN_FLAGS='--port 9000' for options)
	@$(MAKE) --no-print-directory $(STAMPS)/pages || echo "Without Node.js and npm there are no pages." >&2
	$(BIN)/tusd-py serve $(RUN_FLAGS)

test: check unit conformance e2e ## everything that CI runs
	@echo "All tests passed."

check: lint types imports ## style, types and the direction of imports

format: $(STAMPS)/dev ## rewrite the code in the one style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMPS)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMPS)/dev
	$(BIN)/mypy

imports: $(STAMPS)/dev
	$(BIN)/lint-imports

unit: $(STAMPS)/dev tools ## tests of the rooms, the seams and the program
	$(BIN)/pytest tests $(foreach room,e2e $(QUIET),--ignore=tests/$(room)) \
		--numprocesses=2 --dist=loadfile $(TEST_FLAGS)
	$(BIN)/pytest $(QUIET:%=tests/%) $(TEST_FLAGS)

conformance: $(STAMPS)/dev tools ## the tus conformance suite against this server, on each store
	$(BIN)/python tests/run_conformance.py

e2e: $(STAMPS)/dev $(STAMPS)/npm $(STAMPS)/pages ## real clients against a real server (TEST_FLAGS=--large: 1 GiB too)
	$(BIN)/pytest tests/e2e $(TEST_FLAGS)

pages: $(STAMPS)/pages ## build what people see of the server (needs Node.js 20.19 and npm)

tools: ## install what the tests need beside Python (Debian: Node.js, Redis, nginx, Chromium)
	@sh scripts/install-tools.sh

docs: $(STAMPS)/dev ## write the reference pages that come from the code
	$(BIN)/python docs/generate.py

soak: $(STAMPS)/dev tools ## an hour of load with a kill each minute (SOAK_ARGS=--help for options)
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

soak-power: $(STAMPS)/dev tools ## thousands of power cuts (CUTS=500 for each file system and level)
	$(BIN)/python -m tests.faults.power --cuts $(CUTS)

bench: $(STAMPS)/dev build/bench/peers ## speed beside other servers (BENCH_ARGS=--help for options)
	$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

bench-docs: $(STAMPS)/dev ## write the page about speed from what make bench has measured
	$(BIN)/python -m tests.benchmarks --docs $(BENCH_ARGS)

sabotage: $(STAMPS)/dev tools ## break the server in small ways; each has to make a test fail (some minutes; not in make test)
	$(BIN)/python -m tests.sabotage

audit: bandit $(STAMPS)/supply ## look for known faults in dependencies and for unsafe code in ours
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off \
		--requirement constraints.txt || { echo "Nothing is known to be safe: a fault was \
	found, or the database of faults could not be asked (it needs the internet)." >&2; exit 1; }

bandit: $(STAMPS)/supply
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive tusd_py

sbom: $(STAMPS)/supply ## list what a server consists of: build/sbom.cdx.json (CycloneDX)
	@mkdir -p build
	$(BIN)/python -W ignore -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml \
		--mc-type application --output-reproducible --of JSON -o build/sbom.cdx.json

wheel: $(STAMPS)/dev $(STAMPS)/pages ## build dist/*.whl twice and compare: the same source is the same file
	$(BIN)/python scripts/build_wheel.py

lock: $(STAMPS)/supply ## write requirements.lock: what constraints.txt pins for the server, with hashes
	$(BIN)/pip-compile --quiet --generate-hashes --no-header --no-annotate --no-emit-options \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras \
		--constraint constraints.txt --output-file requirements.lock pyproject.toml
	@sed -i '1i # What constraints.txt pins for the server itself, with hashes: pip install --require-hashes. Renew with `make lock`.' requirements.lock

constraints: ## pin the newest versions that fit pyproject.toml
	rm -rf $(VENV) $(STAMPS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev,bench,supply]'
	head -1 constraints.txt > constraints.new
	$(BIN)/pip freeze --exclude-editable | grep -v ' @ ' >> constraints.new
	mv constraints.new constraints.txt

clean: ## remove what make has made; uploads in ./data stay
	rm -rf $(VENV) $(STAMPS) build tests/e2e/node_modules $(VIDEO)/node_modules $(UI)/node_modules $(UI)/dist

$(BIN)/python:
	@sh scripts/make-venv.sh $(PYTHON) $(VENV)

$(STAMPS)/run: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/run

$(STAMPS)/supply: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,bench,supply]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/run $(STAMPS)/dev

VIDEO := docs/examples/video-platform
$(STAMPS)/npm: tests/e2e/package.json $(VIDEO)/package.json | tools
	cd tests/e2e && npm install --no-package-lock --no-fund --no-audit --loglevel=error
	cd $(VIDEO) && npm install --no-package-lock --no-fund --no-audit --loglevel=error
	@mkdir -p $(STAMPS) && touch $@

UI := tusd_py/web/ui
UI_SOURCES := $(shell find $(UI) -type f -not -path '*/node_modules/*' -not -path '*/dist/*')
$(STAMPS)/pages: $(UI_SOURCES)
	cd $(UI) && npm ci --no-fund --no-audit --loglevel=error && npm run --silent build -- --logLevel warn
	@mkdir -p $(STAMPS) && touch $@

PEERS := tests/benchmarks/peers
build/bench/peers: $(PEERS)/package.json $(PEERS)/requirements.txt $(PEERS)/install.sh
	@mkdir -p build/bench
	@if sh $(PEERS)/install.sh build/bench $(PYTHON); then touch $@; fi

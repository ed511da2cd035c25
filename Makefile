# Everything is done by name. `make demo` and `make test` set up what they need, from nothing but Python 3.11.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
FUZZ_SECONDS ?= 600
# Exactly the listed files: nothing that has another hash, nothing that is not listed.
LOCKED := $(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help setup demo test torture check fmt bench docs browser pictures screenshots coverage clean lock audit sbom

help:
	@echo "make demo      set up, train a small network with everything on, show what was tracked"
	@echo "make test      set up, run all checks and tests"
	@echo "make torture   try to lose rows: crashes, faults, damage, planted bugs, kills (about an hour)"
	@echo "make check     lint, types, layers, spelling, dependencies"
	@echo "make fmt       format"
	@echo "make bench     run the benchmarks (see benchmarks/README.md)"
	@echo "make fuzz      mutants for everything that reads bytes, FUZZ_SECONDS=600 for each reader"
	@echo "make coverage  tests with branch coverage"
	@echo "make docs      build the changelog's draft"
	@echo "make lock      renew locks/, the versions and hashes of what is installed (UPGRADE=--upgrade: the newest)"
	@echo "make audit     ask for known vulnerabilities of what is locked; make sbom lists it (CycloneDX, dist/sbom.json)"
	@echo "make browser   have Chromium for the tests of the studio's pages (root installs it)"
	@echo "make screenshots  take the pictures of docs/studio.md again"

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml locks/dev.txt locks/cpu.txt locks/cuda.txt hatch_build.py exptrack_agent/_pen.c
	@command -v $(PYTHON) >/dev/null || { echo "exptrack needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (torch is the large part; a minute or two the first time) …"
	@$(LOCKED) locks/dev.txt
	@$(LOCKED) locks/cpu.txt 2>/dev/null || $(LOCKED) locks/cuda.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Never stops anything: without a browser those tests are skipped, and say so.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing Chromium for tests/browser …" && \
	  { apt-get install -qq -y --no-install-recommends chromium || \
	    { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; }; } >/dev/null 2>&1; } || \
	echo "No Chromium: the tests in tests/browser are skipped (as root: apt-get update && apt-get install chromium)."

pictures: setup
	@$(BIN)/python docs/pictures/make_plots.py docs/images
	@echo "Drawn: docs/images/plot-*.png"

screenshots: pictures
	@rm -rf .screenshots && EXPTRACK_SCREENSHOTS=.screenshots $(BIN)/python -m pytest -q -n 0 tests/browser
	@cp .screenshots/studio-*.png docs/images/
	@echo "Taken: docs/images/studio-*.png, and every page at both widths and themes in .screenshots"

demo: setup
	@$(BIN)/exptrack demo --home .demo

test: check browser
	@$(BIN)/python -m pytest -n $(WORKERS) -q tests || { \
	  echo "What failed beside other tests is tried once more, alone; a failure there is a failure."; \
	  $(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none tests; }

torture: setup
	$(BIN)/python -m tests.torture.damage --random 200000
	$(BIN)/python -m tests.torture.points --records 60 --pairs
	$(BIN)/python -m tests.torture.crashes --count 200000
	$(BIN)/python -m tests.torture.mutants
	$(BIN)/python -m tests.torture.kills --count 1000
	$(BIN)/python -m tests.torture.soak --seconds 300 --png soak.png
	EXPTRACK_TORTURE=1 $(BIN)/python -m pytest -q -n 0 --timeout 3600 tests/property/test_journal_model.py tests/property/test_link_model.py \
	  tests/security/test_secrets.py

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell exptrack_agent exptrack_daemon proto docs README.md benchmarks/README.md
	$(BIN)/deptry .

fmt: setup
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m benchmarks

fuzz: setup
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --keep fuzz-findings

coverage: setup
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q tests/unit tests/property
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='proto/exptrack_proto/*,exptrack_daemon/journal/*' --fail-under=100
	$(BIN)/coverage report

docs: setup
	$(BIN)/towncrier build --draft --version next

$(VENV)/tools/ready: locks/tools.txt
	@$(PYTHON) -m venv $(VENV)/tools
	@$(VENV)/tools/bin/python -m pip install --quiet --no-deps --require-hashes --requirement locks/tools.txt
	@touch $@

lock: setup $(VENV)/tools/ready
	@UPGRADE=$(UPGRADE) locks/renew

audit: $(VENV)/tools/ready
	@.ci/audit

sbom: setup $(VENV)/tools/ready
	@mkdir -p dist
	@$(VENV)/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.json $(BIN)/python
	@echo "Listed: dist/sbom.json"

clean:
	rm -rf $(VENV) .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

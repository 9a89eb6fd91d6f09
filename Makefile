# Everything runs in .venv, which is made when it is missing and brought up to date when pyproject.toml has changed.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
# gradio wants an older Pillow than the rest: what the page needs lies in a small environment of its own on top of .venv.
PAGE := .venv-page
INSTALLED_PAGE := $(PAGE)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow parity conformance style quality screenshots bench cards

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(INSTALLED) ## two drawn people talk to each other; prints the path of the clip
	@$(VENV)/bin/iap generate --demo --output demo.mp4

test: $(INSTALLED_DEV) ## all tests that take seconds
	$(RUN) -m pytest -q -m "not slow"

test-slow: $(INSTALLED_DEV) $(INSTALLED_PAGE) ## the tests that take minutes, and all of the page (with chromium and chromium-driver)
	$(RUN) -m pytest -q -m slow --ignore=tests/app
	$(PAGE)/bin/python -m pytest -q tests/app

parity: $(INSTALLED_DEV) ## compare with the fixtures in IAP_PARITY_DIR (../shared/parity)
	$(RUN) -m pytest -q -m parity

conformance: $(INSTALLED_DEV) ## diffusers' own model and pipeline tests, from the checkout that DIFFUSERS_TESTS names
	$(RUN) tests/conformance/run.py

style: $(INSTALLED_DEV) ## fix and format
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

quality: $(INSTALLED_DEV) ## what style would change
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

screenshots: $(INSTALLED_PAGE) ## pictures of the page for the docs; needs chromium and chromium-driver
	@$(PAGE)/bin/python -m tests.app.screenshots docs

bench: $(INSTALLED_DEV) ## print the benchmark tables
	@$(RUN) -m benchmarks

cards: $(INSTALLED) ## write the model cards anew from their templates and facts
	@$(RUN) model_cards/render.py

$(RUN):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "iap-pipelines needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(RUN)
	$(PIP) install --quiet -e .
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(RUN)
	$(PIP) install --quiet -e '.[dev]'
	@touch $(INSTALLED) $@

$(INSTALLED_PAGE): pyproject.toml $(INSTALLED_DEV)
	$(RUN) -m venv $(PAGE)
	$(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$($(PAGE)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/below.pth
	$(PAGE)/bin/python -m pip --disable-pip-version-check install --quiet -e '.[app,dev]'
	@touch $@

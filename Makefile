# Work on the template. The generated project has a Makefile of its own, with the same words for the same chores.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PROJECT := {{cookiecutter.project_slug}}
DEMO := build/release-agent
CONTAINERS := tests/test_containers.py tests/test_compose.py
# The machine's certificates, as pip and git use them: a company's proxy needs no setting of its own.
UV_SYSTEM_CERTS ?= 1
export UV_SYSTEM_CERTS

.DEFAULT_GOAL := help
.PHONY: help setup demo smoke test image check format options pictures newcomer lock matrix prove bench chaos

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## tools for work on the template, from the lock

demo: $(DEMO) ## bake the default answers into build/ and run the whole service there
	cd $(DEMO) && $(MAKE) up

smoke: $(DEMO) ## the same, unattended: one conversation over HTTP, then stop
	cd $(DEMO) && $(MAKE) smoke

test: check ## tests of the template, then the default product's own check, test, smoke and prove
	$(BIN)/pytest -n 2 --ignore=tests/test_product.py $(CONTAINERS:%=--ignore=%)
	$(BIN)/pytest tests/test_product.py

image: setup ## build the default product's image with real tools, run all of it hardened, and by compose
	@$(BIN)/python -c 'import sys; from tests.engine import lacking; sys.exit(lacking() or None)'
	$(BIN)/pytest -s $(CONTAINERS)

check: setup ## lint, types, pages and workflows of the template
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.options --check
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows '$(PROJECT)/.github/workflows/ci.yml' \
		'$(PROJECT)/.github/workflows/nightly.yml' '$(PROJECT)/.github/workflows/release.yml'
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci '$(PROJECT)/.gitlab-ci.yml'
	$(BIN)/zizmor --config zizmor.yml --offline --quiet --no-progress --pedantic '$(PROJECT)/.github'

format: setup ## put the template's own Python in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

options: setup ## write docs/options.md from cookiecutter.json
	$(BIN)/python -m tools.options

pictures: $(DEMO) ## make what the READMEs show: a generation, make up, a conversation, the console
	cd $(DEMO) && $(MAKE) setup
	$(BIN)/python -m tools.pictures $(DEMO)

newcomer: setup ## time a new user's way to the first approved answer, twice, and write it into README.md
	$(BIN)/python -m tools.newcomer

lock: $(DEMO) ## renew every pin: the tools', the default product's, and the names that dependencies take
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group pyproject.toml:dev --output-file requirements-dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		requirements-checkov.in --output-file requirements-checkov.txt
	cd $(DEMO) && $(MAKE) lock && $(MAKE) setup
	cp $(DEMO)/requirements*.txt '$(PROJECT)/'
	$(BIN)/python -m tools.reserved $(DEMO)/.venv/bin/python

matrix: setup ## every combination of answers, every Python from 3.11 to 3.14 that is here, all tests without the example
	$(BIN)/python -m tools.matrix
	WHOLE=1 $(BIN)/pytest tests/test_product.py -k gives_way

prove: $(DEMO) ## the default product's factor report
	cd $(DEMO) && $(MAKE) prove

bench: $(DEMO) ## generation, start, memory and test time, then the product's own, with bounds that it fails on
	cd $(DEMO) && $(MAKE) setup
	$(BIN)/python -m tools.bench $(DEMO)
	cd $(DEMO) && $(MAKE) bench

chaos: $(DEMO) ## the product's kill storms
	cd $(DEMO) && $(MAKE) chaos

# An environment or data of an earlier run stay: the second demo is quick, and may run beside the first.
.PHONY: $(DEMO)
$(DEMO): $(READY)
	@mkdir -p $(DEMO)
	@find $(DEMO) -mindepth 1 -maxdepth 1 ! -name .venv ! -name .local ! -name .env -exec rm -rf {} +
	@$(BIN)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir build >/dev/null

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo '$(PYTHON) is not Python 3.11 or newer; name one: make setup PYTHON=python3.13' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo '$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt >.venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements-dev.txt
	@touch $@

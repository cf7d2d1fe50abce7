# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# T=... gives more arguments to the tool of one layer:
#   make engine T='-k shadow'      make sanity T='--test pylint'
T ?=
PYTHON ?= python3

BIN := $(CURDIR)/.venv/bin
PY := $(BIN)/python
TREE := .cache/tree/ansible_collections/comaster/mysql_repl

# What ansible needs to behave alike everywhere: a UTF-8 locale, our own tools first,
# no settings of the user, no input.
export LC_ALL := C.UTF-8
export PATH := $(BIN):$(PATH)
export ANSIBLE_HOME := $(CURDIR)/.cache/ansible
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis
export PYTHONDONTWRITEBYTECODE := 1
unexport PYTHONPATH PYTHONHOME PYENV_VERSION

.DEFAULT_GOAL := help
LINTERS := ruff mypy yamllint rules ansible-lint antsibull

.PHONY: help setup servers tree package lint $(LINTERS) format sanity units ansible-units \
	engine engine-mysql engine-mariadb functional cores report integration test fire demo bench clean distclean

help: ## show this
	@echo "make TARGET [T='arguments for its tool']"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1@\2/p' Makefile | awk -F@ '{ printf "%-16s %s\n", $$1, $$2 }'

setup: ## make .venv with ansible-core and all test tools (at once when it is there)
	@$(PYTHON) tests/tools/bootstrap.py

servers: setup ## fetch the MariaDB and MySQL servers into .cache/servers
	@PYTHONPATH=tests $(PY) -m sandbox fetch

tree: setup ## copy the checkout to a collection tree in .cache/tree
	@$(PY) tests/tools/tree.py

package: setup ## build the tarball in .cache/dist, check it, install it in .cache/installed
	@$(PY) tests/tools/package.py

lint: setup ## all of these, to the last one even when one finds something:
	@$(MAKE) --no-print-directory -k $(LINTERS)

ruff: setup ## errors, import order and format of the Python code
	@ruff check --output-format concise plugins tests; checked=$$?; \
	ruff format --check --output-format concise plugins tests && exit $$checked

mypy: setup ## types, strictly, of plugins and tools
	mypy

yamllint: setup ## all YAML files
	yamllint --strict .

rules: setup ## licence headers, action group, role READMEs, addresses
	$(PY) tests/tools/check_repo.py

ansible-lint: tree ## roles, playbooks and metadata, production profile
	cd $(TREE) && ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.cache/tree ansible-lint --offline --nocolor

antsibull: tree ## documentation of modules and roles, docs/, changelog
	cd $(TREE) && antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs all .
	antsibull-changelog lint

format: setup ## let ruff put imports and format in order
	ruff check --fix plugins tests
	ruff format plugins tests

sanity: setup ## ansible-test sanity on every Python found, without ignores
	$(PY) tests/tools/ansible_test.py sanity --color no $(T)

units: setup ## unit tests with pytest, quick
	pytest tests/unit $(T)

ansible-units: setup ## the same tests as ansible-test runs them, on every Python found
	$(PY) tests/tools/ansible_test.py units --venv --color no $(T)

engine: servers ## the engine against real servers
	pytest tests/integration_engine $(T)

engine-mysql: ## those of them that run MySQL
	@$(MAKE) --no-print-directory engine T='-k mysql-9'

engine-mariadb: ## the others
	@$(MAKE) --no-print-directory engine T='-k "not mysql-9"'

functional: servers package ## modules, roles and playbooks of the installed collection against real servers
	ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.cache/installed pytest tests/functional $(T)

cores: servers package ## from a check to its undo with each ansible-core from 2.16 to 2.21, modules on Python 3.9 to 3.13
	CORES=all ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.cache/installed pytest tests/functional/test_cores.py $(T)

report: setup ## the page of a report in a real browser, which is fetched into .cache/chromium
	pytest tests/report $(T)

integration: package engine functional ## package, engine and functional

test: setup ## everything, three layers at a time; this is what CI runs
	@$(PY) tests/tools/layers.py engine-mariadb functional engine-mysql ansible-units sanity report units lint

fire: servers ## random scenarios for an hour (T='--seconds 600 --server mysql-9'); one again: T='--server mysql-9 --seed N --count 1'
	PYTHONPATH=tests:.cache/link $(PY) -m fire $(T)

demo: package ## two co-masters, drift, the check and the repair, on this machine
	$(PY) tests/demo/demo.py $(T)

bench: servers ## check and repair beside Percona Toolkit's; a full run writes docs/performance.md
	PYTHONPATH=tests $(PY) -m bench $(T)

clean: ## remove results; keeps .venv and the servers
	cd .cache && rm -rf tree dist installed ansible hypothesis mypy pytest ruff

distclean: ## remove everything that make made
	rm -rf .venv .cache

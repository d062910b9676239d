# The tasks of this project; `make` alone lists them.

PYTHON ?= python3.11
BIN := .venv/bin
# Compiled modules are kept, because a test run starts Python hundreds of times.
unexport PYTHONDONTWRITEBYTECODE
# Tests wait for servers, expiries and processes as long as they compute: six keep two cores busy.
JOBS ?= 6
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# The composed scripts are Lua 5.1 with the globals that Redis adds. 43.: the parameters of an include may have the same
# names as variables of the script that includes it. 212: a function of the library may ignore its arguments.
LUACHECK := luacheck --quiet --std lua51 --max-line-length 140 --ignore '43.' '212/ARGV' \
	--read-globals redis cjson cmsgpack bit struct KEYS ARGV --

.DEFAULT_GOAL := help
.PHONY: help venv run check unit test test-long lint faults fuzz bench compare docs compatibility picture dist format clean

help: ## list all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: .venv/.ready ## make a virtual environment with all packages, in .venv

# The service alone. hatchling is installed first and used without build isolation, so that build tools are pinned, too.
.venv/.run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt hatchling editables
	$(PIP) install -c constraints.txt --no-build-isolation -e '.[embedded]'
	touch $@

.venv/.ready: .venv/.run
	$(PIP) install -c constraints.txt --no-build-isolation -e '.[embedded,test,lint,bench,docs]'
	touch $@

.venv/.dist: .venv/.run
	$(PIP) install -c constraints.txt --no-build-isolation -e '.[dist]'
	touch $@

run: .venv/.run ## serve with demo access on loopback, and print curl commands to try
	@exec $(BIN)/python -m service.demo

check: ## run make lint and, beside it, the tests that start no process; takes seconds
	@+$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit

# These tests wait for nothing, and each worker collects all tests first: one for each core, and no more than JOBS.
unit: venv
	$(BIN)/python -m pytest --quiet --numprocesses auto --maxprocesses $(JOBS) --dist worksteal -m "not processes" $(ARGS)

test: venv ## run all tests; ARGS='-k ping' chooses some
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

test-long: venv ## run the long forms of randomised tests: models, faults, Schemathesis; ARGS='-k model'
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal --long -m long $(ARGS)

lint: venv ## check style, types, the Dockerfile and the Lua scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	@rm -rf .lint && mkdir .lint
	$(BIN)/python -m service.storage.scripts.library --all .lint
	$(LUACHECK) .lint/*.lua
	@rm -rf .lint

faults: venv ## inject faults while clients call, and check the recorded histories; ARGS='--seconds 600 --seed 7'
	$(BIN)/python -m tests.faults $(ARGS)

fuzz: venv ## send broken requests, forms and patches for five minutes; ARGS='--seconds 3600 --seed 7'
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: venv ## start a service and load-test all dialects for half a minute; ARGS go to Locust
	$(BIN)/python -m bench.short $(ARGS)

compare: venv ## compare the service with other systems, half an hour; ARGS=--quick: 3 minutes
	$(BIN)/python -m bench.compare $(ARGS)

docs: export NO_MKDOCS_2_WARNING = 1
docs: venv ## build the documentation as a site, in site/; a warning fails it
	$(BIN)/python -m mkdocs build --strict $(ARGS)

compatibility: venv ## write docs/COMPATIBILITY.md from the tests
	$(BIN)/python -m docs.compatibility

picture: venv ## draw docs/architecture.svg
	$(BIN)/python docs/architecture.py

# All files in the archives have the time of the last commit, so that the same commit makes the same bytes. The wheel is
# installed by its path, for its dependencies, and then by its name, so that the list of components contains no path.
dist: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
dist: .venv/.dist ## build wheel, sdist and list of components in dist/, and test the wheel
	rm -rf dist build
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m venv --without-pip build/venv
	$(PIP) --python build/venv/bin/python install -c constraints.txt "$$(echo dist/*.whl)[embedded]"
	$(PIP) --python build/venv/bin/python install --no-index --no-deps --force-reinstall --find-links dist polystow
	$(BIN)/python -m tests.release build/venv/bin/polystow
	$(BIN)/python -m cyclonedx_py environment build/venv/bin/python --output-reproducible \
		--output-file "$$(echo dist/*.whl | sed 's/-py3.*/.cdx.json/')"

format: venv ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove generated files, but not the data
	rm -rf .venv .lint .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site
	find . -name __pycache__ -prune -exec rm -rf {} +

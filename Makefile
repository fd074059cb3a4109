# `make help` lists the targets. Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
# The interpreters of `make test-all`, separated by spaces: commands or paths.
PYTHONS ?= python3.11 python3.12 python3.13
COPIES ?= 8
# More workers than processors, because many tests wait. An idle worker takes half of the busiest one's remaining tests.
PARALLEL ?= -n 4 --dist worksteal
# How often `make test-crowded` must pass.
TIMES ?= 10

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV ?= .venv
STAMP := $(VENV)/.installed-$(VERSION)

.PHONY: environment run test test-all test-unprivileged test-crowded check clean help

environment: $(STAMP)  ## create .venv, which the other targets need

run: $(STAMP)  ## run eight copies of the corpus at once (COPIES=8)
	$(VENV)/bin/parasuite run -j $(COPIES)

test: $(STAMP)  ## run the tests of netsupport, parasuite and the corpus's helpers, then the corpus once
	$(VENV)/bin/python -m pytest $(PARALLEL)
	$(VENV)/bin/python -m pytest $(PARALLEL) converted_tests

test-all:  ## run `make test` on each of PYTHONS
	@for python in $(PYTHONS); do \
		command -v "$$python" >/dev/null && "$$python" -c 'import sys' 2>/dev/null \
			|| { echo "make test-all: no interpreter $$python; name yours: make test-all PYTHONS='...'" >&2; exit 1; }; \
	done
	@for python in $(PYTHONS); do \
		echo "== $$python"; \
		$(MAKE) --no-print-directory test PYTHON="$$python" VENV=".venv-$$(basename "$$python")" || exit 1; \
	done

test-unprivileged:  ## run the tests as uid 65534, in a world-readable clone (as root)
	PYTHON="$(PYTHON)" ci/test-unprivileged

test-crowded: $(STAMP)  ## run the tests in a network with 128 ports, beside programs that use them (TIMES=10)
	$(VENV)/bin/python -m netsupport.tests.crowd --times $(TIMES) -- $(MAKE) --no-print-directory test

check: $(STAMP)  ## check lint, format, types, the direction of imports, the CI files and the schemas
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows ci/github-actions.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-actions ci/action.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.gitlab-ci ci/gitlab-ci.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows ci/github-matrix.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.gitlab-ci ci/gitlab-parallel.yml
	$(VENV)/bin/check-jsonschema --check-metaschema docs/*.schema.json

clean:  ## remove the environments, the run folders and what was built
	rm -rf .venv .venv-* .parasuite build dist

help:  ## list these targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "%-18s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(STAMP): pyproject.toml
	@test -n "$(VERSION)" || { echo "make: no $(PYTHON); name an interpreter: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: $(PYTHON) is $(VERSION), parasuite needs 3.11 or newer: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)/bin/python -m pip install --quiet --editable '.[corpus]' --group dev
	touch $@

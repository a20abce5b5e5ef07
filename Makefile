# Works with GNU make 3.81 and a plain sh. `make` alone prints this help. uv is used if it is there, else venv and pip.
SHELL = /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
PROJECT := pyproject.toml constraints.txt hatch_build.py engine/conversion/plain_cells.c

# The first Python >= 3.11 that runs; a shim that only names a version is passed over. PYTHON=... overrides.
# Debian's Python comes without ensurepip: then `venv` imports and yet makes nothing. uv does without both.
FIND_PYTHON = found=; command -v uv >/dev/null 2>&1 && needs=sys || needs='sys, venv, ensurepip'; \
	for p in "$(PYTHON)" python3.13 python3.12 python3.11 python3 python; do \
	  [ -n "$$p" ] && "$$p" -c "import $$needs; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && { found=$$p; break; }; done; \
	if [ -z "$$found" ]; then echo "Python >= 3.11 with venv is missing. Fix: apt-get install python3 python3-venv (or: brew install python@3.12)" >&2; exit 69; fi

# $(call install,extra,size): makes the environment once, and again when $(PROJECT) changes.
install = set -e; $(FIND_PYTHON); echo "1/3 environment in $(VENV): $(2), once"; \
	if command -v uv >/dev/null 2>&1; then \
	  [ -x $(PY) ] || uv venv --quiet --python "$$found" $(VENV); \
	  uv pip install --quiet --python $(PY) --constraint constraints.txt --editable ".[$(1)]"; \
	else \
	  [ -x $(PY) ] || "$$found" -m venv $(VENV); \
	  $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(1)]"; \
	fi; touch $@

.PHONY: help demo test test-all test-zones check bench tour clean

help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /|/' | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

$(VENV)/.local: $(PROJECT)
	@$(call install,local,about 250 MB)

$(VENV)/.dev: $(PROJECT)
	@$(call install,dev,about 450 MB)

$(VENV)/.bench: $(PROJECT)
	@$(call install,bench$(comma)dev,about 750 MB)

comma := ,

# Files stay in the order of `testpaths`, so that the long ones come first. Many wait for something: one worker more than there are cores.
# Hundreds of processes start our programs: with the modules' bytecode kept, whatever the environment says, that takes a sixth less.
PYTEST := PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile --no-loadscope-reorder

demo: $(VENV)/.local ## the whole product here; HEADLESS=1 without a terminal
	@$(PY) -m console.cli demo $(if $(HEADLESS),--headless) $(DEMO_OPTIONS)

test: $(VENV)/.dev ## all tests but the slow ones
	@echo "2/3 tests"
	@$(PYTEST) -m "not slow" $(TEST_OPTIONS)
	@echo "3/3 done"

test-all: $(VENV)/.dev ## all tests, slow chaos included
	@$(PYTEST) $(TEST_OPTIONS)

test-zones: $(VENV)/.dev ## all but the slow ones, in Tokyo and in New York
	@for zone in Asia/Tokyo America/New_York; do \
	  echo "2/3 tests in $$zone"; \
	  TZ=$$zone $(PYTEST) -m "not slow" $(TEST_OPTIONS) || exit 1; \
	done
	@echo "3/3 done"

check: $(VENV)/.dev ## ruff, mypy strict, one-way imports
	@echo "2/3 ruff, mypy, import-linter"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@echo "3/3 done"

bench: $(VENV)/.bench ## benchmarks with their peers side by side, as ratios
	@$(PY) -m tests.bench $(BENCH_OPTIONS)

tour: $(VENV)/.dev ## make the pictures of every screen again
	@$(PY) -m tests.tour $(TOUR_OPTIONS)

clean: ## stop the local cloud, remove environment and caches
	@if [ -x $(PY) ]; then $(PY) -m console.cli local down 2>/dev/null || true; fi
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench-results

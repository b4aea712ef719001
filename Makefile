# make report   set up everything and regenerate all reports of the sample engagement
# make test     set up everything and pass the tests
# make test-long   the same without notebooks, ten times as many random books (an hour)
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
READY := .venv/.ready
DEVELOP := .venv/.ready-$(EXTRAS)

# what Python compiles is kept, in .venv too: kernels and commands import in a third of the time
unexport PYTHONDONTWRITEBYTECODE

.PHONY: report test test-long check generated clean

report: $(READY)
	$(BIN)/crm run data/sample

# nbval runs every notebook of the sample as JupyterLab does; the workers fill the cores, and threads of linear algebra would only wait for each other
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: $(DEVELOP)
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --nbval-lax --nbval-current-env --nbval-cell-timeout=300 tests notebooks

test-long: $(DEVELOP)
	$(BIN)/pytest -n auto --hypothesis-profile long

check: $(DEVELOP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# uv where it is there, pip otherwise; both install exactly what constraints.txt says was tested, and a report needs no extras
$(READY) $(DEVELOP): pyproject.toml constraints.txt
	@echo "setting up .venv, once: a minute or two"
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
	    uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.$(extras)'; \
	else \
	    $(PYTHON) -m venv .venv && \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.$(extras)'; \
	fi
	@touch $(READY) $@
$(DEVELOP): extras := [$(EXTRAS)]

# what is generated and committed; a test regenerates and compares each
generated: $(DEVELOP)
	$(BIN)/pyproject2conda yaml -p pyproject.toml -e dev -n crm -c conda-forge --python "" --python-include 'python>=3.11' --overwrite force -o environment.yml
	$(BIN)/python -c 'import json, pathlib; from crmlib.declared.reading import DECLARED; from crmlib.declared.settings import Settings; (DECLARED / "engagement.schema.json").write_text(json.dumps(Settings.model_json_schema(), indent=1) + "\n")'
	$(BIN)/python data/generate.py

clean:
	rm -rf .venv reports/* reports/.cache

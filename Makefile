# Everything goes into .venv; a stamp file keeps the set-up from running twice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PYTHONWARNINGS ?= ignore::DeprecationWarning
# Containers switch bytecode off; torch, NNI and Lightning would then be compiled anew by every process that imports them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-nightly test-faults fuzz fuzz-data fuzz-images mutants audit lint docs docs-serve images bench bench-short bench-full clean

install: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else "Python %d.%d found; 3.11 or 3.12 is needed: make PYTHON=python3.11" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

# The short search of docs/benchmarks.md, as good there as three times its epochs.
DEMO = --set search.epochs=5 --set strategy.warmup_epochs=1 --set search.image_sizes=[24,32,48]
demo: install
	$(BIN)/bioautoml run examples/sample/experiment.yml --output runs/sample $(DEMO)

test: install
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What `make test` has only representatives of: every space by every strategy, every moment of a kill or a full disk.
test-nightly: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m nightly

test-faults: install
	$(BIN)/python -m pytest -m faults

fuzz: install fuzz-data
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev,fuzz]'
	$(BIN)/python tests/coverage_fuzz.py

fuzz-data: install
	FUZZ_TIMES=$${FUZZ_TIMES:-500} $(BIN)/python -m pytest -q tests/sources/test_warts.py

fuzz-images: install
	$(BIN)/python tests/fuzz_images.py

# What is mutated, and the tests that judge it: pyproject.toml. ONLY='bioautoml_nni.runtime.decisions*' is one module.
mutants: install
	$(BIN)/mutmut run --max-children $${MUTANTS_AT_ONCE:-2} $(if $(ONLY),'$(ONLY)')
	$(BIN)/mutmut results

audit: install
	$(BIN)/uv tool run pip-audit --strict --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Notebooks are executed, unless NOTEBOOKS=off, and kept in build/notebooks until they change.
NOTEBOOKS ?= cache
docs: install
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev,docs]'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --define nb_execution_mode=$(NOTEBOOKS) docs build/docs

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs 8001

# After `make demo` and `bioautoml auto`; needs a Chromium.
images: install
	test -d runs/sample/export || $(BIN)/bioautoml export runs/sample --int8
	$(BIN)/python docs/_make/images.py runs/sample
	$(BIN)/python docs/_make/web_ui.py

bench: install
	$(BIN)/python benchmarks/search_step.py

bench-short: install
	$(BIN)/python benchmarks/search_step.py --short

bench-full: bench
	$(BIN)/python benchmarks/search_scaling.py
	$(BIN)/python benchmarks/search_to_quality.py
	$(BIN)/python benchmarks/waiting.py
	$(BIN)/python benchmarks/latency.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

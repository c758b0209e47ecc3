# `make lab` opens the collection, `make test` proves it. Everything is installed into .venv.
PYTHON ?= python3
LAB_FLAGS ?=
TEST_FLAGS ?=
BENCH_FLAGS ?=
NOTEBOOKS ?= notebooks
HTML ?= html

RUN := .venv/bin/python -m
READY := .venv/.installed
# What stays in one worker, conftest.py says; TEST_FLAGS="-n0 ..." runs all in one process.
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder
MATHJAX = .venv/lib/python3*/site-packages/jupyter_server_mathjax/static

.PHONY: help lab test lint format bench bench-norms bench-sliders bench-notebooks bench-sweeps bench-checkpoint bench-fold html clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1	\2/p' Makefile | expand -t 22

lab: $(READY)  ## open the notebooks in JupyterLab (LAB_FLAGS=--no-browser and the like)
	cd notebooks && JUPYTER_CONFIG_PATH="$(CURDIR)/config$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	  ../.venv/bin/python -m jupyterlab $(LAB_FLAGS) 00-start-here.ipynb

test: $(READY)  ## run every check: style, types, package, doctests, notebooks, browser
	$(RUN) pytest $(IN_TWO) $(TEST_FLAGS)

lint: $(READY)  ## check style and types only
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

format: $(READY)  ## let ruff lay out code and notebooks
	$(RUN) ruff check --fix
	$(RUN) ruff format

bench: bench-norms bench-sliders bench-notebooks bench-sweeps bench-checkpoint bench-fold  ## run all benchmarks

bench-norms: $(READY)  ## time every norm against torch's layer
	$(RUN) benchmarks.norms $(BENCH_FLAGS)

bench-sliders: $(READY)  ## time a key press to a painted picture, for every explorer
	$(RUN) benchmarks.sliders $(BENCH_FLAGS)

bench-notebooks: $(READY)  ## time every notebook and its memory, and `import bnlab`
	$(RUN) benchmarks.notebooks $(BENCH_FLAGS)

bench-sweeps: $(READY)  ## count runs a minute: a sweep against a plain loop
	$(RUN) benchmarks.sweeps $(BENCH_FLAGS)

bench-checkpoint: $(READY)  ## time saving and loading 100 MiB against torch.save and torch.load
	$(RUN) benchmarks.checkpoints $(BENCH_FLAGS)

bench-fold: $(READY)  ## time answers with batch norms and with them folded away
	$(RUN) benchmarks.folding $(BENCH_FLAGS)

# All pages are in one folder and lead to one another, as the notebooks do.
html: $(READY)  ## export every notebook to html/, readable with no kernel and no network
	mkdir -p $(HTML)/mathjax
	cp -R $(MATHJAX)/. $(HTML)/mathjax
	cp notebooks/mathjax_fonts.js $(HTML)/mathjax/config/fonts.js
	$(RUN) nbconvert --config notebooks/jupyter_nbconvert_config.json --to html \
	  --HTMLExporter.mathjax_url="mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full,Safe,fonts" \
	  --HTMLExporter.require_js_url= --output-dir $(abspath $(HTML)) \
	  $(wildcard $(NOTEBOOKS)/*.ipynb $(NOTEBOOKS)/solutions/*.ipynb)
	perl -pi -e 's|href="(?:solutions/)?([\w-]+)\.ipynb|href="$$1.html|g' $(HTML)/*.html

clean:  ## remove what the other targets made, .venv included
	rm -rf .venv html build bnlab.egg-info

# The stamp makes the second call instant; a changed lock or project file installs again.
# torch goes first and alone: a CPU build that is already there then stays.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no '$(PYTHON)' here: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "bnlab needs Python 3.11 or newer and '$(PYTHON)' is $$($(PYTHON) --version 2>&1): make PYTHON=python3.12, say"; \
	  exit 1; }
	$(PYTHON) -m venv .venv || { \
	  echo "If ensurepip is missing (Debian, Ubuntu): sudo apt-get install python3-venv"; exit 1; }
	$(RUN) pip install --disable-pip-version-check --quiet "$$(grep '^torch==' requirements.lock)"
	$(RUN) pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(RUN) pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

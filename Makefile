# Every way of running the project; CI calls these targets and nothing else.
#
# make run     install what is missing and start the service at http://127.0.0.1:8000
# make test    install what the tests need and run the whole suite
# make check   lint, format, types, layering
# make eval    quality on ../shared/data/dev (or DATA=DIR) -> bench/results
# make bench   speed -> bench/results; make bench-attention: our Longformer beside Hugging Face's
# make bench-reading   F1 over passages read, and over the length of a text that is read whole
# make bench-domains   answers from contracts, manuals, minutes and other kinds of documents that no reader was trained on
# make bench-collection   what the retriever is worth to answers from many documents together
# make bench-summaries   whether summaries that are asked for answer, and what a whole book costs
# make bench-perplexity  what a longer memory is worth to the language model
# make bench-adaptation   what adapting is worth to the real questions of collections, ten minutes each at most
# make lock    hashes of all that the image installs -> requirements.lock, deploy/tools.lock
# make licences  the licences of that -> LICENCES.md
# make sbom    what is installed, as CycloneDX -> sbom.cdx.json
# make security  what SECURITY.md promises, in figures -> bench/results
# make hostile  files made to hurt, as large as bodies may be, through a real service -> bench/results
# make fuzz    FUZZ_SECONDS (600) of coverage-guided fuzzing of all that reads what strangers write -> bench/results
# make memory  peaks of memory for large files and over many requests -> bench/results; MEMORY_ARGS=--fakes spares hours of embedding
# make chaos   two hundred kills of a running service -> bench/results

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
DATA ?= ../shared/data

# PyTorch's own index of CPU wheels, tried first; the same pin from PyPI is a build with CUDA on Linux.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' constraints.txt)

# Allocation dominates CPU time on virtual machines; tcmalloc made a training step 4 times faster.
TCMALLOC := $(shell PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | sed -n 's/.*libtcmalloc_minimal\.so\.4 .*=> //p' | head -n 1)
FAST := $(if $(TCMALLOC),LD_PRELOAD=$(TCMALLOC))

.PHONY: help install run test check format lock licences sbom bench bench-attention bench-reading bench-adaptation bench-collection bench-domains bench-summaries bench-perplexity security chaos hostile fuzz memory eval train-reader clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install: $(VENV)/.installed

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Lectern needs Python 3.11 or newer: none was found on PATH (set PYTHON=...)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch goes first and alone, so that nothing that asks for it picks another build.
$(VENV)/.torch: constraints.txt | $(VENV)/.python
	@if $(BIN)/python -c 'import sys, importlib.metadata as m; sys.exit("torch==" + m.version("torch").split("+")[0] != "$(TORCH)")' 2>/dev/null; then \
		echo "$(TORCH) is installed"; \
	elif test -n "$(TORCH_INDEX)" && $(BIN)/python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/torch/", timeout=5)' "$(TORCH_INDEX)" 2>/dev/null; then \
		$(BIN)/pip install --no-deps --index-url "$(TORCH_INDEX)" $(TORCH); \
	else \
		echo "TORCH_INDEX '$(TORCH_INDEX)' cannot be reached: $(TORCH) comes from pip's default index"; \
		$(BIN)/pip install $(TORCH) -c constraints.txt; \
	fi
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/pip install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	@touch $@

run: $(VENV)/.installed
	$(FAST) exec $(BIN)/lectern serve --host $(HOST) --port $(PORT)

test: $(VENV)/.installed-dev
	$(FAST) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.speed --data $(DATA) $(BENCH_ARGS)
	$(FAST) $(BIN)/python -m bench.concurrency --data $(DATA)

bench-attention: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.attention $(BENCH_ARGS)

bench-reading: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.reading_depth --data $(DATA) $(BENCH_ARGS)

bench-summaries: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.asked_summaries --data $(DATA) $(BENCH_ARGS)
	$(FAST) $(BIN)/python -m bench.long_summaries --data $(DATA)

bench-perplexity: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.perplexity --data $(DATA)

bench-collection: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.collection --data $(DATA) $(BENCH_ARGS)

bench-domains: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.domains $(BENCH_ARGS)

bench-adaptation: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.adaptation --data $(DATA) $(BENCH_ARGS)

eval: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.quality --data $(DATA) $(EVAL_ARGS)

security: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.security

chaos: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m tests.chaos.run $(CHAOS_ARGS)

hostile: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m tests.hostile.run $(HOSTILE_ARGS)

# atheris is a wheel for few Pythons and Linux alone, and nothing else needs it: it stays beside the environment.
FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.installed-dev
	test -d $(VENV)/fuzz/atheris || $(BIN)/pip install --no-deps --target $(VENV)/fuzz atheris==3.0.0
	PYTHONPATH=$(VENV)/fuzz $(BIN)/python -m tests.hostile.fuzz --seconds $(FUZZ_SECONDS) --corpus .fuzz

memory: $(VENV)/.installed-dev
	$(FAST) $(BIN)/python -m bench.memory $(MEMORY_ARGS)

train-reader: $(VENV)/.installed
	$(FAST) $(BIN)/python -m model.training.reader $(ARGS)

# uv reads every file's hash from the index, those of other platforms too; it stays out of our environment.
LOCK := $(VENV)/lock/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-annotate --no-header
lock: $(VENV)/.installed
	test -x $(VENV)/lock/bin/uv || { $(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install uv; }
	$(BIN)/python deploy/packages.py pins | $(LOCK) --no-deps --output-file requirements.lock -
	echo cyclonedx-bom | $(LOCK) --output-file deploy/tools.lock -

licences: $(VENV)/.installed
	$(BIN)/python deploy/packages.py licences > LICENCES.md

sbom: $(VENV)/.installed
	test -x $(VENV)/tools/bin/cyclonedx-py || { $(PYTHON) -m venv $(VENV)/tools && $(VENV)/tools/bin/pip install --no-deps --require-hashes -r deploy/tools.lock; }
	$(VENV)/tools/bin/cyclonedx-py environment --output-reproducible --of JSON -o sbom.cdx.json $(BIN)/python

clean:
	rm -rf $(VENV) build dist *.egg-info sbom.cdx.json

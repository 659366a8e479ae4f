# One command from a clean clone to each thing a person wants of this repository. System packages that
# are missing come by apt (bootstrap/host), everything of Python's goes into .venv, and nothing else on
# the machine is touched.

# The system's own Python, not whichever a version manager has put first on the PATH.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Runs a command, then gives what it left in the tree back to the caller of sudo; the command's verdict stands.
keep_tidy = $(1); verdict=$$?; bootstrap/give-back; exit $$verdict

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test bench bench-dataplane lint unit fuzz docs clean network

help:
	@echo "make demo             figure 4 of the DOVE report on this machine, with real traffic (root)"
	@echo "make test             lint, then every test (root)"
	@echo "make bench            policy acquisition, measured and compared, into build/bench (root, 25 minutes)"
	@echo "make bench-dataplane  TCP through dSwitches beside TCP through a plain tunnel (root)"
	@echo "make lint             ruff, mypy, import-linter"
	@echo "make unit             the tests of the pure layers, which cover every line and branch"
	@echo "make fuzz             damaged policy requests against the fast lane, watched by sanitizers (SECONDS=60)"
	@echo "make docs             the manual, into docs/_build/html"
	@echo "make clean            remove what make has made, .venv included"

demo: network $(VENV)/.installed
	@PYTHONDONTWRITEBYTECODE=1 $(BIN)/python mininet/demo.py

bench: network $(VENV)/.compiled $(VENV)/.installed-bench
	@$(call keep_tidy,PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m dove_ryu.bench --output build/bench)

bench-dataplane: network $(VENV)/.installed
	@PYTHONDONTWRITEBYTECODE=1 $(BIN)/python mininet/bench_dataplane.py

# pytest speaks last. The unit tier runs twice: alone under coverage, where it may owe nothing to the
# other tiers, then with the rest, so that the closing line counts every test.
test: network $(VENV)/.compiled lint unit
	@echo "== pytest: all tiers"
	@$(call keep_tidy,$(BIN)/python -m pytest)

lint: $(VENV)/.installed
	@echo "== ruff, mypy, import-linter"
	@$(call keep_tidy,$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/lint-imports --no-logo)

unit: $(VENV)/.compiled
	@echo "== pytest: the unit tier, under coverage"
	@$(call keep_tidy,$(BIN)/python -m pytest tests/unit --numprocesses 2 --dist loadfile --cov --cov-config=pyproject.toml)

# The compiler's sanitizers see what no comparison can. Python's own memory comes from malloc, which they watch too.
SECONDS := 60
fuzz: $(VENV)/.compiled
	@echo "== $(SECONDS) s of damage"
	@mkdir -p build/fuzz
	@CFLAGS="-g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
	 $(BIN)/python setup.py --quiet build_ext --force --build-lib build/fuzz --build-temp build/fuzz
	@$(call keep_tidy,LD_PRELOAD=$$(gcc -print-file-name=libasan.so) PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
	 $(BIN)/python -m tests.fuzz.lane_fuzz --seconds $(SECONDS) --lane 'build/fuzz/dove_ryu/southbound/_lane.*.so')

docs: $(VENV)/.installed-docs
	@$(call keep_tidy,$(BIN)/python -m sphinx --fail-on-warning --keep-going docs docs/_build/html)

clean:
	rm -rf $(VENV) build dove_ryu/southbound/_lane.*.so *.egg-info docs/_build docs/generated .coverage .coverage.* .hypothesis .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

network:
	@bootstrap/host network

# The package's own C, of the fast lane; where there is no compiler the installation goes on without it.
LANE := $(addprefix dove_ryu/southbound/lane,.py _memory.pxd _blocks.h)

$(VENV)/.compiled: $(LANE) setup.py $(VENV)/.installed
	@PYTHON=$(PYTHON) bootstrap/host compiler
	@$(call keep_tidy,$(BIN)/python setup.py --quiet build_ext --inplace && touch $@)

$(VENV)/.installed: setup.cfg setup.py $(LANE)
	@bootstrap/host python $(PYTHON)
	@echo "== Installing Python packages into $(VENV)"
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(call keep_tidy,$(PIP) install --editable '.[test]' && touch $@)

$(VENV)/.installed-bench: $(VENV)/.installed
	@$(call keep_tidy,$(PIP) install --editable '.[bench]' && touch $@)

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(call keep_tidy,$(PIP) install --editable '.[docs]' && touch $@)

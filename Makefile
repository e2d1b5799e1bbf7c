# Everything on a fresh machine that has python3 (3.11 or newer): the first target that needs
# it creates .venv and installs into it. PYTHON and VENV may be set.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# The two folders as they are installed, for mypy, which knows no mapping of folders to packages
TYPED   = $(VENV)/typed

# Where n8n versions are installed that are asked for by number
N8N_CACHE ?= build/n8n

# Histories of a runner among hostile neighbours (see tests/simulation/README.md): make simulate SEEDS=100000, or one: SEED=106;
# PROCESSES: as many as there are processors
SEEDS ?= 1000

.PHONY: demo test slow properties suites packages simulate lint check mutants bench e2e e2e-queue e2e-newest e2e-original pythons systemd containers vms site clean

demo: $(VENV)/.installed
	$(BIN)/reptarium demo

# The tests start the runner and its zygote some hundred times: each would compile everything anew where Python is told
# to write no byte code (a third of the suite's time, measured). The demo's scripts are no modules.
COMPILE = $(BIN)/python -m compileall -q -x '/scripts/|/data/' pool sandbox tests

# On every processor, and half as many again; a file's tests stay together, since they share what they start. In their own
# order: by their number, as xdist would have it, the few that take longest would come last, one after the other. That a
# failed assertion shows its values costs each process half of its start: what has failed is played once more for that
test: $(VENV)/.tested
	$(COMPILE)
	$(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile --no-loadscope-reorder --assert=plain --ignore tests/load $(PYTEST_ARGS) \
		|| { $(BIN)/python -m pytest -q --lf --lfnf none $(PYTEST_ARGS); exit 1; }

# What takes seconds each: load and faults, benchmarks, the built wheel, further variants of what starts processes. What
# isn't there to be tested with is named at the end: libraries (make packages runs those), servers (postgresql,
# redis-server, nginx, mariadb-server)
slow: $(VENV)/.tested
	$(COMPILE)
	$(BIN)/python -m pytest -q -rs -m slow $(PYTEST_ARGS)

# What depends on the Python, for another one: make suites PYTHON=python3.13 VENV=.venv-3.13
suites: $(VENV)/.tested
	$(COMPILE)
	$(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) tests/unit/language tests/security tests/integration

# Many examples of every property, where `make test` has time for few: an hour
properties: $(VENV)/.tested
	REPTARIUM_TEST_EXAMPLES=25 $(BIN)/python -m pytest -q -m hypothesis -n auto $(PYTEST_ARGS)

simulate: $(VENV)/.tested
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) $(if $(PROCESSES),--processes $(PROCESSES)))

# Ordinary programs, and the corpus of packages that people name (docs/packages.md is written of it), in real workers;
# and libraries that speak with real servers: all of it, whichever fails. They have an environment of their own, since some
# want other versions than the tests have. Another Python: make packages PYTHON=python3.13 VENV=.venv313
PACKAGES ?= $(VENV)-packages
packages: $(PACKAGES)/.installed
	failed=; \
	$(PACKAGES)/bin/python -m tests.packages || failed=1; \
	$(PACKAGES)/bin/python -m pytest -q tests/integration/language/test_programs.py || failed=1; \
	$(PACKAGES)/bin/python -m pytest -q -rs tests/powers/test_libraries.py tests/powers/test_resolvers.py || failed=1; \
	test -z "$$failed"

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(TYPED) && mkdir -p $(TYPED)/reptarium
	ln -s $(CURDIR)/pool $(CURDIR)/sandbox $(CURDIR)/pool/reptarium/*.py $(TYPED)/reptarium
	MYPYPATH=$(TYPED) $(BIN)/mypy

check: lint test slow demo

# Breaks the sandbox in two dozen places, one after the other, and sees whether the tests tell (tests/mutants)
mutants: $(VENV)/.tested
	$(BIN)/python tests/mutants/run.py $(MUTANTS_ARGS)

bench: $(VENV)/.installed
	$(BIN)/reptarium bench --targets

# A real n8n (see tests/e2e/README.md): make e2e N8N_DIR=/where/it/is, or N8N_VERSION="2.40.5 2.41.1" to install some;
# e2e-queue: queue mode, with PostgreSQL and Redis; e2e-newest: both, on the newest that the registry has
E2E = $(BIN)/python tests/e2e/versions.py --runner-cmd "$(abspath $(BIN))/reptarium run" --cache "$(N8N_CACHE)" \
	--n8n-dir "$(N8N_DIR)" --n8n-version "$(N8N_VERSION)" $(E2E_ARGS)

e2e: $(VENV)/.tested
	$(E2E) --mode plain

e2e-queue: $(VENV)/.tested
	$(E2E) --mode queue

e2e-newest: $(VENV)/.tested
	N8N_SUBSTITUTE=1 $(E2E) --mode all --newest

# n8n's own Python runner beside ours (see tests/e2e/README.md): make e2e-original ORIGINAL_CMD='what starts it'
e2e-original: $(VENV)/.tested
	$(BIN)/python tests/e2e/original.py --original-cmd "$(ORIGINAL_CMD)" $(E2E_ARGS)
	ORIGINAL_CMD="$(ORIGINAL_CMD)" $(BIN)/python -m pytest -q -rs -m slow tests/powers/test_same_results.py

# Other platforms (tests/platforms/README.md, results in docs/platforms.md); everything they make lies in $PLATFORMS, outside of
# this tree. make pythons VERSIONS="3.14": CPythons of Debian's newest suite, for PYTHON= above and for .ci/pythons
pythons:
	tests/platforms/pythons.sh $(VERSIONS)

# The unit on a real systemd; the image under a real Docker and Podman: on this machine's kernel, in namespaces. Root
systemd containers:
	tests/platforms/native.sh $@

# Debian's kernels in emulated machines, one after the other: hours. make vms KERNELS="bullseye-amd64 trixie-arm64"
KERNELS ?= bullseye-amd64 bookworm-amd64 trixie-amd64 trixie-arm64
vms:
	failed=; for each in $(KERNELS); do tests/platforms/vm.sh "$${each%-*}" "$${each##*-}" || failed="$$failed $$each"; done; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# The documentation as a site, in build/site; what is wrong in it is an error
SITE = $(VENV)-site
site:
	test -x $(SITE)/bin/mkdocs || { $(PYTHON) -m venv $(SITE) && \
		$(SITE)/bin/python -m pip install -q --disable-pip-version-check -c constraints-docs.txt mkdocs-material; }
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Reptarium needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt constraints-test.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints-test.txt -e '.[test]'
	touch $@

$(PACKAGES)/.installed: pyproject.toml tests/packages/constraints.txt
	$(PYTHON) -m venv $(PACKAGES)
	$(PACKAGES)/bin/python -m pip install --disable-pip-version-check --prefer-binary --progress-bar off \
		-c tests/packages/constraints.txt -e '.[test,packages,clients]'
	$(PACKAGES)/bin/python -m pip check
	touch $@

clean:
	rm -rf $(VENV) $(PACKAGES) $(SITE) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

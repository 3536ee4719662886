# Two commands do everything on a fresh Debian 12 machine, as root: `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Each target is one conversation with the person who typed it.
.NOTPARALLEL:

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Where it is set, each start of a program would compile the library anew: seconds, hundreds of times.
unexport PYTHONDONTWRITEBYTECODE
export CONTAINERS_CONF := $(CURDIR)/molecule/shared/containers.conf
# The demo shows what changes; `ansible-playbook` typed by hand shows everything.
DEMO := ANSIBLE_DISPLAY_OK_HOSTS=false ansible-playbook --inventory inventory/demo

# On the controller: the test hosts, SSH to them, the virtual environment.
PACKAGES := podman runc netavark aardvark-dns iptables debootstrap catatonit uidmap openssh-client python3-venv
# The tests run against a private PostgreSQL cluster besides, and look at the pages of runs in a browser.
TEST_PACKAGES := postgresql sqlite3 pgloader stunnel4 chromium

##@ Run it
.PHONY: demo
demo: setup  ## Make two hosts, one with an application and its SQLite database, and move it to PostgreSQL on the other
	@$(DEMO) playbooks/demo.yml
	@cat .demo/summary.txt

.PHONY: demo-psql
demo-psql:  ## Open psql on the demo's database, from the application's host as the owner
	@podman exec --interactive $$(test -t 0 && echo --tty) $$(cat .demo/prefix)-app1 psql --pset pager=off "$$(cat .demo/target)"

.PHONY: demo-shell
demo-shell:  ## Open a root shell on a host of the demo (HOST=app1 or HOST=db1)
	@podman exec --interactive $$(test -t 0 && echo --tty) $$(cat .demo/prefix)-$(or $(HOST),app1) bash

.PHONY: screenshot
screenshot: test-packages  ## Take the README's picture of the page of the demo's last cut-over
	@mkdir -p docs/images
	@profile=$$(mktemp -d); trap 'rm -rf "$$profile"' EXIT; \
	page=$$(find .demo/reports -name '*-cut_over-*.html' | sort | tail -n 1); \
	test -n "$$page" || { echo "no page in .demo/reports: make demo first"; exit 1; }; \
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$$profile" --window-size=1040,1240 \
	  --screenshot=docs/images/report.png "file://$(CURDIR)/$$page" 2>/dev/null
	@ls -l docs/images/report.png

.PHONY: figures
figures: setup test-packages  ## Measure the demo's databases on a quiet machine, and write the figures of docs and README anew
	@test -e .demo/prefix || { echo "make demo first"; exit 1; }
	@$(DEMO) playbooks/benchmark.yml --extra-vars '{"application_benchmark_rounds": 3}'
	@podman exec $$(cat .demo/prefix)-app1 sh -c 'cat "$$(ls -d /var/lib/contralock-migration/*-benchmark-*/benchmark.json | tail -n 1)"' \
	  | benchmarks/tell_benchmark.py
	@git diff --stat -- README.md docs

.PHONY: demo-clean
demo-clean: setup  ## Remove the demo's hosts, its network and its secrets
	@$(DEMO) molecule/shared/destroy.yml
	@rm -rf .demo

##@ Test it
.PHONY: test
test: lint code molecule  ## Lint, unit and integration tests, Molecule: everything that has to hold
	@echo "make test: everything passed"

.PHONY: test-all
test-all: test  ## The same and the long campaigns
	pytest -q -n 2 tests/integration/campaign --examples 10000

.PHONY: lint
lint: setup  ## ansible-lint (production profile), yamllint, ruff, mypy on the library
	ruff check
	ruff format --check
	yamllint --strict .
	@# Side by side: each keeps one processor busy. ansible-lint reads the playbooks without hosts, which ansible.cfg calls an error.
	mypy & types=$$!; failed=0; \
	ANSIBLE_HOST_PATTERN_MISMATCH=ignore ansible-lint --offline || failed=$$?; \
	wait $$types || failed=$$?; exit $$failed

# One more than two processors: each waits now and then, for a server, a process or a disk.
PYTEST := pytest -q -n 3 --dist worksteal
NODE_TESTS := molecule/shared/run_node_tests.py

.PHONY: code
code: setup test-packages  ## The next two, side by side: the application's tests wait for most of their time
	@$(NODE_TESTS) & application=$$!; failed=0; \
	$(PYTEST) || failed=$$?; \
	wait $$application || failed=$$?; exit $$failed

.PHONY: unit
unit: setup test-packages  ## Unit tests, and integration tests against a private PostgreSQL cluster
	$(PYTEST)

.PHONY: application
application: setup  ## Unit and integration tests of the Node application, in containers of the host images
	@$(NODE_TESTS)

.PHONY: molecule
molecule: setup  ## Role and journey tests on real hosts (SCENARIOS="prepare ..." for some)
	molecule/shared/run_scenarios.py $(SCENARIOS)

##@ Set it up
.PHONY: setup
setup: packages .venv/requirements.txt  ## Install Debian's packages and the pinned virtual environment

.PHONY: packages
# npm by its command: what brings Node from elsewhere brings it without a package of that name.
packages:
	@$(call install_packages,$(PACKAGES))
	@command -v npm >/dev/null || { $(call install_packages,nodejs npm); }

.PHONY: test-packages
# Debian's package would start a cluster on this machine; the tests make their own.
test-packages:
	@if [ ! -e /etc/postgresql-common/createcluster.conf ] && ! dpkg-query -W postgresql >/dev/null 2>&1; then \
	  install -d /etc/postgresql-common; \
	  echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; fi
	@$(call install_packages,$(TEST_PACKAGES))

# The environment is made anew when the lock changes; its copy of the lock says that it is whole.
.venv/requirements.txt: requirements.txt
	@echo "making the virtual environment (.venv) from requirements.txt ..."
	@rm -rf .venv
	@/usr/bin/python3 -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	@cp requirements.txt $@

.PHONY: images
images: setup  ## Build the images of the test hosts that are missing
	@molecule/shared/build_images.py

.PHONY: lock
lock: setup  ## Pin anew what requirements.in and requirements-hosts.in ask for
	pip-compile --quiet $(LOCK_OPTIONS) --output-file requirements.txt requirements.in
	pip-compile --quiet $(LOCK_OPTIONS) --output-file requirements-hosts.txt requirements-hosts.in
LOCK_OPTIONS := --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header \
                --no-emit-index-url --no-emit-find-links --no-emit-options

.PHONY: clean
clean: demo-clean  ## Remove the demo, the hosts of test runs that died, the host images and the virtual environment
	@molecule/shared/run_scenarios.py --clean
	@podman images --quiet --filter reference=localhost/contralock-host | sort -u | xargs --no-run-if-empty podman rmi || echo 'images in use by another checkout stay'
	@rm -rf .venv .cache

.PHONY: help
help:  ## This list
	@awk 'BEGIN {FS = ":.*  ## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*  ## / {printf "  make %-12s %s\n", $$1, $$2}' \
	  $(MAKEFILE_LIST)

define install_packages
missing=$$(for package in $(1); do \
    dpkg-query --show --showformat='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || echo $$package; done); \
if [ -n "$$missing" ]; then \
  echo "installing Debian packages:" $$missing; \
  log=$$(mktemp); \
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; } >$$log 2>&1 \
    || { tail -n 25 $$log; rm -f $$log; exit 1; }; \
  rm -f $$log; fi
endef

# The ledger's commands. `make` shows them.

GO ?= go
# One private PostgreSQL for all packages of a run.
WITHPG := $(GO) run ./eventstore/testpg/withpg
LINT_VERSION := v2.15.0
LINT := .cache/golangci-lint-$(LINT_VERSION)

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: ## build bin/ledger
	$(GO) build -trimpath -o bin/ledger ./cmd/ledger

.PHONY: run
run: build ## build and start the server on the embedded store, with a demo merchant and the sandbox bank
	./bin/ledger serve --demo

# Four tests of a package at a time, whatever the cores: many wait for time limits, killed databases, full disks.
.PHONY: test
test: postgres sqlite3 node php plaintext chromium razorpay-client sdk-test ## run every test; gets what it needs by itself
	LEDGER_TEST_NODE=required LEDGER_TEST_PHP=required LEDGER_TEST_PLAINTEXT=required LEDGER_TEST_NPM=required LEDGER_TEST_CHROMIUM=required $(WITHPG) $(GO) test -parallel 4 -timeout 20m ./...

.PHONY: race
race: postgres sqlite3 node php plaintext chromium razorpay-client sdk ## run every test under the race detector (needs a C compiler)
	LEDGER_TEST_NODE=required LEDGER_TEST_PHP=required LEDGER_TEST_PLAINTEXT=required LEDGER_TEST_NPM=required LEDGER_TEST_CHROMIUM=required $(WITHPG) $(GO) test -race -timeout 30m ./...

.PHONY: lint
lint: $(LINT) ## gofmt, vet and the linters
	$(LINT) run ./...

.PHONY: bench
BENCH ?=
bench: build postgres ## run `ledger bench` on SQLite and on a private PostgreSQL; BENCH='append settle --rounds 5' says what
	./bin/ledger bench $(BENCH)
	LEDGER_TEST_POSTGRES= $(WITHPG) -durable sh -c './bin/ledger bench --db "$$LEDGER_TEST_POSTGRES" $(BENCH)'

.PHONY: microbench
microbench: postgres ## run the Go benchmarks
	$(WITHPG) $(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: sim
SIM_FOR ?= 10m
SIM_SEED ?=
sim: ## simulate worlds full of faults for SIM_FOR, from the seed SIM_SEED on (default: one made of the time)
	cd cmd/ledger/simulation && SIM_FOR=$(SIM_FOR) SIM_SEED=$(SIM_SEED) $(GO) test -count=1 -timeout 0 -run '^TestSimulation$$' # without a package: then go test shows the figures

.PHONY: fuzz
FUZZTIME ?= 30s
fuzz: ## run every fuzz target for FUZZTIME
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 200x $$p || exit 1; \
	  done; done

.PHONY: kills
KILLS ?= 100
kills: postgres ## kill the server under load of every kind KILLS times on each store, cut its power KILLS times, and kill PostgreSQL; histories of clients through it
	LEDGER_TEST_KILLS=$(KILLS) LEDGER_TEST_HISTORIES=$(KILLS) $(WITHPG) $(GO) test -v -timeout 180m -run 'TestKilledAgainAndAgain|TestPostgresAway|TestEverything|TestPower|TestHistoriesAreLinearizable|TestHistoriesOverHTTP' ./cmd/ledger ./adapters/ledger ./eventstore/sqlite

$(LINT):
	mkdir -p .cache
	GOBIN=$(CURDIR)/.cache $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .cache/golangci-lint $@

# The tests start a private PostgreSQL cluster (eventstore/testpg). They need its programs: a server named by
# LEDGER_TEST_POSTGRES, programs on this machine, or Debian's package.
.PHONY: postgres
postgres:
	@if [ -n "$$LEDGER_TEST_POSTGRES" ] || command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo 'The tests need PostgreSQL: install the Debian package postgresql, or set LEDGER_TEST_POSTGRES to the URL of a server.' >&2; exit 1; fi; \
	echo 'Installing the Debian package postgresql for the tests (no cluster of its own is made)'; \
	mkdir -p /etc/postgresql-common; \
	[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null

# The callback tests run the sample verifiers of the API document: one is written for Node, one for PHP.
.PHONY: node php
node: PACKAGE := nodejs
php: PACKAGE := php-cli
node php:
	@if command -v $@ >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo 'The callback tests need $@: install the Debian package $(PACKAGE).' >&2; exit 1; fi; \
	echo 'Installing the Debian package $(PACKAGE) for the tests'; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGE) >/dev/null

# Backups are taken as the manual says, with the program of SQLite.
.PHONY: sqlite3
sqlite3:
	@if command -v sqlite3 >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo 'The tests of backups need sqlite3: install the Debian package sqlite3.' >&2; exit 1; fi; \
	echo 'Installing the Debian package sqlite3 for the tests'; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends sqlite3 >/dev/null

# The npm package is built and tested with npm, which Debian packs apart from Node.
.PHONY: npm
npm: node
	@if command -v npm >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo 'The npm package needs npm: install the Debian package npm.' >&2; exit 1; fi; \
	echo 'Installing the Debian package npm'; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm >/dev/null

.PHONY: sdk sdk-test
sdk: sdk/js/node_modules/.package-lock.json ## build the npm package, sdk/js, and its tests
	cd sdk/js && npm run --silent build && npm run --silent build:test

sdk-test: sdk ## build the npm package and run its own tests
	cd sdk/js && npm test --silent

sdk/js/node_modules/.package-lock.json: sdk/js/package.json sdk/js/package-lock.json | npm
	cd sdk/js && npm ci --ignore-scripts --loglevel=error
	touch $@

# Razorpay's official client is run against the sandbox's Razorpay face.
RAZORPAY_CLIENT := adapters/gateway/sandbox/testdata/razorpay-client
.PHONY: razorpay-client
razorpay-client: $(RAZORPAY_CLIENT)/node_modules/.package-lock.json

$(RAZORPAY_CLIENT)/node_modules/.package-lock.json: $(RAZORPAY_CLIENT)/package.json $(RAZORPAY_CLIENT)/package-lock.json | npm
	cd $(RAZORPAY_CLIENT) && npm ci --ignore-scripts --loglevel=error
	touch $@

# The journals are checked by the programs that they are for. Our own program is called ledger, too: Debian's is looked for where it is put.
.PHONY: plaintext
plaintext:
	@if command -v hledger >/dev/null && command -v bean-check >/dev/null && [ -x /usr/bin/ledger ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo 'The tests of journals need hledger, beancount and ledger: install the Debian packages of these names.' >&2; exit 1; fi; \
	echo 'Installing the Debian packages hledger, beancount and ledger for the tests'; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends hledger beancount ledger >/dev/null

# The checkout page is paid on in a real browser.
.PHONY: chromium
chromium:
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo 'The tests of the checkout page need Chromium: install the Debian package chromium.' >&2; exit 1; fi; \
	echo 'Installing the Debian package chromium for the tests'; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null

.PHONY: clean
clean: ## remove what was built; data stays
	rm -rf bin .cache sdk/js/dist sdk/js/build sdk/js/node_modules $(RAZORPAY_CLIENT)/node_modules

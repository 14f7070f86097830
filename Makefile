# Hongyan. `make help` lists what there is.

SHELL := /bin/bash
GO ?= go
TAGS := no_k8s
# Tests encrypt with mautrix-go's own Go instead of a C library.
TEST_TAGS := $(TAGS),goolm
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
PROTO := $(shell find api -name '*.proto')

# Pinned tools, run through the Go toolchain.
GOLANGCI_LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.1.4
GOTESTSUM := $(GO) run gotest.tools/gotestsum@v1.13.0

# Tests share two cores with the databases that they start.
TEST_PARALLEL ?= 2
TEST_TIMEOUT ?= 30m
TEST_PACKAGES ?= ./...
# Fault tests measure time: what their bounds are multiplied with, and which of them run.
FAULT_SLACK ?= 1
FAULT_RUN ?= TestFaults

.DEFAULT_GOAL := help

.PHONY: help
help: ## Say what there is
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build, and serve on http://localhost:8008 with data in ./data
	bin/hongyan serve $(ARGS)

.PHONY: build
build: ## Build bin/hongyan
	$(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/hongyan ./cmd/hongyan

.PHONY: test
test: deps test-go ## Install what tests need and run every test
	$(MAKE) test-js || { echo "the clients once more: what they wait for has bounds, which judge the machine too"; $(MAKE) test-js; }
	$(MAKE) fault SHORT=1 || { echo "the faults once more: bounds on time judge the machine too"; $(MAKE) fault SHORT=1; }

.PHONY: deps
deps: ## Install what tests need (PostgreSQL, ZooKeeper, NATS, HAProxy, the npm packages of the end-to-end test)
	scripts/test-deps.sh

# A few tests that fail are run once more and named: on two busy cores a process may get no time for seconds. A data race is
# never repeated.
.PHONY: test-go
test-go: build ## Run the Go tests, with the race detector and in random order
	TEST_HONGYAN_BIN=$(CURDIR)/bin/hongyan $(GOTESTSUM) --format pkgname-and-test-fails --format-hide-empty-pkg \
		--rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race \
		--packages '$(TEST_PACKAGES)' -- -tags $(TEST_TAGS) -race -shuffle=on -p $(TEST_PARALLEL) -timeout $(TEST_TIMEOUT)

.PHONY: test-js
test-js: build ## Run the end-to-end tests with matrix-js-sdk, on one process and on many
	TEST_JS=1 TEST_HONGYAN_BIN=$(CURDIR)/bin/hongyan $(GO) test -tags $(TAGS) -race -count=1 -v -timeout 15m ./test/e2e/js

.PHONY: fault
fault: build ## Break it under load and print what that did; SHORT=1 for minutes, FAULT_SLACK=2 for slow machines
	TEST_HONGYAN_BIN=$(CURDIR)/bin/hongyan FAULT=$(if $(SHORT),short,long) FAULT_SLACK=$(FAULT_SLACK) \
		$(GO) test -tags $(TAGS) -count=1 -v -timeout $(if $(SHORT),20m,3h) -run '$(FAULT_RUN)' ./test/fault

.PHONY: bench
bench: ## Run the Go benchmarks (append, send, sync)
	$(GO) test -tags $(TAGS) -run '^$$' -bench . -benchmem ./platform/... ./matrix/... ./service/...

.PHONY: lint
lint: verify-fmt verify-lint ## Check form and common mistakes

.PHONY: vet
vet: ## Run go vet
	$(GO) vet -tags $(TEST_TAGS) ./...

.PHONY: verify-fmt
verify-fmt: ## Say which Go files are not formatted
	@files=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); test -z "$$files" || { echo "not formatted (make fix-fmt):"; echo "$$files"; exit 1; }

.PHONY: fix-fmt
fix-fmt: ## Format all Go files
	git ls-files -co --exclude-standard '*.go' | xargs gofmt -w

.PHONY: verify-lint
verify-lint: ## Run golangci-lint
	$(GOLANGCI_LINT) run ./...

.PHONY: fix-lint
fix-lint: ## Mend what golangci-lint can mend
	$(GOLANGCI_LINT) run --fix ./...

.PHONY: verify-proto
verify-proto: proto ## Say whether the generated code is up to date
	git diff --exit-code -- api

.PHONY: proto
proto: $(PROTO) ## Generate the Go code of api/ (needs protoc, protoc-gen-go, protoc-gen-go-grpc)
	bash api/gen.sh

.PHONY: verify-mod
verify-mod: ## Say whether go.mod is tidy
	$(GO) mod tidy -diff

.PHONY: fix-mod
fix-mod: ## Tidy go.mod
	$(GO) mod tidy

.PHONY: verify-vuln
verify-vuln: ## Look for known vulnerabilities (needs the network)
	$(GOVULNCHECK) -tags $(TAGS) ./...

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin

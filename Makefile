# make help

GO        ?= go
BIN       := bin/authenticator
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT    ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
CREATED   ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
ARCHS     ?= amd64,arm64
IMAGE     ?= authenticator
LDFLAGS   := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
TOOL      := $(GO) tool -modfile=$(CURDIR)/.ci/tools.mod
FUZZTIME  ?= 20s

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/authenticator and bin/authenticator-controller
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(dir $(BIN)) ./cmd/...

.PHONY: test
test: ## Run the fast tests; needs nothing but Go
	$(GO) test ./...

.PHONY: race
race: ## Run the fast tests with the race detector; needs a C compiler
	$(GO) test -race ./...

.PHONY: e2e
e2e: ## Run the stories on a real API server, etcd and kubectl (built the first time, 3 to 7 minutes)
	$(GO) -C e2e run ./build >/dev/null
	$(GO) -C e2e test -count=1 -timeout=40m ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (20s)
	@for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "$$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package || exit 1; \
	  done; \
	done

.PHONY: bench
bench: ## Run the benchmarks, and measure what a token costs kubectl, a login the server, and new nodes EC2
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/...
	$(GO) run ./bench/startup
	$(GO) run ./bench/login -plot docs/img/logins.svg
	$(GO) run ./bench/nodes

.PHONY: lint
lint: ## Check style, generated files, dependencies and known vulnerabilities
	$(TOOL) golangci-lint run ./...
	cd e2e && $(TOOL) golangci-lint run --config ../.golangci.yml ./...
	GOOS=windows $(GO) vet ./cmd/... ./pkg/...
	GOOS=darwin $(GO) vet ./cmd/... ./pkg/...
	$(GO) mod tidy -diff
	$(GO) -C e2e mod tidy -diff
	$(GO) generate ./...
	git diff --exit-code -- '*_gen.go' '*/zz_generated.*.go' deploy docs/configuration.md
	@for values in deploy/chart/examples/*.yaml; do \
	  $(GO) tool -modfile=.ci/helm.mod helm lint --strict --quiet deploy/chart --values $$values || exit 1; \
	done
	.ci/promtool check rules deploy/monitoring/rules.yaml
	.ci/promtool test rules deploy/monitoring/rules_test.yaml
	.ci/govulncheck

.PHONY: image
image: ## Build the container image for ARCHS (amd64,arm64) into bin/, without a container engine
	$(GO) -C e2e run ./image -o ../bin -arch $(ARCHS) -tag $(IMAGE):$(VERSION) -version $(VERSION) -commit $(COMMIT) -created $(CREATED)

.PHONY: release-check
release-check: ## Make a release for this platform into dist/, without publishing it, and check it
	.ci/release-check

.PHONY: demo
demo: build ## Show a login without AWS and without a cluster
	$(GO) run ./internal/dev/demo $(BIN)

.PHONY: demo-cluster
demo-cluster: ## Show a login with kubectl on a real API server, without AWS
	$(GO) -C e2e run ./demo

.PHONY: clean
clean: ## Remove what was built here
	rm -rf bin dist

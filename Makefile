# `make` or `make help` lists the targets. Two cores and Debian 12 are enough.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export PATH := $(PATH):/usr/local/go/bin

# Only a tagged, clean tree has a version; any other build is a development one
# and says its commit.
VERSION ?= $(shell git diff --quiet HEAD 2>/dev/null && git describe --tags --exact-match 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION)
STATIC  := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
FUZZTIME ?= 30s
SOAKTIME ?= 60
GUESTS  ?= 6.1 6.12

# Tests of the kernel need root. Off CI, sudo runs the test binaries and no more.
ROOT := $(if $(filter-out 0,$(shell id -u)),-exec "sudo -E")

##@ Build

.PHONY: build
build: ## bin/reconciler and bin/reconciler-boot, static binaries
	$(STATIC) -o bin/reconciler ./cmd/reconciler
	$(STATIC) -o bin/reconciler-boot ./cmd/reconciler-boot

.PHONY: dist
dist: ## dist/reconciler-ARCH.tar.gz and .zip with their sha256, as upgrades take them
	go run ./test/dist -version '$(VERSION)' -stamp "$$(git log -1 --format=%ct)" -out dist

.PHONY: generate
generate: deps-generate ## write the generated files anew: schemas, BPF objects
	go generate ./...

.PHONY: clean
clean: ## remove what was built; downloaded kernels go too
	rm -rf bin dist .cache

##@ See it work

.PHONY: demo
demo: deps-play build ## watch it follow a Git repository, in throwaway network namespaces
	test/root.sh
	$(if $(ROOT),sudo )bin/reconciler demo

.PHONY: play
play: deps-play build ## a repository, a namespace, the daemon, and a shell to push from
	test/root.sh
	$(if $(ROOT),sudo )docs/play.sh bin/reconciler

##@ Test

.PHONY: test
test: deps ## every test of this machine's kernel, with the race detector; needs root (or sudo)
	test/root.sh
	go test -race -json -timeout 20m $(ROOT) ./... | go run ./test/verdict
	go test -timeout 20m -run TestWalk ./internal/diff

.PHONY: test-guest
test-guest: deps-guest ## the tests that want Debian's own kernels, or its systemd, under qemu; needs no root
	for kernel in $(GUESTS); do go run ./test/guest -kernel "$$kernel"; done
	go run ./test/guest -systemd
	go run ./test/guest -cuts 3

.PHONY: test-systemd
test-systemd: deps-guest ## the last of them alone: README's installation and the unit, under a booted systemd
	go run ./test/guest -systemd

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	test/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: deps ## ratios against raw netlink and ip -batch, from one interleaved run; needs root
	test/root.sh
	go run $(ROOT) ./test/bench

.PHONY: soak
soak: deps ## what is too long for CI, in SOAKTIME (60) minutes: fuzzing, 2,000 swaps a hook, 1,000 kills, all tests over and over
	test/root.sh
	test/soak.sh $(SOAKTIME)

##@ Keep house

.PHONY: lint
lint: ## gofmt, go vet, staticcheck and the rules in test/rules
	unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted" >&2; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	go test ./test/rules

.PHONY: generate-check
generate-check: deps-generate ## fail when generated files are stale
	test/fresh.sh

.PHONY: dist-check
dist-check: ## fail unless two builds of dist are equal, byte by byte
	test/dist.sh

.PHONY: deps deps-guest deps-play deps-generate
deps: # what the tests need beside Go, from Debian, if it is missing
	test/deps.sh test
deps-guest:
	test/deps.sh guest
deps-play:
	test/deps.sh play
deps-generate: # clang of the version that the objects are committed from
	test/deps.sh generate

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' Makefile

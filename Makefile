# SPDX-License-Identifier: Apache-2.0

# Every target is a plain command that works alone; `make` is never needed.

PREFIX  ?= /usr
DESTDIR ?=
CACHE   ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/agentd-ci
VERSION ?=

.PHONY: help build demo test race bench lint format contracts conformance cross image ci nightly install clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "%-12s %s\n", $$1, $$2}' Makefile

build: ## the daemon and the sandbox, into dist/
	mkdir -p dist
	VERSION=$(VERSION) scripts/build.sh dist/agentd
	CGO_ENABLED=0 go build -trimpath -o dist/agentd-sandbox ./cmd/agentd-sandbox

demo: ## buy on every rail from a local Market
	go run ./cmd/agentd-sandbox demo

test: ## unit tests
	go test ./...

race: ## unit tests as CI runs them; needs a C compiler
	CGO_ENABLED=1 go test -race -shuffle=on ./...

bench: ## benchmarks of the hot paths, then a daemon beside the official clients; needs Python 3.11
	go test -run '^$$' -bench . -benchmem ./money ./policy ./ledger ./wallet ./orchestration ./payments/...
	scripts/peers.sh $(CACHE)/peers

lint: ## what CI's lint stage runs
	.ci/run format vet lint

format: ## gofmt in place
	gofmt -w $$(git ls-files '*.go')

contracts: ## recompile the sandbox's token and escrow; needs node
	scripts/contracts.sh

conformance: ## the official SDK against the sandbox; needs Python 3.11
	scripts/conformance.sh

cross: ## every architecture, with sizes
	scripts/size.sh

image: ## build and try the container image without an engine; needs root and buildah
	scripts/image.sh

ci: ## everything CI runs
	.ci/run

nightly: ## what takes longer than CI: fuzzing a minute each target, other seeds of torture, the comparison
	scripts/fuzz.sh 60
	scripts/torture.sh $$(shuf -i 1-1000000000 -n 3)
	scripts/peers.sh $(CACHE)/peers

install: ## binary, unit, groups and the folders for the configuration
	install -D -m 0755 dist/agentd $(DESTDIR)$(PREFIX)/bin/agentd
	install -D -m 0644 deploy/systemd/agentd.service $(DESTDIR)$(PREFIX)/lib/systemd/system/agentd.service
	install -D -m 0644 deploy/systemd/sysusers.d/agentd.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/agentd.conf
	install -d -m 0755 $(DESTDIR)/etc/agentd
	install -d -m 0700 $(DESTDIR)/etc/agentd/credentials

clean: ## remove dist/
	rm -rf dist

# Every target is one line of a script in hack/ or scripts/; run `make help`.
# Run as root (sudo make …) what talks to Docker, Open vSwitch or the host; the scripts find Go where sudo hides it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: quick-start quick-start-down install uninstall
quick-start: ## from nothing to two containers on an OVN network (sudo)
	@scripts/quick-start.sh
quick-start-down: ## remove all that quick-start made (sudo)
	@scripts/quick-start.sh --down
install: ## packages, Open vSwitch, images, plugin and command on this host (sudo)
	@scripts/install.sh
uninstall: ## take all of it back (sudo)
	@scripts/install.sh --uninstall

.PHONY: build images docker-build rootfs
build: ## the static binary, build/ovs-container-network
	@hack/build.sh
images: ## ovn-central:latest and the demo image
	@hack/images.sh
docker-build: build images ## the plugin's image, ovs-container-network:rootfs
	@hack/rootfs.sh image
rootfs: build ## what docker plugin create takes, build/plugin
	@hack/rootfs.sh

.PHONY: plugin-create enable disable upgrade logs dev-run
plugin-create: rootfs images ## the plugin, ovs-container-network:latest, not enabled yet
	@hack/plugin.sh create
enable: ## enable the plugin
	@hack/plugin.sh enable
disable: ## disable the plugin, networks or not; running containers keep their traffic
	@hack/plugin.sh disable
upgrade: rootfs images ## this checkout's plugin in place of the one that is installed; networks and containers stay (sudo)
	@hack/plugin.sh upgrade
logs: ## the plugin's log lines (FOLLOW=1 goes on)
	@hack/logs.sh
dev-run: build ## the plugin in the foreground, driver name ovs-dev, debug log (sudo)
	@hack/dev-run.sh

.PHONY: test test-unit test-integration soak seeds e2e-qemu e2e-lima e2e-versions e2e-many bench benchmarks lint deps
test: deps images test-unit test-integration ## all tests, and what they need (sudo)
test-unit: ## unit and contract tests (any user)
	@hack/test.sh unit
test-integration: images rootfs ## end to end, on hosts made of namespaces (sudo)
	@hack/test.sh integration
soak: images rootfs ## half an hour of everything that happens to a host (E2E_SOAK=5m, E2E_SEED=number; sudo)
	@hack/test.sh soak
seeds: ## networks, routers and transit networks that come and go at random, 50 times (SEEDS=5, SEED=number)
	@hack/test.sh seeds
e2e-qemu: images rootfs ## end to end, on virtual machines: kernel datapath, reboots, clocks (sudo)
	@hack/deps.sh vm && hack/test.sh qemu
e2e-lima: images rootfs ## end to end, on instances of Lima: a Mac or Linux, without root
	@hack/test.sh lima
e2e-versions: images rootfs ## end to end, on hosts of Debian 13, and of Debian 12 and 13 together (sudo)
	@hack/test.sh versions
e2e-many: rootfs ## the plugins of ten hosts with one OVN, and 200 containers that are played (sudo)
	@hack/test.sh many
bench: images rootfs ## how fast it is, beside the same by hand and Docker's own bridge (BENCH="--short --parts attach,docker"; sudo)
	@hack/test.sh bench $(BENCH)
benchmarks: ## Go's benchmarks of the packages (BENCH=regexp)
	@hack/test.sh benchmarks
lint: ## shellcheck and golangci-lint
	@hack/lint.sh
deps: ## packages that building and testing need (sudo)
	@hack/deps.sh

.PHONY: clean
clean: ## remove build/
	@hack/clean.sh

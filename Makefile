# The verbs of this project, one line each: what they do is in hack/.
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test test-chaos lint bench bench-flows bench-leaders fuzz image cluster-up cluster-down tools

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a local cluster with headworks in it, a broken flow refused, a good one admitted
	@hack/demo

demo-down: ## end the demo's cluster; nothing is left behind
	@hack/cluster down

test: ## every test: unit, corpus, integration on a real API server, end to end on a real node
	@hack/test

test-chaos: ## the engine killed ten thousand times, and at every single write
	@hack/test-chaos

lint: ## format, clippy, what dependencies are allowed to be
	@hack/lint

bench: ## the benchmarks of validation
	@cargo bench --bench validate

bench-flows: ## flows next to bare Jobs on a simulated node; ARGS=--load for 1,000 flows of 20 steps as well
	@hack/bench-flows $(ARGS)

bench-leaders: ## leader routing: memory, failovers, a node that dies; takes minutes
	@hack/bench-leaders

fuzz: ## run each fuzz target for a minute (needs nightly Rust and cargo-fuzz)
	@hack/fuzz/run

image: ## the release binary as an image archive, target/headworks-image.tar
	@hack/build-image

cluster-up: ## the local cluster, with a real node (root); SIZE=control-plane needs no root
	@hack/cluster up --size $(or $(SIZE),node)

cluster-down: ## end the local cluster
	@hack/cluster down

tools: ## build the local cluster's programs once: about 9 minutes
	@hack/cluster tools

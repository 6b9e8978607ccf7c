# The verbs of this project, one line each: what they do is in hack/.
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test lint bench fuzz image cluster-up cluster-down tools

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a local cluster with headworks in it, a broken flow refused, a good one admitted
	@hack/demo

demo-down: ## end the demo's cluster; nothing is left behind
	@hack/cluster down

test: ## every test: unit, corpus, integration on a real API server, end to end on a real node
	@hack/test

lint: ## format, clippy, what dependencies are allowed to be
	@hack/lint

bench: ## the benchmarks
	@cargo bench --bench validate

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

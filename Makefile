# The verbs of this project, one line each: what they do is in hack/.
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test test-chaos test-certificates test-restarts lint bench bench-flows bench-leaders bench-webhook fuzz image \
	cluster-up cluster-down tools

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a local cluster with headworks in it, a broken flow refused, a good one admitted
	@hack/demo

demo-down: ## end the demo's cluster; nothing is left behind
	@hack/cluster down

test: ## every test: unit, corpus, integration on a real API server, end to end on a real node
	@hack/test

test-chaos: ## the engine killed ten thousand times, and at every single write
	@hack/test-chaos

test-restarts: ## ninety restarts of the program under load, with its real times: two minutes
	@HEADWORKS_LONG=1 cargo test --locked --test it -- --nocapture lifecycle::restarts

test-certificates: ## twenty rolling restarts and rotations of the CA under load: no call is lost; about 15 minutes
	@hack/test-certificates

lint: ## format, clippy, what dependencies are allowed to be
	@hack/lint

bench: ## the benchmarks of validation
	@cargo bench --bench validate

bench-flows: ## flows next to bare Jobs on a simulated node; ARGS="--shapes load" for 1,000 flows of 20 steps, "--shapes many" for 2,000 of one
	@hack/bench-flows $(ARGS)

bench-leaders: ## leader routing: memory, failovers, a node that dies; takes minutes
	@hack/bench-leaders

bench-webhook: ## reviews as an API server calls, next to a handler that does nothing; takes half an hour
	@hack/bench-webhook $(ARGS)

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

# The project's verbs. Each is a script or a cargo command that can be run by itself.
.DEFAULT_GOAL := help
.PHONY: help run test check lint gen gen-check bench soak fuzz fuzz-build

help: ## Print this list.
	@sed -n 's/^\([a-z-]*\): ## /\1\t/p' Makefile | expand -t 12

run: ## Build, start the server, run an agent with a tool hosted in Python, stop.
	scripts/run.sh

test: ## All tests: contract, Rust, Python.
	scripts/test.sh

check: ## Type-check all Rust code.
	cargo check --locked --all-targets

lint: ## Formatters and linters of every language, docs without warnings.
	scripts/lint.sh

gen: ## Generate the clients' stubs from proto/.
	scripts/gen.sh

gen-check: ## Fail when the committed stubs are stale.
	scripts/gen-check.sh

bench: ## Measure, and print the figures.
	scripts/bench.sh

soak: ## End the server at every step of a run, a thousand times; no run is lost, no effect comes twice.
	scripts/soak.sh 56

fuzz: ## Fuzz every decoder for ten minutes.
	scripts/fuzz.sh 600

fuzz-build: ## Build the fuzz targets.
	scripts/fuzz.sh

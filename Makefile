# One line per task. Everything beyond a Rust toolchain that a task needs, it installs below `target/`,
# but for Debian's packages, which `.ci/run` installs (nginx-light and wrk for `bench`, shellcheck for
# `check`, python3-venv and npm for `test-clients`).

CARGO ?= cargo
ARGS ?=
TOOLS := $(CURDIR)/target/tools
export PATH := $(PATH):$(TOOLS)/bin

.PHONY: help run test check test-clients bench tools clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: ## build it and serve a model that needs no GPU; ARGS="--listen 127.0.0.1:9000 --data-dir DIR"
	$(CARGO) build --release --locked -p diogenes
	exec target/release/diogenes serve --demo $(ARGS)

test: ## every test: units, conformance, 10,000 schedules of the fleet, end to end
	$(CARGO) build --locked --workspace --all-features --bins
	$(CARGO) test --locked --workspace --all-features

check: tools ## format, lints, documentation, licences, unused dependencies, shell scripts
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --all-features --no-deps
	cargo-deny --all-features check bans licenses sources
	cargo-machete
	shellcheck .ci/run tests/clients/run.sh

test-clients: ## the official OpenAI clients for Python and JavaScript against `serve`
	$(CARGO) build --locked --workspace --all-features --bins
	tests/clients/run.sh

bench: ## side by side with nginx; needs two quiet cores, nginx and wrk
	$(CARGO) build --release --locked -p diogenes -p mock-vllm -p diogenes-bench
	target/release/diogenes-bench $(ARGS)

tools:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --root $(TOOLS) cargo-deny@0.20.2
	@command -v cargo-machete >/dev/null || $(CARGO) install --locked --root $(TOOLS) cargo-machete@0.9.2

clean: ## remove what was built
	$(CARGO) clean

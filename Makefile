# One line per task. Everything beyond a Rust toolchain that a task needs, it installs below `target/`,
# but for Debian's packages, which `.ci/run` installs (nginx-light and wrk for `bench`, shellcheck for
# `check`, python3-venv for `check`, `test-clients` and `test-oracle`, npm for `test-clients`).

CARGO ?= cargo
ARGS ?=
# Where `bench-peers` installs other gateways: outside of the checkout, so that `clean` leaves them.
PEERS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/diogenes-bench
# Parameters of the template, for `build` and `deploy`.
PARAMETERS ?=
# What looks at the account before `deploy`; empty for nothing.
PREFLIGHT ?= $(AWS_TOOLS)/bin/python scripts/preflight.py
OVERRIDES := $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))
TOOLS := $(CURDIR)/target/tools
AWS_TOOLS := $(TOOLS)/aws
# Pinned, as a linter that learns something new must not fail an old commit.
AWS_PACKAGES := aws-sam-cli==1.170.0 cfn-lint==1.58.0
BUILD_PACKAGES := cargo-lambda==1.9.2 ziglang==0.17.1
# It finds cargo-lambda and zig by PATH.
SAM = PATH="$(AWS_TOOLS)/bin:$(PATH)" SAM_CLI_TELEMETRY=0 $(AWS_TOOLS)/bin/sam
# Most tests wait for a program or a time: twice as many as there are cores end sooner.
TEST_THREADS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
FUNCTIONS := router authorizer keys cluster prompts batches datasets eval jobs orchestrator
export PATH := $(PATH):$(TOOLS)/bin

.PHONY: help run test check soak lint-template test-clients test-oracle bench bench-peers bench-batches bench-prompts bench-jobs bench-lambda build preflight deploy sam picture tools clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: ## build it and serve a model that needs no GPU; ARGS="--listen 127.0.0.1:9000 --data-dir DIR"
	$(CARGO) build --release --locked -p diogenes
	exec target/release/diogenes serve --demo $(ARGS)

# Both kinds at once: alone, the programs would be built with other features of their dependencies,
# and those twice.
test: ## every test: units, conformance, 5,000 schedules of the fleet, end to end
	$(CARGO) build --locked --workspace --all-features --bins --tests
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --workspace --all-features

# Beside all others a program has the features of its dependencies that they ask for; users build it alone.
check: tools lint-template ## format, lints, documentation, licences, unused dependencies, template, shell scripts
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-features --all-targets -- -D warnings
	$(CARGO) check --locked -p diogenes
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --all-features --no-deps
	cargo-deny --all-features check bans licenses sources
	cargo-machete
	shellcheck .ci/run tests/e2e/localstack/build-image.sh tests/clients/*.sh tests/oracle/*.sh scripts/*.sh ami/*.sh

# The region only has to be some region: nothing is sent there.
lint-template: $(AWS_TOOLS)/.lint ## the SAM template, with AWS's own linters, and what looks at an account before it is deployed
	AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint
	$(AWS_TOOLS)/bin/cfn-lint -t template.yaml
	cd scripts && PYTHONDONTWRITEBYTECODE=1 $(AWS_TOOLS)/bin/python -m unittest -q test_preflight

soak: ## the long counts of what `test` runs briefly: a million schedules, a thousand calls and kills; takes hours
	$(CARGO) build --locked --workspace --all-features --bins
	DIOGENES_SCHEDULES=$(or $(SCHEDULES),500000) $(CARGO) test --locked --release -p diogenes-core --all-features --test simulation
	DIOGENES_SCHEDULES=$(or $(LONG_SCHEDULES),2000) $(CARGO) test --locked --release -p diogenes-simulation --all-features
	DIOGENES_CALLS=$(or $(CALLS),1000) $(CARGO) test --locked --workspace --all-features --test functions calls_at_once
	DIOGENES_KILLS=$(or $(KILLS),1000) $(CARGO) test --locked --workspace --all-features --test restart -- --nocapture a_herd
	DIOGENES_JOBS=$(or $(JOBS),10000) $(CARGO) test --locked --release -p diogenes-core --all-features --lib jobs::chaos
	DIOGENES_ROLLOUTS=$(or $(ROLLOUTS),10000) $(CARGO) test --locked --release -p diogenes-core --all-features --lib deployments::simulation
	DIOGENES_COMPARISONS=$(or $(COMPARISONS),100000) $(CARGO) test --locked --release -p diogenes-core --all-features --lib false_alarms
	DIOGENES_BATCH_KILLS=$(or $(BATCH_KILLS),500) $(CARGO) test --locked --workspace --all-features --test batches -- --nocapture a_killed

test-oracle: ## whether SciPy and statsmodels still answer as the tests of the statistics expect
	tests/oracle/run.sh

test-clients: ## the official clients of OpenAI and Anthropic, LangChain, and schemathesis on the control plane
	$(CARGO) build --locked --workspace --all-features --bins --tests
	tests/clients/run.sh
	tests/clients/schemathesis.sh

bench: ## side by side with nginx; needs two quiet cores, nginx and wrk
	$(CARGO) build --release --locked -p diogenes -p mock-vllm -p diogenes-bench
	target/release/diogenes-bench $(ARGS)

bench-peers: ## side by side with other gateways, which are installed below PEERS; needs what `bench` needs, python3 and npm
	$(CARGO) build --release --locked -p diogenes -p mock-vllm -p diogenes-bench
	scripts/bench_peers.sh $(PEERS)
	target/release/diogenes-bench --peers $(PEERS) $(ARGS)

bench-batches: ## a batch of 50,000 lines, and callers beside one; needs two quiet cores
	$(CARGO) build --release --locked -p diogenes -p mock-vllm -p diogenes-bench
	target/release/diogenes-bench --batch 50000 --rounds 3 $(ARGS)

bench-prompts: ## requests that name a prompt, beside those that bring its messages; needs two quiet cores and wrk
	$(CARGO) build --release --locked -p diogenes -p mock-vllm -p diogenes-bench
	target/release/diogenes-bench --prompts $(ARGS)

bench-jobs: ## jobs that do nothing, beside plain commits to the same store: SQLite, and an emulator of DynamoDB
	$(CARGO) build --release --locked -p diogenes-bench --bin bench-jobs --features jobs
	target/release/bench-jobs $(ARGS)

# In `functions`, as `sam build` does: its `.cargo` says how functions are built.
bench-lambda: ## what a start of each Lambda function costs, beside a hello; fails above a bound
	$(CARGO) build --release --locked -p mock-vllm
	cd functions && for function in $(FUNCTIONS); do \
	  $(CARGO) build --release --locked -p diogenes-functions --bin $$function --features $$function || exit; done
	cd functions && $(CARGO) build --release --locked -p diogenes-bench --bin bench-hello --features hello
	cd functions && $(CARGO) build --release --locked -p diogenes-bench --bin bench-lambda --features lambda
	target/release/bench-lambda $(ARGS)

build: $(AWS_TOOLS)/.build ## the Lambda functions; PARAMETERS="Architecture=x86_64"
	$(SAM) build $(OVERRIDES)

preflight: $(AWS_TOOLS)/.lint ## look whether the AWS account at hand can take a deployment; PARAMETERS and ARGS as for `deploy`
	$(PREFLIGHT) $(PARAMETERS) $(ARGS)

deploy: $(AWS_TOOLS)/.lint ## look, build, and deploy to the AWS account at hand; PARAMETERS="GpuImageId=ami-…", ARGS as for `sam deploy`
	$(if $(PREFLIGHT),$(PREFLIGHT) $(PARAMETERS) $(ARGS))
	$(MAKE) build
	$(SAM) deploy $(OVERRIDES) $(ARGS)

sam: $(AWS_TOOLS)/.build ## AWS's tool for the stack; ARGS="delete --stack-name diogenes"
	$(SAM) $(ARGS)

picture: docs/architecture.svg ## docs/architecture.svg from its source; needs graphviz

docs/architecture.svg: docs/architecture.dot
	dot -Tsvg -o $@ $<

$(AWS_TOOLS)/.lint: Makefile
	python3 -m venv $(AWS_TOOLS)
	$(AWS_TOOLS)/bin/pip install --quiet $(AWS_PACKAGES)
	touch $@

$(AWS_TOOLS)/.build: $(AWS_TOOLS)/.lint
	$(AWS_TOOLS)/bin/pip install --quiet $(BUILD_PACKAGES)
	touch $@

tools:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --root $(TOOLS) cargo-deny@0.20.2
	@command -v cargo-machete >/dev/null || $(CARGO) install --locked --root $(TOOLS) cargo-machete@0.9.2

clean: ## remove what was built
	$(CARGO) clean

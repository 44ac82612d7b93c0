# vmuster: two commands matter, `make demo` and `make test`; each sets up what it needs.

CARGO ?= cargo

.PHONY: help demo demo-fleet test soak bench fuzz lint docs deny setup

help:
	@echo 'make demo    real agents, a coordinator and `vmuster flags` on this machine and recorded ones'
	@echo 'make demo-fleet N=1000   a coordinator on that many simulated hosts (1 to 5000)'
	@echo 'make test    all tests'
	@echo 'make soak    half an hour of questions to a coordinator of 1,000 hosts, a tenth of which fails; MINUTES=1 for less'
	@echo 'make bench   benchmarks, as ratios measured in one run'
	@echo 'make fuzz    each parser against inputs no kernel prints, an hour; FUZZ_SECONDS=10 for less (nightly Rust)'
	@echo 'make lint    formatting, clippy, dependency policy'

setup:
	@tests/setup.sh

demo: setup
	$(CARGO) build --locked --bins
	@tests/demo.sh

# Simulated hosts; see tests/src/fleet/.
N ?= 200

demo-fleet: setup
	$(CARGO) build --locked --bins
	$(CARGO) build --locked -p vmuster-tests --bin vmuster-fleet
	@tests/demo-fleet.sh $(N)

test:
	@tests/setup.sh test
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace

# Does a coordinator keep what it should let go? See tests/src/soak/.
MINUTES ?= 30
SOAK_PROFILE ?= release

soak: setup
	$(CARGO) build --locked --profile $(SOAK_PROFILE) -p vmuster-coordinator --bin vmuster-coordinator
	$(CARGO) run --locked --profile $(SOAK_PROFILE) -p vmuster-tests --bin vmuster-soak -- $(MINUTES)

bench: setup
	$(CARGO) bench --locked -p vmuster-tests --bench agent
	$(CARGO) bench --locked -p vmuster-tests --bench cluster
	$(CARGO) bench --locked -p vmuster-tests --bench placement
	$(CARGO) bench --locked -p vmuster-tests --bench scheduler

# A target's time; cpuinfo and mountinfo have five times as much.
FUZZ_SECONDS ?= 120

fuzz:
	@agent/fuzz/run.sh $(FUZZ_SECONDS)

lint:
	@tests/setup.sh all
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@$(MAKE) --no-print-directory deny

docs:
	@tests/setup.sh all
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

# Installs cargo-deny once (about three minutes); a machine that has it pays nothing.
deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check bans licenses sources

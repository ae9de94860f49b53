# AuraLink from a shell. `make` alone lists what there is.

# The dev profile: nearly all work per frame is done by C libraries that Debian has optimised, the
# few hot Rust crates are raised to opt-level 3 in Cargo.toml, and the first build takes half the
# time of a release build. What ships is `make release`.
STATE ?= ./state
CARGO ?= cargo

# Unit tests that play media in real time, or search for faults for a second each.
MEDIA_TESTS = $(addprefix --skip=,aic:: control::api:: control::store::sqlite::tests::load egress:: elements:: \
  ingress:: process:: srt:: webrtc:: fuzz_)

.DEFAULT_GOAL := help
.PHONY: help setup run release wasm test test-fast lint lint-ct2 fmt check bench bench-aic aic-gpu fuzz train-smoke fuzz-aic clean-state

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install everything that building, running and testing needs
	@.ci/setup test

run: ## Build and start the appliance with its demo stream; state in ./state (STATE=dir, ARGS="…")
	@.ci/setup run
	@.ci/wasm --if-possible
	$(CARGO) build --bin auralink
	@$(CARGO) run --quiet --bin auralink -- models pull --default || \
	  echo "The appliance starts without them; \`auralink models pull --default\` fetches them later."
	$(CARGO) run --quiet --bin auralink -- run --demo --state $(STATE) $(ARGS)

wasm: ## The voice decoder of the page, web/voice.wasm, which the next build puts into the program
	@.ci/wasm

release: ## Build what ships: target/release/auralink
	@.ci/setup run
	@.ci/wasm --if-possible
	$(CARGO) build --release --locked --bin auralink

test: ## All tests: units, rooms, and the appliance with real publishers and viewers (ARGS="filter")
	@.ci/setup test
	@.ci/wasm --if-possible
	$(CARGO) test --locked --no-run
	@.ci/test-models
	.ci/list-skips $(CARGO) test --locked --no-fail-fast $(ARGS)

test-fast: ## The unit tests that play no media, and the house rules: for the inner loop
	$(CARGO) test --locked --package auralink --lib --test tidy -- $(MEDIA_TESTS) $(ARGS)

lint: ## Formatting and clippy, warnings denied
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@if rustc --print target-libdir --target wasm32-unknown-unknown | xargs test -d; then \
	  $(CARGO) clippy --locked --package auralink-voice --target wasm32-unknown-unknown -- -D warnings; \
	else echo "codec/wasm is not linted: rustup target add wasm32-unknown-unknown"; fi

lint-ct2: ## The same for the feature ct2, which compiles CTranslate2's C++ for some minutes first
	$(CARGO) clippy --locked --package auralink --all-targets --features ct2 -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt

check: ## Validate every preset in pipelines/ and print its plan
	@for preset in pipelines/*.toml; do $(CARGO) run --quiet --bin auralink -- check $$preset || exit 1; done

bench: ## CPU, threads and memory per publisher and viewer, latency, noise suppression, captions, translation
	@.ci/setup test
	$(CARGO) test --locked $(or $(ARGS),--benches)

bench-aic: ## The AIC-A voice codec: what it costs, and its quality table beside Opus and Lyra v2
	@.ci/setup scores
	$(CARGO) test --locked --bench aic --bench aic-pipeline
	cd models/aic-audio && ../../.venv-torch/bin/python evaluate.py

aic-gpu: ## AIC-A's network on libtorch (1 GB) against the plain one, on the processor and on a GPU
	@.ci/setup torch
	$(CARGO) test --locked --package auralink-codec --features torch --test torch -- --nocapture

train-smoke: ## Every part of the training of AIC-A once, in two minutes; skipped where torch or the data are missing
	@.ci/train-smoke

fuzz: ## Every parser of outside bytes, each for a minute (AURALINK_FUZZ_SECONDS=… ARGS="filter"): 20 minutes on 2 cores
	AURALINK_FUZZ_SECONDS=$${AURALINK_FUZZ_SECONDS:-60} $(CARGO) test --locked --package auralink --lib --test aic $(or $(ARGS),fuzz_) -- --nocapture

fuzz-aic: ## The voice codec alone: range decoder, packets, files and elements, ten minutes
	AURALINK_FUZZ_SECONDS=$${AURALINK_FUZZ_SECONDS:-150} $(CARGO) test --locked --test aic fuzz_ -- --nocapture

clean-state: ## Forget the streams, tokens and recordings of `make run`
	rm -rf $(STATE)

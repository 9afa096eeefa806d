# The front door. Every target sets up what it needs; `make` alone lists them.
#
#   TORCH_DIR=/path/to/site-packages/torch   use this full torch 2.11.0 (GPU machines)
#   PYTHON=python3.12                        the Python whose pip fetches libtorch

CARGO ?= cargo
PYTHON ?= python3
GOLDEN_PYTHON ?= $(PYTHON)
export TORCH_DIR PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup build test demo adapters figures chaos simulate bench bench-data memory memory-large check-peft measure fuzz compare privacy fmt lint deny golden law-qa clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## fetch libtorch 2.11.0 into .deps/ and lay the view folder
	@deploy/setup.sh

build: setup ## build target/release/coordinator and target/release/worker
	$(CARGO) build --release --locked --workspace

SKIPPED = $(or $(CARGO_TARGET_DIR),target)/skipped

test: build ## run every test, and say at the end which were skipped
	@rm -f $(SKIPPED)
	@$(CARGO) test --release --locked --workspace --no-fail-fast; code=$$?; \
	if [ -s $(SKIPPED) ]; then \
		echo "skipped: $$(grep -c . $(SKIPPED)), because $$(cut -f2 $(SKIPPED) | sort -u | paste -sd';')"; \
	else echo "skipped: 0"; fi; exit $$code

demo: build ## train on this machine with two workers, print an answer before and after
	@deploy/demo.sh

adapters: build ## train ten small adapters and print their digests: what a change may not alter
	@tests/adapters/digests.sh target/release

figures: ## lengths, imports, circles and short docs of the source tree (LONG=--long for every place)
	@$(CARGO) run --release --locked --quiet -p cluster-tests --example figures -- $(LONG)

chaos: build ## the whole byte matrix, workers x faults and the edges, real processes (CHAOS=part of a name)
	CHAOS="$(or $(CHAOS),full)" $(CARGO) test --release --locked -p cluster-tests --test chaos -- --nocapture

simulate: build ## whole clusters by seed (SIMULATION_RUNS, NETWORK_RUNS; SIMULATION_SEED, NETWORK_SEED)
	$(CARGO) test --release --locked -p cluster-tests --test simulation whatever -- --nocapture

bench: build ## speed and memory against PEFT (GOLDEN_PYTHON: one with torch, transformers, peft)
	$(CARGO) build --release --locked -p worker --examples
	$(GOLDEN_PYTHON) tests/bench/step_speed.py --worker target/release/examples/step_speed
	$(GOLDEN_PYTHON) tests/bench/packing_speed.py --worker target/release/examples/packing_speed
	for threads in 1 $$(nproc); do target/release/examples/host_step 39976960 6 $$threads; done

memory: build ## what `coordinator plan` says against real runs (SET: report, fit, kinds or names of cases)
	$(PYTHON) tests/bench/plan_memory.py --bin target/release --set $(or $(SET),report)

memory-large: build ## peak memory on 1B parameters and 150,000 words against PEFT (GOLDEN_PYTHON: one with torch, transformers, peft, bitsandbytes)
	$(CARGO) build --release --locked -p worker --example step_speed
	$(GOLDEN_PYTHON) tests/bench/memory_large.py --worker target/release/examples/step_speed

check-peft: build ## train every kind of adapter and let PEFT load it (GOLDEN_PYTHON as for golden)
	$(GOLDEN_PYTHON) tests/golden/check_kinds.py --build target/release

bench-data: build ## preparing 2 GB of JSONL against datasets + tokenizers (GOLDEN_PYTHON; FOLDER with 15 GB free, MEGABYTES)
	$(GOLDEN_PYTHON) tests/bench/prepare_speed.py --coordinator target/release/coordinator \
		--folder $(or $(FOLDER),target/bench-data) --megabytes $(or $(MEGABYTES),2048) --flat 512,1024

measure: build ## what faults cost (WHAT=times, straggler, saving, soak or workers)
	$(CARGO) bench --locked -p cluster-tests --bench cluster -- $(WHAT)

fuzz: build ## files nobody meant to write, through every reader of data (FUZZ_SECONDS, FUZZ_SEED)
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) $(CARGO) test --release --locked -p coordinator --test data_fuzz -- --nocapture

compare: setup ## what the same faults cost torchrun and HF Trainer (GOLDEN_PYTHON as for bench)
	$(GOLDEN_PYTHON) tests/bench/torchrun_kill.py
	$(GOLDEN_PYTHON) tests/bench/trainer_resume.py
	$(GOLDEN_PYTHON) tests/bench/trainer_resume.py --dropout 0.1

fmt: ## format all Rust code
	$(CARGO) fmt --all

lint: setup ## formatting and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

deny: ## licences, bans and sources of all dependencies, and advisories where they can be fetched (needs cargo-deny)
	$(CARGO) deny --locked check bans licenses sources
	@if $(CARGO) deny --locked fetch db >/dev/null 2>&1; then $(CARGO) deny --locked check advisories; \
	else echo "advisories: not checked, their database cannot be reached from here"; fi

privacy: ## personal data in labelled sentences against jieba and presidio (GOLDEN_PYTHON: one with both; MODEL)
	$(CARGO) build --release --locked -p coordinator --example find_personal_data
	$(GOLDEN_PYTHON) tests/privacy/compare.py --program target/release/examples/find_personal_data --model $(or $(MODEL),en_core_web_sm)

law-qa: build ## configs/law_qa.yaml on the small base model to its end, in fp16 and in bf16
	LAW_QA=full $(CARGO) test --release --locked -p cluster-tests --test precision -- shipped --nocapture

BATTERY = target/battery
battery-templates: build ## 160 templates of published models x 22 conversations against transformers (GOLDEN_PYTHON as for golden)
	$(GOLDEN_PYTHON) tests/templates/battery.py install $(BATTERY)
	$(GOLDEN_PYTHON) tests/templates/battery.py run $(BATTERY) --coordinator target/release/coordinator

golden: ## make the golden numbers again (GOLDEN_PYTHON: one with torch, transformers, peft)
	$(GOLDEN_PYTHON) tests/golden/make_golden.py
	$(GOLDEN_PYTHON) tests/golden/make_fp16_golden.py
	OMP_NUM_THREADS=1 $(GOLDEN_PYTHON) tests/golden/make_quantized_golden.py
	$(GOLDEN_PYTHON) tests/golden/make_data_golden.py
	$(GOLDEN_PYTHON) tests/golden/make_order_golden.py
	$(GOLDEN_PYTHON) tests/templates/make_golden.py

clean: ## remove build results and output/, keep .deps/
	rm -rf target output

distclean: clean ## remove .deps/ too
	rm -rf .deps

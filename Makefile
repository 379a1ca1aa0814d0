# Every target makes what it needs first: nothing has to be installed by hand but Python 3.11 to 3.13.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOGS ?= ../shared/data
SEEDS ?= 5
# Certificates of the system, as pip uses them, so that a private authority is trusted too.
export UV_SYSTEM_CERTS ?= true
PIP := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
SERVER_PACKAGES := -e proto -e server -e client
ALL_PACKAGES := $(SERVER_PACKAGES) -e export -e training -e benchmarks -e ui
CARGO := $(shell command -v cargo)
CORE_SOURCES := $(wildcard core/*.toml core/Cargo.lock core/*/Cargo.toml core/*/src/*.rs core/*/src/*/*.rs core/python/jobcast_core/*)
# Tests of a real server that are run again where the core is built: without it, and with its listener handing every call over.
ASYNCIO_TESTS := batching contract infer overload
HANDED_TESTS := bad_input contract infer metrics_page
# Tests of which none is in a hurry: they run beside the others, on two cores, and give way to them.
PATIENT := $(foreach one,client docs export fuzz models proto training ui,tests/$(one))
# One thread to a library, as two runs keep two cores busy.
PYTEST := env $(if $(wildcard $(LOGS)),LOGS=$(abspath $(LOGS))) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p no:cacheprovider
# What a run said that goes on beside another is shown when it has ended.
AT_ITS_END = > $(VENV)/$(1).txt 2>&1; code=$$?; cat $(VENV)/$(1).txt; exit $$code
AGAIN := JOBCAST_LISTENER=asyncio JOBCAST_ENGINE=python $(PYTEST) --quiet $(ASYNCIO_TESTS:%=tests/system/test_%.py) \
	$(if $(CARGO),&& JOBCAST_LISTENER=native JOBCAST_ENGINE=python $(PYTEST) --quiet $(HANDED_TESTS:%=tests/system/test_%.py))
FAULTS := core/target/faults/jobcast_core
DENY := $(VENV)/cargo/bin/cargo-deny
DENY_VERSION := 0.20.2
# Where Rust says it is built for, and its runtime of AddressSanitizer, which not every target has.
RUST_HOST = $(shell rustc --version --verbose | sed -n 's/^host: //p')
ASAN = $(wildcard $(shell rustc --print target-libdir)/librustc*_rt.asan.a)
# The flags are of nightly; the shipped compiler takes them when it is told to.
UNSTABLE = cd core && RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address $(1)" CARGO_TARGET_DIR=$(abspath core/target/$(2))
COVERAGE := -Cpasses=sancov-module -Ccodegen-units=1 $(addprefix -Cllvm-args=-sanitizer-coverage-, \
	level=4 inline-8bit-counters pc-table trace-compares)
SECONDS ?= 60
PEERS ?= mlserver kserve litserve
FUZZED := predict batch infer rewrite
RECORDED := tests/core/engine/recorded
SEEDS_predict := $(RECORDED)/Predict $(RECORDED)/PredictStream
SEEDS_batch := $(RECORDED)/PredictBatch
SEEDS_infer := $(RECORDED)/ModelInfer $(RECORDED)/ModelStreamInfer
SEEDS_rewrite := core/fuzz/seeds/rewrite

# Tools of the tests, where there is Go: for deploy/ kustomize, the loader of docker compose and KServe's definitions.
GO := $(shell command -v go)
KUSTOMIZE := sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
COMPOSE := github.com/compose-spec/compose-go/v2/cmd@v2.9.1
GRPCURL := github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3
KSERVE := github.com/kserve/kserve@v0.19.0
KSERVE_DEFINITIONS := $(foreach one,inferenceservices servingruntimes,config/crd/full/serving.kserve.io_$(one).yaml)
DEPLOY_TESTS := $(foreach one,balancing compose kubernetes recipe,tests/deploy/test_$(one).py)

.DEFAULT_GOAL := help
.PHONY: help serve ui test test-core test-others test-patient test-again test-arm train bench bench-ui load tonic-echo compare chaos soak peers lint lint-python lint-core licences sanitize fuzz docs docs-serve proto accuracy install install-server clean check-deploy check-arm64

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/uv: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "jobcast needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12 serve")'
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

PROJECTS := $(wildcard */pyproject.toml) pyproject.toml

$(VENV)/.server: $(BIN)/uv $(PROJECTS)
	@echo "installing the server and the client"
	@$(PIP) $(SERVER_PACKAGES)
	@touch $@

$(VENV)/.all: $(VENV)/.server
	@echo "installing training, export, benchmarks, the web app and the development tools"
	@$(PIP) $(ALL_PACKAGES) --group dev
	@touch $@

# The server computes trees with the native core where it can be built, and with onnxruntime's own operator elsewhere.
$(VENV)/.core: $(VENV)/.server $(CORE_SOURCES)
ifeq ($(CARGO),)
	@echo "no cargo here: the native core is not built, onnxruntime computes the trees"
else
	@echo "building the native core"
	@$(PIP) --build-constraint constraints.txt ./core && touch $@ || \
		{ echo "the native core is not built, onnxruntime computes the trees"; test -z "$(CI)"; }
endif

# What tests of deploy/ ask the shipped rules and dashboards with; Debian's package is unpacked, not installed.
$(VENV)/.prometheus: | $(BIN)/uv
	@command -v prometheus >/dev/null || (cd $(VENV) && apt-get download --quiet prometheus && dpkg -x prometheus_*.deb prometheus && \
		rm prometheus_*.deb) >/dev/null 2>&1 || echo "no Prometheus here: the tests that ask it are skipped"
	@touch $@

# A browser, and an HTTP/2 client that is not ours. Only root may install them, elsewhere their tests are skipped.
DEBIAN := $(if $(shell command -v chromium),,chromium) $(if $(shell command -v h2load),,nghttp2-client)
APT := apt-get install --quiet --yes --no-install-recommends $(DEBIAN)
$(VENV)/.debian: | $(BIN)/uv
ifneq ($(strip $(DEBIAN)),)
	@echo "installing Debian's $(strip $(DEBIAN)) for tests"
	@($(APT) || (apt-get update && $(APT))) >/dev/null 2>&1 || echo "not installed: tests that need $(strip $(DEBIAN)) are skipped"
endif
	@touch $@

install-server: $(VENV)/.server $(VENV)/.core
install: $(VENV)/.all $(VENV)/.core ## install everything, the commands that train, measure and draw too

serve: install-server ## install, then serve the shipped models
	@$(BIN)/jobcast serve --models models

ui: $(VENV)/.all ## install, then start the web app of a running server (`make serve`) on http://127.0.0.1:8501
	@$(BIN)/jobcast ui

bench-ui: install ## measure the web app in Chromium: click to picture, and 100,000 records
	@$(BIN)/python benchmarks/ui/measure.py

test: install peers load test-core $(VENV)/.prometheus $(VENV)/.debian $(if $(GO),$(VENV)/.go) ## install, then run every test
	@$(MAKE) --no-print-directory --jobs 2 test-others test-patient test-again

test-others:
	@$(PYTEST) $(PATIENT:%=--ignore %) tests

test-patient:
	@nice -n 5 $(PYTEST) --timeout 1200 $(PATIENT) $(call AT_ITS_END,patient)

test-again:
	@($(AGAIN)) $(call AT_ITS_END,again)

test-core: ## tests of the native core in Rust, its benchmarks run once, and a core that tests can make panic
	@$(if $(CARGO),cd core && cargo test --quiet --locked --lib --bins --tests --benches)
	@$(if $(CARGO),cd core && cargo build --quiet --locked --package jobcast-core --features faults)
	@$(if $(CARGO),mkdir -p $(FAULTS) && cp core/python/jobcast_core/* $(FAULTS) && \
		cp core/target/debug/libjobcast_core.$(if $(filter Darwin,$(shell uname)),dylib,so) $(FAULTS)/_core.abi3.so)

test-arm: ## tests of the kernels for 64-bit ARM under emulation (needs rustup's target, gcc-aarch64-linux-gnu, qemu-user-static)
	cd core && CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
		CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu" \
		cargo test --quiet --release --locked --package jobcast-forest --target aarch64-unknown-linux-gnu

sanitize: ## tests of the native core under AddressSanitizer, where Rust has it
	@$(if $(CARGO),$(if $(ASAN),$(call UNSTABLE,,asan) cargo test --quiet --locked --target $(RUST_HOST) \
		--package jobcast-engine --package jobcast-forest --package jobcast-operator --lib --test decoders --test equality \
		--test refusal --test rewriting,echo "this Rust has no AddressSanitizer: the native core is not sanitized"))

fuzz: ## fuzz each decoder of the native core for SECONDS seconds, from recorded calls (needs cargo and a C++ compiler)
	@$(if $(CARGO),,echo "make fuzz needs cargo" && false)
	@$(if $(ASAN),,echo "this Rust has no AddressSanitizer, which fuzzing needs" && false)
	@$(call UNSTABLE,$(COVERAGE),fuzz) cargo build --quiet --release --target $(RUST_HOST) --manifest-path fuzz/Cargo.toml
	@$(foreach one,$(FUZZED),mkdir -p core/target/corpus/$(one) && core/target/fuzz/$(RUST_HOST)/release/$(one) \
		-max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
		-artifact_prefix=core/target/corpus/$(one)- core/target/corpus/$(one) $(SEEDS_$(one)) &&) true

train: $(VENV)/.all ## train the shipped bundle anew (LOGS=folder of job logs)
	$(BIN)/jobcast train hpc-runtime --data $(LOGS)/hpc-sdsc-blue-2000/jobs.parquet --name hpc-sdsc-blue-2000 --timezone US/Pacific --out models

accuracy: $(VENV)/.all ## train and test on every log in LOGS with SEEDS seeds, write docs/accuracy.md and its pictures
	$(BIN)/jobcast accuracy --logs $(LOGS) --seeds $(SEEDS) --out docs/accuracy.md

load: ## build the load generator jobcast-load; where it is not built, the load comes from Python
	@$(if $(CARGO),cd core && cargo build --quiet --release --locked --package jobcast-load,echo "no cargo here: jobcast-load is not built, the load comes from Python")

bench: install load ## measure the server against benchmarks/slo.toml, or slo-native.toml where the native core answers
	$(BIN)/jobcast bench --micro --out reports/bench

tonic-echo: ## build the bare echo that the native listener is measured beside
	@$(if $(CARGO),cd core && cargo build --quiet --release --locked --package jobcast-listener --example tonic_echo,echo "no cargo here: tonic_echo is not built, and left out of comparisons")

compare: install load tonic-echo peers ## measure beside other servers and listeners, into docs/performance.md and docs/engine.md
	@$(foreach one,$(PEERS),$(BIN)/jobcast bench --peer $(one) --page docs/performance.md --out reports/peer-$(one) || code=$$?;) \
		$(BIN)/jobcast bench --compare-listeners --page docs/engine.md --out reports/listeners || code=$$?; exit $${code:-0}

chaos: install load ## bring faults to a real server under load, judge what is left, write docs/reliability.md (under 8 minutes)
	$(BIN)/jobcast chaos --page docs/reliability.md --out reports/chaos

MINUTES ?= 30
soak: install load ## hold a real server at 70 % of its capacity for MINUTES (30), write docs/reliability.md
	$(BIN)/jobcast soak --minutes $(MINUTES) --load 0.7 --page docs/reliability.md --out reports/soak

peers: $(VENV)/.all ## environments and the model of the peers that tests and benchmarks run beside ours
	@$(BIN)/python -m jobcast_bench.peers.environment >/dev/null
	@$(BIN)/python -m jobcast_bench.peers.bundle >/dev/null

lint: lint-python lint-core ## every linter

lint-python: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy proto/jobcast_proto export training server client benchmarks ui docs/hooks
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/licences.py --check
	$(BIN)/hadolint Dockerfile.arm64

licences: $(VENV)/.all ## list the licences of what the server installs in docs/licences.md
	@$(BIN)/python .ci/licences.py

$(DENY):
	@echo "building cargo-deny, which takes minutes once"
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo install --quiet --locked --root $(VENV)/cargo --version =$(DENY_VERSION) cargo-deny

lint-core: install $(if $(CARGO),$(DENY)) ## linters of the native core, its licences, and its stubs against what was built
	$(if $(CARGO),cd core && cargo fmt --all --check)
	$(if $(CARGO),cd core && cargo clippy --quiet --locked --all-targets -- --deny warnings)
	$(if $(CARGO),$(DENY) --manifest-path core/Cargo.toml --locked check --hide-inclusion-graph licenses bans sources)
	$(if $(CARGO),$(BIN)/python -m mypy.stubtest jobcast_core)

$(VENV)/.go: $(VENV)/.all
	@echo "building tools of the tests that are written in Go"
	@(GOBIN=$(abspath $(VENV))/go $(GO) install $(KUSTOMIZE) && GOBIN=$(abspath $(VENV))/go $(GO) install $(GRPCURL) && \
		GOBIN=$(abspath $(VENV))/go $(GO) install $(COMPOSE) && mv $(VENV)/go/cmd $(VENV)/go/compose-spec && \
		mkdir -p $(VENV)/kserve && cd "$$($(GO) mod download -json $(KSERVE) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')" && \
		install -m 644 $(KSERVE_DEFINITIONS) $(abspath $(VENV))/kserve) && touch $@ || \
		{ echo "not built: tests that need them are skipped"; test -z "$(CI)"; }

check-deploy: install $(if $(GO),$(VENV)/.go) ## check recipe, compose files and Kubernetes objects (fully with Go), and balancing
	@$(BIN)/hadolint Dockerfile.arm64
	@$(BIN)/python -m pytest --quiet $(DEPLOY_TESTS)

check-arm64: install ## build the image for 64-bit ARM by its recipe, run it emulated, compare its answers (root on Debian)
	@$(BIN)/python deploy/container/check.py

MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

docs: $(VENV)/.all ## build the documentation site into site/; a dead link or anchor fails it
	@$(MKDOCS) build --strict

docs-serve: $(VENV)/.all ## serve the documentation site on http://127.0.0.1:8000, anew with every change
	@$(MKDOCS) serve --dev-addr 127.0.0.1:8000

proto: $(VENV)/.all ## regenerate the stubs and the manifest's schema
	@$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=proto --pyi_out=proto --grpc_python_out=proto rt_predictor.proto open_inference.proto
	@$(BIN)/python -m jobcast_proto.schema > proto/jobcast_proto/manifest.schema.json

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache core/target

# Tests. Each suite leaves its figures in build/results/; tools/run_tests.py counts and prints them.

UNIT := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 600
FUZZ_SMOKE_SECONDS ?= 10
RUNS ?= 5
COVERAGE_MIN ?= 98
COVERAGE_MIN_SHARED ?= 95
RUN_TESTS := tools/run_tests.py --results $(BUILD)/results

unit_programs = $(UNIT:%=$(BUILD)/$1/tests/%)
SANITY := $(BUILD)/asan/tests/sanity

# A clock that a test can set forward.
test_mount_control_LDFLAGS := -Wl,--wrap=hfc_now_ms

# $(call unit,VARIANT): a test program is linked with everything but main.o; what one needs beside
# that stands here as NAME_LDFLAGS.
define unit
$(BUILD)/$1/tests/test_%: $(BUILD)/obj/$1/tests/unit/test_%.o $(DIRS:%=$(BUILD)/obj/$1/lib%.a) $(SHARED:%=$(BUILD)/obj/$1/lib%.a)
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(Q)$$(call variant_cc,$1) $$(call variant_cflags,$1) $$(LDFLAGS) $($1_LDFLAGS) $$(test_$$*_LDFLAGS) \
	  -o $$@ $$^ $$(all_LIBS) -pthread

.SECONDARY: $(UNIT:%=$(BUILD)/obj/$1/tests/unit/%.o)
endef
$(foreach v,release asan tsan cov,$(eval $(call unit,$v)))

$(BUILD)/fuzz/fuzz_%: $(BUILD)/obj/fuzz/tests/fuzz/fuzz_%.o $(DIRS:%=$(BUILD)/obj/fuzz/lib%.a) $(SHARED:%=$(BUILD)/obj/fuzz/lib%.a)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(LDFLAGS) $(fuzz_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(all_LIBS)
.SECONDARY: $(FUZZERS:%=$(BUILD)/obj/fuzz/tests/fuzz/%.o)

$(SANITY): $(BUILD)/obj/asan/tests/sanity/sanity.o
	@mkdir -p $(@D)
	$(Q)$(CC) $(asan_CFLAGS) $(asan_LDFLAGS) -o $@ $^

# Programs that only tests call: build/VARIANT/tests-tools/NAME, linked with lib/ alone.
TEST_TOOLS := $(patsubst tests/tools/%.c,%,$(wildcard tests/tools/*.c))
define test_tool
$(BUILD)/$1/tests-tools/%: $(BUILD)/obj/$1/tests/tools/%.o $(BUILD)/obj/$1/liblib.a
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(Q)$$(call variant_cc,$1) $$(call variant_cflags,$1) $$(LDFLAGS) $($1_LDFLAGS) -o $$@ $$^ $$(all_LIBS)

.SECONDARY: $(TEST_TOOLS:%=$(BUILD)/obj/$1/tests/tools/%.o)
endef
$(foreach v,release asan cov,$(eval $(call test_tool,$v)))
test_tools = $(TEST_TOOLS:%=$(BUILD)/$1/tests-tools/%)

# $(call programs_env,BIN,TOOLS): what the integration tests run.
programs_env = HFCACHE_GEN=$(abspath $1)/hfcache-gen HFCACHE_REFRESH=$(abspath $1)/hfcache-refresh \
  HFCACHE_MOUNT=$(abspath $1)/hfcache-mount HFCACHE_STORE_TOOL=$(abspath $2)/store_tool \
  HFCACHE_MOUNT_READERS=$(abspath $2)/mount_readers

.PHONY: test tests-built test-unit test-integration test-integration-asan test-clients test-asan test-tsan fuzz fuzz-smoke lint bench \
  golden coverage

# Compiles on all processors, unless -j was given.
all_processors = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# Everything runs even after a failure; the summary decides.
test: deps-test ## everything: unit, sanitizers, fuzz smoke, integration, lint; installs what it needs
	$(Q)rm -rf $(BUILD)/results
	+@for t in all test-unit test-asan fuzz-smoke test-integration test-integration-asan lint; do \
	  $(MAKE) $(all_processors) --no-print-directory $$t || tools/run_tests.py --results $(BUILD)/results broken $$t; \
	done
	@$(RUN_TESTS) summary

test-unit: $(call unit_programs,release) ## unit tests
	@$(RUN_TESTS) cmocka unit $^

test-asan: $(call unit_programs,asan) $(SANITY) ## unit tests with AddressSanitizer and UBSan
	@rc=0; $(RUN_TESTS) sanity sanitizers $(SANITY) || rc=1; \
	  $(RUN_TESTS) cmocka unit-asan $(filter-out $(SANITY),$^) || rc=1; exit $$rc

test-tsan: $(call unit_programs,tsan) ## unit tests with ThreadSanitizer
	@$(RUN_TESTS) cmocka unit-tsan $^

test-integration: deps-test all $(call test_tools,release) ## pytest on tests/integration against build/bin
	@$(call programs_env,$(BIN),$(BUILD)/release/tests-tools) \
	  $(RUN_TESTS) pytest integration $(PYTHON) tests/integration

# The programs that meet the network, with sanitizers; the generator has its unit tests for that.
test-integration-asan: deps-test $(BUILT_DIRS:%=$(BUILD)/asan/bin/hfcache-%) $(call test_tools,asan) ## the tests of stores and refresh again, with AddressSanitizer and UBSan
	@$(call programs_env,$(BUILD)/asan/bin,$(BUILD)/asan/tests-tools) HFCACHE_SANITIZED=1 \
	  $(RUN_TESTS) pytest integration-asan $(PYTHON) tests/integration/test_sync.py \
	  tests/integration/test_store.py

test-clients: all ## transformers and torch on a published bucket (installs 6 GB)
	@tools/deps.sh clients
	@$(call programs_env,$(BIN),$(BUILD)/release/tests-tools) \
	  $(RUN_TESTS) pytest clients $(BUILD)/venv-clients/bin/python tests/clients

fuzz: $(FUZZERS:%=$(BUILD)/fuzz/%) ## fuzz for long [FUZZ_SECONDS=600 each]
	@$(RUN_TESTS) fuzz fuzz $(FUZZ_SECONDS) $(BUILD)/fuzz $^

fuzz-smoke: $(FUZZERS:%=$(BUILD)/fuzz/%) ## all fuzz seeds, then a short run [FUZZ_SMOKE_SECONDS=10 each]
	@$(RUN_TESTS) fuzz fuzz $(FUZZ_SMOKE_SECONDS) $(BUILD)/fuzz $^

lint: all ## format, metrics, static analysis, shell, YAML, Kubernetes schemas, inputs
	@tools/lint.py --results $(BUILD)/results --build $(BUILD) $(CHECK)

coverage: deps-test ## line coverage of the programs and what they share by unit and integration tests
	+@$(MAKE) --no-print-directory coverage-run

.PHONY: coverage-run
coverage-run: $(call unit_programs,cov) $(BUILT_DIRS:%=$(BUILD)/cov/bin/hfcache-%) $(call test_tools,cov)
	$(Q)find $(BUILD)/obj/cov -name '*.gcda' -delete
	@$(RUN_TESTS) cmocka unit-cov $(call unit_programs,cov)
	@$(call programs_env,$(BUILD)/cov/bin,$(BUILD)/cov/tests-tools) \
	  $(RUN_TESTS) pytest integration-cov $(PYTHON) tests/integration
	@tools/coverage.py $(BUILD) gen=$(COVERAGE_MIN) lib=$(COVERAGE_MIN_SHARED) \
	  command=$(COVERAGE_MIN_SHARED) refresh=$(COVERAGE_MIN_SHARED) \
	  $(if $(wildcard mount/main.c),mount=$(COVERAGE_MIN_SHARED))

# The figures of what did not run stay as they are.
BENCH ?= gen refresh
bench: deps-test ## benchmarks, into docs/performance.md [BENCH=gen|refresh, RUNS=5, RIVAL_TREE=, HUGE=300Gi]
	+@$(MAKE) --no-print-directory all
ifneq ($(filter gen,$(BENCH)),)
	@$(PYTHON) tests/bench/run.py $(BIN)/hfcache-gen --runs $(RUNS) --write docs/performance.md
endif
ifneq ($(filter refresh,$(BENCH)),)
	@tools/deps.sh bench
	@$(PYTHON) tests/bench/refresh.py $(BIN)/hfcache-refresh --runs $(RUNS) $(HUGE:%=--huge %) \
	  --write docs/performance.md
endif

golden: deps-test all ## write the golden outputs anew from the program as it is; look at the diff
	@HFCACHE_GEN=$(abspath $(BIN))/hfcache-gen $(PYTHON) tests/golden/update.py

# SPDX-License-Identifier: MIT
# What tests, checks, benchmarks and fuzzers need; included by the Makefile.

SANITIZE  := -fsanitize=address,undefined -fno-sanitize-recover=undefined
TEST_CFLAGS := -O1 -g -std=gnu11 -Wall -Wextra -Wshadow $(SANITIZE)
TEST_CPPFLAGS := $(CPPFLAGS) -I. -Itests

TEST_OBJECTS := $(SOURCES:userspace/%.c=$(B)/asan/userspace/%.o) $(patsubst tests/%.c,$(B)/asan/tests/%.o,$(wildcard tests/lib/*.c))
TEST_LIBRARY := $(B)/asan/libdoze.a
FUZZ_OBJECTS := $(SOURCES:userspace/%.c=$(B)/fuzz/userspace/%.o)
FUZZ_LIBRARY := $(B)/fuzz/libdoze.a

UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
BPF_TESTS  := $(patsubst tests/bpf/%.c,$(B)/tests/bpf/%,$(wildcard tests/bpf/test_*.c))
FAKE_TOOLS := $(patsubst tests/fake/%.c,$(B)/tests/fake/%,$(wildcard tests/fake/*.c))
E2E_TESTS  := $(wildcard tests/*/test_*.py)
# They have API servers of their own, and no doze run among them, which cleans up after others.
NODE_TESTS := $(wildcard tests/e2e/test_node*.py)
KUBE_TESTS := $(wildcard tests/fake/test_*.py tests/deploy/test_*.py tests/e2e/test_sidecar*.py)
# Each doze run removes what a killed one has left, so that two of its tests run side by side only if
# each has cgroups of its own: tests/lane.sh. These look at the root of all cgroups, and may not.
ROOT_TESTS := tests/e2e/test_depth.py tests/e2e/test_pid.py
RUN_TESTS  := $(filter-out $(NODE_TESTS) $(KUBE_TESTS) $(ROOT_TESTS),$(E2E_TESTS))
# They look at the filter of system calls, which the sanitizers need off.
CONFINE_TESTS := $(patsubst %,tests/e2e/test_%.py,confine node_flags sidecar_access) \
	tests/deploy/test_container.py
SANITIZED_OUT := $(if $(filter-out doze,$(DOZE)),$(CONFINE_TESTS))
# What takes about half of the time.
LANE_TESTS := $(patsubst %,tests/e2e/test_%.py,probes calls cycles status tun)
# Run in a guest, which has no sanitizers' libraries.
KERNEL_TESTS := $(addprefix $(B)/tests/kernels/,pod test_gate test_kubelet test_datapath)
FUZZERS    := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

FUZZ_SECONDS := 60
SECONDS := 120

# What the tests in Python run.
DOZE := doze

test: deps ## install what is missing, build, run every test
	@$(MAKE) --no-print-directory run-tests

.PHONY: run-tests
run-tests: doze $(DOZE) $(UNIT_TESTS) $(BPF_TESTS) $(FAKE_TOOLS)
	@E2E_DOZE=$(abspath $(DOZE)) tests/run.py $(UNIT_TESTS) $(BPF_TESTS) $(ROOT_TESTS) \
		$(filter-out $(SANITIZED_OUT),$(KUBE_TESTS)) -- $(filter-out $(SANITIZED_OUT),$(NODE_TESTS)) \
		--lane $(LANE_TESTS) --lane $(filter-out $(SANITIZED_OUT) $(LANE_TESTS),$(RUN_TESTS))

confine: deps ## the tests that make test DOZE=build/asan/doze leaves out: of the filter of system calls
	@$(MAKE) --no-print-directory doze >/dev/null
	@tests/run.py $(CONFINE_TESTS)

demo: deps ## install what is missing, build, show a process falling asleep and waking
	@$(MAKE) --no-print-directory doze $(B)/tests/bench/client >/dev/null
	@python3 tests/bench/demo.py

check: deps ## linters and layout; silent when content
	@$(MAKE) --no-print-directory doze >/dev/null
	@tests/check/check.sh $(CPPFLAGS)

bench: deps ## measure latency, throughput and cost per packet, against a baseline each
	@$(MAKE) --no-print-directory doze $(B)/tests/bench/bench_gate $(B)/tests/bench/gate_switch \
		$(B)/tests/bench/server $(B)/tests/bench/client >/dev/null
	@python3 tests/bench/bench.py $(BENCH_FLAGS)
	@python3 tests/bench/bench_sidecar.py
	@python3 tests/bench/bench_probes.py
	@python3 tests/bench/bench_node.py

soak: deps ## ten minutes of probes against sleeping pods; 10,000 sleeps and wakes
	@$(MAKE) --no-print-directory doze >/dev/null
	@python3 tests/bench/soak_probes.py
	@CYCLES=10000 tests/lane.sh python3 tests/e2e/test_cycles.py

.PHONY: differential
differential: deps ## the same client's view with and without doze, of real servers (installs them)
	@tests/differential/install.sh
	@$(MAKE) --no-print-directory doze >/dev/null
	@tests/run.py tests/differential/differential.py

fuzz: deps ## fuzz every parser for FUZZ_SECONDS (60) each
	@$(MAKE) --no-print-directory $(FUZZERS) >/dev/null
	@tests/fuzz/run.sh fuzz $(FUZZ_SECONDS) $(FUZZERS)

corpora: deps ## keep in tests/fuzz/corpus/ what the fuzzers have found, as few files as reach it
	@$(MAKE) --no-print-directory $(FUZZERS) >/dev/null
	@tests/fuzz/run.sh keep $(FUZZERS)

.PHONY: chaos
chaos: deps ## everything goes wrong for SECONDS (120), as SEED (a random one) has it; ONLY="node doze_kill"
	@$(MAKE) --no-print-directory doze $(B)/tests/chaos/clock_jump.so >/dev/null
	@python3 tests/chaos/chaos.py "$(SECONDS)" "$(SEED)" $(ONLY)

.PHONY: model
model: deps ## search a model of doze in every order, and for seeded mistakes
	@tests/model/run.py $(MODEL_FLAGS)

.PHONY: kernels
kernels: deps ## test on other kernels, under qemu (downloads them)
	@$(MAKE) --no-print-directory doze $(KERNEL_TESTS) >/dev/null
	@tests/kernels/run.sh $(KERNELS)

$(TEST_LIBRARY): $(filter-out $(B)/asan/userspace/main.o,$(TEST_OBJECTS))
	rm -f $@
	ar rcs $@ $^

# doze itself with the sanitizers: make test DOZE=build/asan/doze
$(B)/asan/doze: $(B)/asan/userspace/main.o $(TEST_LIBRARY)
	$(CC) $(SANITIZE) -o $@ $^ $(LDLIBS)

$(B)/asan/%.o: %.c Makefile tests/tests.mk | $(SKELS)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) $(TEST_CPPFLAGS) -MD -MP -c -o $@ $<

$(B)/tests/unit/%: tests/unit/%.c $(TEST_LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) $(TEST_CPPFLAGS) -MD -MP -o $@ $< $(TEST_LIBRARY) -lcmocka $(LDLIBS)

$(B)/tests/bpf/%: tests/bpf/%.c $(TEST_LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) $(TEST_CPPFLAGS) -MD -MP -o $@ $< $(TEST_LIBRARY) -lcmocka $(LDLIBS)

# Programs that the tests in Python run.
$(B)/tests/fake/%: tests/fake/%.c $(TEST_LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) $(TEST_CPPFLAGS) -MD -MP -o $@ $< $(TEST_LIBRARY) $(LDLIBS)

$(B)/tests/kernels/%: tests/kernels/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -MD -MP -o $@ $< $(LDFLAGS) $(LIBRARY) $(LDLIBS)

$(B)/tests/kernels/test_%: tests/bpf/test_%.c $(wildcard tests/lib/*) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) -O1 -g -std=gnu11 $(TEST_CPPFLAGS) -o $@ $< $(wildcard tests/lib/*.c) $(LIBRARY) -lcmocka $(LDLIBS)

# Preloaded into doze.
$(B)/tests/chaos/%.so: tests/chaos/%.c
	@mkdir -p $(@D)
	$(CC) -O2 -Wall -Wextra -fPIC -shared -D_GNU_SOURCE -o $@ $<

# All of userspace/ with the fuzzer's instrumentation: a fuzzer covers what it calls.
$(FUZZ_LIBRARY): $(filter-out $(B)/fuzz/userspace/main.o,$(FUZZ_OBJECTS))
	rm -f $@
	ar rcs $@ $^

$(B)/fuzz/%.o: %.c Makefile tests/tests.mk | $(SKELS)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -fsanitize=fuzzer-no-link $(TEST_CPPFLAGS) -MD -MP -c -o $@ $<

# tests/fuzz/played.h: the time is what the fuzzer says.
$(B)/tests/fuzz/fuzz_backend_kube $(B)/tests/fuzz/fuzz_pod_watch: FUZZ_LDFLAGS := -Wl,--wrap=clock_gettime

$(B)/tests/fuzz/%: tests/fuzz/%.c $(FUZZ_LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -fsanitize=fuzzer $(FUZZ_LDFLAGS) $(TEST_CPPFLAGS) -MD -MP -MF $@.d -o $@ $< $(FUZZ_LIBRARY) $(LDLIBS)

$(B)/bench/%.bpf.o: tests/bench/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

$(B)/bench/%.skel.h: $(B)/bench/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(B)/tests/bench/%: tests/bench/%.c $(LIBRARY) | $(SKELS) $(B)/bench/empty.skel.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -I. -Itests -isystem $(B)/bench -MD -MP -MF $@.d -o $@ $< \
		$(LIBRARY) $(LDLIBS)

# SPDX-License-Identifier: GPL-2.0
# k2u: what it costs to hand a kernel buffer to user space. "make help" lists
# the targets; README.md explains them.

KDIR	?= /lib/modules/$(shell uname -r)/build
CC	?= gcc
CFLAGS	?= -O2 -g
BUILD	:= build

# SANITIZE=1: the same programs and tests in build/asan, which stop at the first
# undefined step. Where the arena is else, AddressSanitizer has its shadow.
ifdef SANITIZE
BUILD	:= build/asan
override CFLAGS := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
	-fsanitize=address,undefined,float-cast-overflow -DARENA_BASE='(1UL << 45)'
endif
# Of "make fuzzers" alone: libFuzzer is clang's, which takes NULL + 0 (defined
# from C2y on) for an overflow of a pointer
ifdef FUZZ
BUILD	:= build/fuzz
override CC := clang
override CFLAGS := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
	-fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow \
	-fno-sanitize=pointer-overflow -DARENA_BASE='(1UL << 45)'
endif

# Only what the compiler needs to know; the rest is in include/version.h.
# Dirty is what measures: every run rewrites REPORT.md, and is no other code for it.
GIT	:= $(or $(shell git describe --always 2>/dev/null),unknown)$(shell \
	   git diff --quiet HEAD -- Makefile bench include kmod scripts stat 2>/dev/null; \
	   [ $$? -ne 1 ] || echo -dirty)

ALL_CFLAGS = -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes \
	     -Wmissing-prototypes -Werror=implicit -D_GNU_SOURCE -Iinclude \
	     -I$(BUILD) -MMD -MP $(CFLAGS)
bench_LIBS = -lnuma -lpfm -ljansson -lm -pthread
get_LIBS   = -lnuma -ljansson -lm
stat_LIBS  = -ljansson -lgsl -lgslcblas -lm
compare_LIBS = $(stat_LIBS)
capability_LIBS = $(stat_LIBS)

-include bench/get.mk

objs	   = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))
bench_OBJS := $(filter-out $(BUILD)/bench/get.o,$(call objs,bench))
get_OBJS   := $(addprefix $(BUILD)/bench/,$(GET_OBJS))
stat_OBJS  := $(call objs,stat)
UNIT	   := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
GUEST	   := $(patsubst tests/guest/%.c,$(BUILD)/tests/%,$(wildcard tests/guest/guest_*.c tests/guest/debug_*.c))
FUZZERS	   := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
PROGRAMS   := $(addprefix $(BUILD)/,k2u-bench k2u-get k2u-stat)

# Built from the statistics themselves
STATS	   := $(addprefix $(BUILD)/tests/,simulate draw)

.PHONY: all programs guest-programs tests unit-tests fuzzers fuzz-targets fuzz-user module install uninstall bench matrix compare report \
	check check-debug check-devmem check-mutants check-native check-stats clean clean-cache deps fuzz help

all: programs $(if $(wildcard $(KDIR)/Makefile),module,no-module)

programs: $(PROGRAMS)

$(BUILD)/k2u-bench: $(bench_OBJS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(bench_LIBS)

$(BUILD)/k2u-get: $(get_OBJS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(get_LIBS)

$(BUILD)/k2u-stat: $(stat_OBJS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(stat_LIBS)

$(BUILD)/%.o: %.c | $(BUILD)/git.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Rewritten only when the revision changed, so that it alone rebuilds nothing.
$(BUILD)/git.h: FORCE
	@mkdir -p $(@D)
	@echo '#define K2U_GIT "$(GIT)"' | cmp -s - $@ || \
		echo '#define K2U_GIT "$(GIT)"' > $@
FORCE:

# The module of the running kernel, or of KDIR.
module:
	$(MAKE) -C $(KDIR) M=$(CURDIR)/kmod $(if $(W),W=$(W)) modules

# By DKMS where that is; KRELEASE for another kernel than the running one.
install uninstall:
	@scripts/install.sh $@

.PHONY: no-module
no-module:
	@echo "kmod/k2u.ko: unavailable: no kernel headers in $(KDIR)" \
	      "(install linux-headers-$$(uname -r), or pass KDIR=)" >&2

tests: $(UNIT) $(GUEST) $(STATS)

unit-tests: $(UNIT)

# Programs that feed mutated text to each parser; tests/fuzz-user.sh runs them.
fuzzers:
	@$(MAKE) --no-print-directory FUZZ=1 fuzz-targets
	@rm -rf build/fuzz/seeds && tests/fuzz/seeds.sh build/fuzz/seeds

fuzz-targets: $(FUZZERS)

fuzz-user:
	@tests/fuzz-user.sh $(TARGET)

# What a guest runs, for scripts/kernel.sh to build for another architecture.
guest-programs: $(BUILD)/k2u-bench $(BUILD)/k2u-get $(GUEST)

$(BUILD)/tests/test_%: $(BUILD)/tests/unit/test_%.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $($*_LIBS)

$(BUILD)/tests/test_bench: $(filter-out %/main.o,$(bench_OBJS))
$(addprefix $(BUILD)/tests/,test_stat test_compare test_capability): $(filter-out %/main.o,$(stat_OBJS))

# Both halves have a parse_size(): a target is of one of them
bench_FUZZERS := $(addprefix $(BUILD)/tests/fuzz_,config options)
$(bench_FUZZERS): $(filter-out %/main.o,$(bench_OBJS))
$(bench_FUZZERS): fuzz_LIBS = $(bench_LIBS)
$(filter-out $(bench_FUZZERS),$(FUZZERS)): $(filter-out %/main.o,$(stat_OBJS))
$(filter-out $(bench_FUZZERS),$(FUZZERS)): fuzz_LIBS = $(stat_LIBS)
$(FUZZERS): $(BUILD)/tests/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/fuzz.o
	$(CC) $(CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(fuzz_LIBS)

$(STATS): $(BUILD)/tests/%: $(BUILD)/tests/stats/%.o $(filter-out %/main.o,$(stat_OBJS))
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(stat_LIBS)

FUZZ	   := $(patsubst tests/guest/%.c,$(BUILD)/tests/guest/%.o,$(wildcard tests/guest/fuzz_*.c))
$(BUILD)/tests/debug_fuzz: $(FUZZ)
# The cases of tests/guest/hostile.def are one program
$(BUILD)/tests/guest_hostile: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/guest/hostile_*.c))

# What k2u-bench says of a refusal, in the guest that refuses; where /dev/kmem has a buffer
devmem_GUEST := $(addprefix $(BUILD)/tests/,guest_contents guest_devmem)
$(devmem_GUEST): $(addprefix $(BUILD)/bench/,config.o devmem.o sys.o)
$(devmem_GUEST): guest_LIBS = -ljansson

$(GUEST): $(BUILD)/tests/%: $(BUILD)/tests/guest/%.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(guest_LIBS)

# The main job; QUICK OUT BOOTS METHODS BACKINGS MEASURES SIZES THREADS VENUE KERNEL CPUS
# SEED: see README.md.
bench:
	@scripts/bench.sh

# KERNELS BOOTS OUT and what bench has
matrix:
	@scripts/matrix.sh

# In a script call k2u-stat itself: make's own exit status is 2 for its 1 and 2.
compare: programs
	@build/k2u-stat compare $(if $(FORMAT),--format=$(FORMAT)) \
		$(if $(THRESHOLD),--threshold=$(THRESHOLD)) "$(BASE)" "$(NEW)"

report:
	@scripts/report.sh $(RUNS)

check:
	@tests/check.sh

# SEED COUNT KERNEL
fuzz:
	@tests/fuzz.sh $(or $(SEED),1) $(or $(COUNT),100000) $(or $(KERNEL),6.12)

# Seeded bugs in the module
check-mutants:
	@tests/check.sh tests/mutants.sh

check-native:
	@tests/native.sh

check-stats:
	@tests/check.sh tests/stats.sh

# Two at a time, as every list of check.sh
check-debug:
	@tests/check.sh "tests/debug.sh 6.12-debug-gcov" "tests/debug.sh 6.1-debug" tests/threads.sh

# /dev/mem and /dev/kmem where they are allowed, and what forbids them elsewhere
check-devmem:
	@tests/check.sh tests/devmem.sh

deps:
	@scripts/deps.sh

clean:
	rm -rf $(BUILD)
	$(if $(wildcard $(KDIR)/Makefile),$(MAKE) -C $(KDIR) M=$(CURDIR)/kmod clean)

clean-cache:
	@scripts/kernel.sh --size
	@scripts/kernel.sh --clean

help:
	@echo 'make               build/k2u-bench, build/k2u-stat, and kmod/k2u.ko for KDIR'
	@echo 'make install       the module into this system, by DKMS where that is (root)'
	@echo 'make uninstall     and out of it'
	@echo 'make bench         measure on this machine; writes results/<run>/ and REPORT.md'
	@echo '                   QUICK=1 OUT=results/NAME METHODS=a,b MEASURES=a,b SIZES=4K,1M THREADS=1,2'
	@echo '                   BOOTS=N VENUE=auto|native|vm KERNEL=6.12 CPUS=4 (vm) SEED=N'
	@echo 'make matrix        the same in a guest of each kernel, and the comparison across them'
	@echo '                   KERNELS="5.10 6.1 6.12" BOOTS=20 OUT=results/NAME QUICK=1 ...'
	@echo 'make compare BASE=results/a NEW=results/b   what is slower or faster, and how surely'
	@echo '                   FORMAT=text|json|csv THRESHOLD=PCT; several runs: "a b"'
	@echo 'make report RUNS="results/a results/b"      REPORT.md and charts from these runs'
	@echo 'make check         set-up and all fast tests'
	@echo 'make SANITIZE=1 programs unit-tests         these under ASan and UBSan, in build/asan'
	@echo 'make fuzz-user     the parsers fed mutated text; TARGET=csv RUNS=1000000 SEED=2'
	@echo 'make check-native  make bench inside a full Debian guest, with venue=native'
	@echo 'make check-mutants mistakes that drivers make, planted in the module: the tests must find each'
	@echo 'make check-debug   the module under kernels that look for its mistakes, and which of its lines ran'
	@echo 'make check-devmem  /dev/mem and /dev/kmem: measured where a kernel allows them, and what forbids them elsewhere'
	@echo 'make check-stats   the proof of the statistics, by simulation and by planted slowdowns'
	@echo 'make fuzz          random operations on the device, in a guest: SEED=1 COUNT=100000 KERNEL=6.12'
	@echo 'make deps          install what the above need (Debian)'
	@echo 'make clean, make clean-cache   build/; the kernels kept outside the checkout'

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/tests/*/*.d)

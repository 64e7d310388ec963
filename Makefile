# SPDX-License-Identifier: BSD-2-Clause
# One graph for everything. Each folder's rules.mk adds its sources to the lists below; there is no
# recursive make, so `make -j` sees every file at once. `make help` explains the targets.
#
#   build/libsluice.a     all of userspace-src; tests, fuzzers and tools link with it
#   build/sluiced         userspace/keeper/main.c + the archive
#   build/sluicectl       sluicectl-src + the archive
#   build/sluice-bench    bench-src + the archive
#   build/bpf/x.bpf.o     bpf/x.bpf.c by clang for BPF; build/bpf/x.skel.h by bpftool, which
#                         userspace includes as "bpf/x.skel.h"
#   build/tests/...       one program per tests/*/test_*.c, fuzz_*.c and bench_*.c
#
# With SAN=address,undefined everything goes to build-san-address-undefined/ instead, so that an
# ordinary build and a sanitizer's live side by side.

MAKEFLAGS += -rR --no-print-directory
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
comma := ,

# ---- what the user may set ------------------------------------------------------------------

#: V=1                       whole command lines
#: T=what                    for test, fuzz and bench: only this
#: SAN=address,undefined     sanitizers, in a build of their own; thread likewise
#: CC=gcc                    another compiler than clang
#: O=build-mine              another build folder
#: SECONDS=600               for fuzz: how long each, instead of 60 s
#: KERNEL=6.12              for vm-test: the machines' kernel, instead of 6.1
#: VMLINUX_BTF=FILE          another kernel's types than those of the running one
#: FOLDERS=base              only these folders of userspace in the archive; no programs
#: BORINGSSL=/opt/boringssl  any upstream build instead of the one that deps makes
#: PREFIX=/usr               for install, beside DESTDIR=
#: EXTRA_CFLAGS=-O0          behind all other flags

# clang, unless the command line or the environment names another compiler
ifneq ($(filter default undefined,$(origin CC)),)
CC := clang
endif
CLANG  ?= clang
PREFIX ?= /usr/local
# FOLDERS="base http" makes an archive of these alone: while a folder is in pieces, the tests of
# those below it still build
FOLDERS ?= *
V      ?=
KERNEL ?= 6.1
T      ?=
SAN    ?=
EXTRA_CFLAGS ?=

# bpftool lives in /usr/sbin, which a plain user's PATH may lack
export PATH := $(PATH):/usr/sbin:/sbin

# ---- where things go ------------------------------------------------------------------------

# a fuzzer instruments the archive too: its own build, chosen by its goal
ifneq ($(filter fuzz,$(MAKECMDGOALS)),)
O := build-fuzz
else ifneq ($(SAN),)
O := build-san-$(subst $(comma),-,$(SAN))
else
O := build
endif

# BORINGSSL=<prefix> takes any upstream build instead of ours.
own-boringssl := .deps/boringssl
BORINGSSL ?= $(own-boringssl)

# `make run`, `make test` and the like first install what they need from Debian, which everything
# that compiles then waits for; plain `make` installs nothing.
deps-of-run := build
deps-of-deps := build
deps-of-deps-test := build test
deps-of-test := build test
deps-of-vm-kernels := build test vm
deps-of-load-matrix := build vm
deps-of-vm-test := build test vm vagrant
deps-of-fuzz := build test
deps-of-bench := build
deps-of-bench-million := build
deps-of-compare := build compare
deps-of-lint := build test lint
deps-of-fmt := lint
deps-groups := $(sort $(foreach goal,$(MAKECMDGOALS),$(deps-of-$(goal))))
ifneq ($(deps-groups),)
prepared := install-deps
endif

# ---- flags ----------------------------------------------------------------------------------

cppflags := -D_GNU_SOURCE -Iuserspace -Ibpf -I. -I$(O) -Itests/unit -I$(BORINGSSL)/include
cflags   := -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wno-unused-parameter -Werror -fno-common -fPIE
# BoringSSL's symbols are nobody else's. With a sanitizer only they are hidden: its own malloc must
# stay visible to libc, or what libc allocates is freed by another heap.
ldflags  := -pie -Wl,--as-needed \
            -Wl,--exclude-libs,$(if $(filter build,$(O)),ALL,libssl.a:libcrypto.a)
ldlibs   := -lxdp -lbpf -lelf -lz -lmaxminddb -levent_core -lroaring -ljansson -lconfig -luring -lm -lpthread

ifeq ($(O),build-fuzz)
cflags  += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DSLUICE_SAN
fuzz-cflags  := -fsanitize=fuzzer-no-link
fuzz-ldflags := -fsanitize=fuzzer,address,undefined
else ifneq ($(SAN),)
cflags  += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -DSLUICE_SAN
ldflags += -fsanitize=$(SAN)
else
cflags  += -fstack-protector-strong -D_FORTIFY_SOURCE=2
ldflags += -Wl,-z,relro,-z,now
endif

arch := $(shell uname -m)
bpf-arch := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(arch)))
bpf-cflags := -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror \
              -D__TARGET_ARCH_$(bpf-arch) -Ibpf -I. -I$(O) -idirafter /usr/include/$(arch)-linux-gnu

# ---- the folders ----------------------------------------------------------------------------

userspace-src :=
sluicectl-src :=
bench-src     :=
-include $(foreach f,$(FOLDERS),$(wildcard userspace/$(f)/rules.mk)) $(wildcard bpf/rules.mk tools/*/rules.mk tests/rules.mk tests/*/rules.mk)

# once each, however many lists name it; sluiced's main() stays out of the archive
userspace-src := $(filter-out userspace/keeper/main.c,$(sort $(userspace-src)))
absent := $(filter-out $(wildcard $(userspace-src)),$(userspace-src))
ifneq ($(absent),)
$(warning a rules.mk names what is not there: $(absent))
userspace-src := $(filter-out $(absent),$(userspace-src))
endif
main-src      := $(wildcard userspace/keeper/main.c)
sluicectl-src := $(sort $(sluicectl-src))
bench-src     := $(sort $(bench-src))
bpf-src       := $(wildcard bpf/*.bpf.c)

unit-src   := $(sort $(wildcard tests/unit/*/test_*.c))
bpftest-src := $(sort $(wildcard tests/bpf/test_*.c))
fuzz-src   := $(sort $(wildcard tests/fuzz/fuzz_*.c))
microbench-src := $(sort $(wildcard tests/bench/bench_*.c))

c-files := $(wildcard bpf/*.[ch] userspace/*/*.[ch] tools/*/*.[ch] tests/unit/*.h tests/*/*.[ch] tests/unit/*/*.[ch])

obj = $(patsubst %.c,$(O)/%.o,$(1))
exe = $(patsubst %.c,$(O)/%,$(1))

archive := $(O)/libsluice.a
skels   := $(patsubst bpf/%.bpf.c,$(O)/bpf/%.skel.h,$(bpf-src))
ifeq ($(FOLDERS),*)
programs := $(if $(main-src),$(O)/sluiced) $(if $(sluicectl-src),$(O)/sluicectl) \
            $(if $(bench-src),$(O)/sluice-bench)
endif
tests   := $(call exe,$(unit-src) $(bpftest-src))
benches := $(call exe,$(microbench-src))
fuzzers := $(call exe,$(fuzz-src))

# ---- the load matrix -------------------------------------------------------------------------

# The oldest and the newest clang-N here compile every BPF object, so that tests/vm can ask each
# kernel's verifier about both: compilers differ more than kernels do.
clangs := $(shell for d in $$(echo "$$PATH" | tr : ' '); do ls $$d 2>/dev/null; done | sed -n 's/^clang-\([0-9][0-9]*\)$$/\1/p' | sort -nu)
matrix-clangs := $(addprefix clang-,$(sort $(firstword $(clangs)) $(lastword $(clangs))))
matrix := $(foreach c,$(matrix-clangs),$(patsubst bpf/%.bpf.c,$(O)/matrix/$(c)/%.bpf.o,$(bpf-src)))
vm-tests := $(O)/tests/vm/load $(matrix)

# ---- quiet lines ----------------------------------------------------------------------------

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n' $(1) $(2)
endif

# A product appears whole or not at all, so that a second make in the same tree, or a program that
# is running from it, never meets half of one.
part = $@.$$$$.part
into-place = && mv $(part) $@ || { rm -f $(part); exit 1; }

# ---- BoringSSL ------------------------------------------------------------------------------

ifeq ($(BORINGSSL),$(own-boringssl))
boringssl := $(own-boringssl)/lib/libssl.a
boringssl-libs = $(own-boringssl)/lib/libssl.a $(own-boringssl)/lib/libcrypto.a $$(cat $(own-boringssl)/link 2>/dev/null)
$(boringssl): | $(prepared)
	@tools/boringssl.sh $(own-boringssl)
else
boringssl :=
boringssl-libs := $(firstword $(wildcard $(BORINGSSL)/lib/libssl.a $(BORINGSSL)/ssl/libssl.a $(BORINGSSL)/libssl.a)) \
	$(firstword $(wildcard $(BORINGSSL)/lib/libcrypto.a $(BORINGSSL)/crypto/libcrypto.a $(BORINGSSL)/libcrypto.a))
ifneq ($(words $(boringssl-libs)),2)
$(error no libssl.a and libcrypto.a under BORINGSSL=$(BORINGSSL), nor in its lib/, ssl/ and crypto/)
endif
endif

# the build that .deps/boringssl points to: another one means to compile and link anew
boringssl-id = $(shell readlink $(BORINGSSL) || echo $(BORINGSSL))

# ---- goals ----------------------------------------------------------------------------------

.PHONY: all
all: $(programs) $(archive) ## build everything that runs: sluiced, sluicectl, sluice-bench

.PHONY: build-tests
build-tests: $(tests) $(fuzzers) $(benches) ## build the test programs, fuzzers and benches without running them

.PHONY: run
run: $(prepared) all ## install and build what is missing, then serve https://localhost:8443/ in the foreground
	@tools/run.sh $(O)

# What T= names, so that one test does not wait for all: a suite, a folder of tests/unit, a file
# test_NAME.c, or else the first word of TEST(), which only the programs know.
T-head := $(firstword $(subst /, ,$(T)))
T-name := $(word 2,$(subst /, ,$(T)))
ifeq ($(T),)
wanted-tests := $(programs) $(tests) $(fuzzers) $(benches) $(vm-tests)
else ifeq ($(T-head),unit)
wanted-tests := $(call exe,$(unit-src))
else ifeq ($(T-head),bpf)
wanted-tests := $(call exe,$(bpftest-src))
else ifeq ($(T-head),fuzz)
wanted-tests := $(filter $(O)/tests/fuzz/fuzz_$(T-name)%,$(fuzzers))
else ifeq ($(T-head),vm)
wanted-tests := $(programs) $(call exe,$(bpftest-src)) $(vm-tests)
else ifneq ($(filter net conformance,$(T-head)),)
wanted-tests := $(programs)
else
wanted-tests := $(or $(filter $(O)/tests/unit/$(T-head)/% %/test_$(T-head),$(call exe,$(unit-src))),\
                $(call exe,$(unit-src)))
endif

.PHONY: test
test: $(prepared) $(wanted-tests) ## all tests, or T=fanout/two_rooms T=net/backpressure T=bpf T=fuzz/head; SAN=address,undefined
	@/usr/bin/python3 tests/run.py --build '$(O)' --san '$(SAN)' '$(T)'

.PHONY: vm-kernels
vm-kernels: $(prepared) $(programs) $(call exe,$(bpftest-src)) $(vm-tests) ## the BPF tests and an edge with a client under Debian's 6.1 and 6.12, in light machines
	@/usr/bin/python3 tests/run.py --build '$(O)' --san '$(SAN)' 'vm$(addprefix /,$(T))'

.PHONY: vm-test
vm-test: $(prepared) $(programs) $(call exe,$(unit-src) $(bpftest-src)) ## the suites inside and between Vagrant's machines, under KERNEL=6.1 or 6.12 (as root)
	@/usr/bin/python3 vagrant/test.py '$(O)' $(KERNEL)

.PHONY: load-matrix
load-matrix: $(prepared) $(vm-tests) ## what each kernel's verifier walks of each BPF program, by compiler
	@/usr/bin/python3 tests/vm/matrix.py $(O)

.PHONY: bench
bench: $(prepared) $(filter $(O)/tests/bench/bench_$(T)%,$(benches)) ## micro-benchmarks, or T=name for one
	@for b in $(filter $(O)/tests/bench/bench_$(T)%,$(benches)); do echo "$${b##*/}:"; $$b || exit 1; done

.PHONY: compare
compare: $(prepared) all $(filter %/bench_floor,$(benches)) ## fan-out beside npm ws, Socket.IO, nchan and mosquitto, bursts, latencies, slow readers (as root, on a quiet machine)
	@/usr/bin/python3 tests/bench/fanout.py

.PHONY: flood
flood: $(prepared) all $(O)/tests/bench/bench_flood ## SYN floods against an edge with the shield and one without (as root, on a quiet machine)
	@$(O)/tests/bench/bench_flood
	@/usr/bin/python3 tests/bench/flood.py
	@/usr/bin/python3 tests/bench/flood.py --family 6

.PHONY: bench-million
bench-million: $(prepared) all ## 1,000,000 idle wss connections and what one costs from 1,000 on, in 20 minutes (as root, on a quiet machine, 12 GB)
	@/usr/bin/python3 tests/bench/million.py

.PHONY: soak
soak: ## a million messages, and 5,000 long ones, byte for byte through an edge that is watched by ASan and UBSan
	@SLUICE_ECHOES=1000000 $(MAKE) test SAN=address,undefined T=net/crowd/soak

SECONDS := 60
.PHONY: fuzz
fuzz: $(prepared) $(filter $(O)/tests/fuzz/fuzz_$(T)%,$(fuzzers)) ## fuzz T=name for SECONDS=60, or each in turn; finds go to build-fuzz/
	@tests/fuzz/run.sh $(O) $(SECONDS) $(filter $(O)/tests/fuzz/fuzz_$(T)%,$(fuzzers))

.PHONY: deps
deps: $(prepared) $(boringssl) ## install from Debian what building and running needs, and build BoringSSL
.PHONY: deps-test
deps-test: $(prepared) $(boringssl) ## the same, and what the tests need
.PHONY: install-deps
install-deps:
	@tools/deps.sh $(deps-groups)

.PHONY: install
install: all ## into PREFIX=/usr/local (DESTDIR= for packages): programs, sample configuration, manual, unit
	@tools/install.sh install '$(O)' '$(DESTDIR)' '$(PREFIX)'
.PHONY: uninstall
uninstall: ## what install put there, but for the configuration in use
	@tools/install.sh uninstall '$(O)' '$(DESTDIR)' '$(PREFIX)'

.PHONY: fmt
fmt: $(prepared) ## format all C by .clang-format
	clang-format -i $(c-files)

# One stamp per file, renewed when the file, a header it includes or the rules change.
lint-src := $(userspace-src) $(main-src) $(sluicectl-src) $(bench-src) $(unit-src) $(bpftest-src) \
            $(fuzz-src) $(microbench-src) $(wildcard tests/fuzz/replay_main.c tests/vm/load.c)
$(O)/lint/%.ok: %.c $(O)/%.o .clang-tidy tests/.clang-tidy tools/lint.h | $(prepared)
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $< -- -include tools/lint.h $(cppflags) $(cflags) $(cflags-$<) >$(part) 2>&1 && mv $(part) $@ || \
		{ grep -v 'warnings generated\|Suppressed\|Use -header-filter' $(part); rm -f $(part); exit 1; }
scripts := $(wildcard tools/*.sh tests/*.sh tests/*/*.sh vagrant/*.sh) .ci/run
.PHONY: lint
lint: $(prepared) $(patsubst %.c,$(O)/lint/%.ok,$(lint-src)) ## clang-tidy over all C, shellcheck over the scripts; no finding may stay
	@shellcheck $(scripts)
	@echo "lint: $(words $(lint-src)) C files and $(words $(scripts)) scripts without a finding"

.PHONY: clean
clean: ## remove what was built, of every sanitizer and build folder; BoringSSL stays
	rm -rf build build-* $(O)
.PHONY: distclean
distclean: clean ## and what deps put into the tree (a finished BoringSSL stays in the user's cache)
	rm -rf .deps

.PHONY: help
help: ## this list
	@printf 'usage: make [TARGET] [VARIABLE=value ...]\n\n'
	@sed -nE 's/^([a-z-]+):[^=].*## (.*)/  \1\t\2/p' Makefile | sort | expand -t 16
	@printf '\n%s\n' 'variables:'
	@sed -nE 's/^#: ([A-Z_]+=[^ ]*) +(.*)/  \1\t\2/p' Makefile | expand -t 28

# ---- stamps: a change of flags, or of the list of sources, rebuilds what it concerns --------

.PHONY: FORCE
FORCE:

# $(1) file, $(2) content: written only if it differs
stamp = @mkdir -p $(dir $(1)); printf '%s\n' '$(2)' | cmp -s - $(1) || printf '%s\n' '$(2)' >$(1)

$(O)/.stamp-cc: FORCE | $(boringssl) $(prepared)
	@command -v $(firstword $(CC)) >/dev/null || { echo "no compiler $(firstword $(CC)) here: make deps installs what is missing" >&2; exit 1; }
	$(call stamp,$@,$(boringssl-id) $(CC) $(cppflags) $(cflags) $(fuzz-cflags) $(EXTRA_CFLAGS))
$(O)/.stamp-ld: FORCE | $(boringssl)
	$(call stamp,$@,$(boringssl-id) $(CC) $(ldflags) $(fuzz-ldflags) $(ldlibs) $(boringssl-libs))
$(O)/.stamp-bpf: FORCE
	$(call stamp,$@,$(CLANG) $(bpf-cflags) $(shell uname -r))
$(O)/.stamp-archive: FORCE
	$(call stamp,$@,$(userspace-src))

# ---- the kernel's side ----------------------------------------------------------------------

VMLINUX_BTF ?= /sys/kernel/btf/vmlinux

$(O)/vmlinux.h: $(O)/.stamp-bpf | $(prepared)
	$(call say,BTF,$@)
	@test -r $(VMLINUX_BTF) || { echo "no $(VMLINUX_BTF): this kernel has no BTF; name a file with VMLINUX_BTF=" >&2; exit 1; }
	$(Q)bpftool btf dump file $(VMLINUX_BTF) format c >$(part) $(into-place)

$(O)/bpf/%.bpf.o: bpf/%.bpf.c $(O)/vmlinux.h $(O)/.stamp-bpf
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(bpf-cflags) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

define matrix-rule
$(O)/matrix/$(1)/%.bpf.o: bpf/%.bpf.c $(O)/vmlinux.h $(O)/.stamp-bpf
	@mkdir -p $$(@D)
	$$(call say,BPF,$$(@:$(O)/%=%))
	$$(Q)$(1) $$(bpf-cflags) -MMD -MP -MF $$(@:.o=.d) -c -o $$@ $$<
endef
$(foreach c,$(matrix-clangs),$(eval $(call matrix-rule,$(c))))

$(O)/bpf/%.skel.h: $(O)/bpf/%.bpf.o
	$(call say,SKEL,$(@:$(O)/%=%))
	$(Q){ echo '/* NOLINTBEGIN: generated */' && bpftool gen skeleton $< name $(subst .,_,$*)_bpf && \
		echo '/* NOLINTEND */'; } >$(part) $(into-place)

# ---- userspace ------------------------------------------------------------------------------

$(O)/%.o: %.c $(O)/.stamp-cc | $(skels) $(boringssl) $(prepared)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(cppflags) $(cflags) $(fuzz-cflags) $(EXTRA_CFLAGS) $(cflags-$<) -MMD -MP -c -o $@ $<

$(archive): $(call obj,$(userspace-src)) $(O)/.stamp-archive
	$(call say,AR,$@)
	$(Q)ar rcs $(part) $(filter %.o,$^) $(into-place)

# $(1): more libraries; every prerequisite object first, then the archive
link = $(CC) $(cflags) $(ldflags) -o $(part) $(filter %.o,$^) $(archive) $(boringssl-libs) $(ldlibs) $(1) $(into-place)

$(O)/sluiced: $(call obj,$(main-src))
$(O)/sluicectl: $(call obj,$(sluicectl-src))
$(O)/sluice-bench: $(call obj,$(bench-src))
$(programs): $(archive) $(O)/.stamp-ld
	$(call say,LD,$@)
	$(Q)$(link)

# ---- tests ----------------------------------------------------------------------------------

$(O)/tests/vm/load: $(O)/tests/vm/load.o $(archive) $(O)/.stamp-ld
	$(call say,LD,$@)
	$(Q)$(call link)
$(tests): $(O)/%: $(O)/%.o $(archive) $(O)/.stamp-ld
	$(call say,LD,$@)
	$(Q)$(call link,-lcmocka $(ldlibs-$*))
ifeq ($(O),build-fuzz)
$(fuzzers): $(O)/%: $(O)/%.o $(archive) $(O)/.stamp-ld
else
$(fuzzers): $(O)/%: $(O)/%.o $(O)/tests/fuzz/replay_main.o $(archive) $(O)/.stamp-ld
endif
	$(call say,LD,$@)
	$(Q)$(call link,$(fuzz-ldflags) $(ldlibs-$*))
$(benches): $(O)/%: $(O)/%.o $(archive) $(O)/.stamp-ld
	$(call say,LD,$@)
	$(Q)$(call link,$(ldlibs-$*))

# the objects that no list keeps: without this make would delete them as intermediate
.SECONDARY:

-include $(patsubst %.o,%.d,$(call obj,$(userspace-src) $(main-src) $(sluicectl-src) $(bench-src) \
	$(unit-src) $(bpftest-src) $(fuzz-src) $(microbench-src) tests/fuzz/replay_main.c tests/vm/load.c)) \
	$(matrix:.o=.d) \
	$(patsubst bpf/%.c,$(O)/bpf/%.d,$(bpf-src))

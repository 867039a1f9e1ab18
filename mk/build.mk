# How a source becomes a program, once for each variant.
#
# A program is a folder: gen/*.c -> build/bin/hfcache-gen; a folder without main.c builds none.
# All but main.c goes into build/obj/VARIANT/libDIR.a, so that tests can link it. Shared are lib/
# and, upon it, command/: what programs with subcommands have in common.

DIRS := gen mount refresh
SHARED := command lib
BUILT_DIRS := $(foreach d,$(DIRS),$(if $(wildcard $d/main.c),$d))
PROGRAMS := $(BUILT_DIRS:%=$(BIN)/hfcache-%)
C_FILES := $(wildcard $(foreach d,$(SHARED) $(DIRS) tests/unit tests/tools tests/fuzz tests/sanity,$d/*.[ch]))

# Libraries of each folder, by pkg-config name.
gen_PKGS := yaml-0.1 jansson gmp
lib_PKGS := libcurl libcrypto expat jansson
mount_PKGS := fuse3 libcap-ng libseccomp libmicrohttpd
refresh_PKGS := libmicrohttpd
TEST_PKGS := cmocka

ifeq ($(origin CC),default)
CC := gcc
endif
FUZZ_CC ?= clang
WERROR ?= -Werror

# Asked once, when first needed: on a fresh machine `make deps` has to come first.
PKG_CONFIG ?= pkg-config
ALL_PKGS := $(sort $(lib_PKGS) $(foreach d,$(DIRS),$($d_PKGS)) $(TEST_PKGS))
pkg = $(shell $(PKG_CONFIG) $1 $2 || echo MISSING-LIBRARY-run-make-deps)
once = $(eval $1 := $2)$($1)
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(call pkg,--cflags,$(sort $(lib_PKGS) $(foreach d,$(DIRS),$($d_PKGS)))))
TEST_PKG_CFLAGS = $(call once,TEST_PKG_CFLAGS,$(call pkg,--cflags,$(TEST_PKGS)))
TEST_PKG_LIBS = $(call once,TEST_PKG_LIBS,$(call pkg,--libs,$(TEST_PKGS)))
gen_LIBS = $(call once,gen_LIBS,$(call pkg,--libs,$(gen_PKGS) $(lib_PKGS)) -lm)
mount_LIBS = $(call once,mount_LIBS,$(call pkg,--libs,$(mount_PKGS) $(lib_PKGS)) -lm)
refresh_LIBS = $(call once,refresh_LIBS,$(call pkg,--libs,$(refresh_PKGS) $(lib_PKGS)) -lm)
all_LIBS = $(call once,all_LIBS,$(call pkg,--libs,$(ALL_PKGS)) -lm)

WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
  -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla
BASE_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DHFC_VERSION='"$(VERSION)"' -O2 -g $(WARN)
# Fortified functions need the optimizer; the sanitizers see more without them.
HARDEN := -fstack-protector-strong -fPIE $(if $(filter -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
HARDEN_LD := -pie -Wl,-z,relro,-z,now -Wl,--as-needed

VARIANTS := release asan tsan cov fuzz
SAN := -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all -DHFC_SANITIZED=1
release_CFLAGS := $(HARDEN) $(WERROR)
release_LDFLAGS := $(HARDEN_LD)
asan_CFLAGS := $(SAN) -fsanitize=address,undefined
asan_LDFLAGS := -fsanitize=address,undefined
tsan_CFLAGS := $(SAN) -fsanitize=thread
tsan_LDFLAGS := -fsanitize=thread
cov_CFLAGS := -O0 --coverage -fprofile-update=atomic
cov_LDFLAGS := --coverage
fuzz_CFLAGS := $(SAN) -fsanitize=fuzzer-no-link,address,undefined $(WERROR)
fuzz_LDFLAGS := -fsanitize=address,undefined
cov_CC := gcc
fuzz_CC := $(FUZZ_CC)
variant_cc = $(or $($1_CC),$(CC))
# Sanitizer and coverage builds keep their own optimization level, whatever CFLAGS asks for.
variant_cflags = $(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS) $($1_CFLAGS)

objs = $(patsubst %.c,$(BUILD)/obj/$1/%.o,$(wildcard $2/*.c))

quote = '$(subst ','\'',$1)'
# Rewrites the target only when its content changes, so that what depends on it is made anew then.
record = @mkdir -p $(@D); printf '%s\n' $(call quote,$1) | cmp -s - $@ || printf '%s\n' $(call quote,$1) > $@
# A program sees the headers of its own folder and the shared ones; lib/ only its own; tests see all.
includes = -Ilib $(if $(filter lib/%,$1),,-Icommand $(if $(filter tests/%,$1),$(DIRS:%=-I%) -Itests/unit,-I$(dir $1)))

# $(call variant,NAME)
define variant
$(BUILD)/obj/$1/flags: FORCE
	$$(call record,$$(call variant_cc,$1) $$(call variant_cflags,$1) | $$(LDFLAGS) $($1_LDFLAGS))

$(BUILD)/obj/$1/%.o: %.c $(BUILD)/obj/$1/flags
	$$(say) CC '$$< ($1)'
	@mkdir -p $$(@D)
	$$(Q)$$(call variant_cc,$1) $$(call variant_cflags,$1) $$(call includes,$$<) $$(PKG_CFLAGS) \
	  $$(if $$(filter tests/unit/%,$$<),$$(TEST_PKG_CFLAGS)) -MMD -MP -c -o $$@ $$<

$(foreach d,$(SHARED) $(DIRS),$(call archive,$1,$d))
$(foreach d,$(BUILT_DIRS),$(call program,$1,$d))
endef

# $(call archive,VARIANT,DIR): everything of a folder but main.o. Depends on the list of its members
# and is made from nothing, so that the object of a deleted source does not live on in it.
define archive
$(BUILD)/obj/$1/lib$2.list: FORCE
	$$(call record,$(filter-out %/main.o,$(call objs,$1,$2)))

$(BUILD)/obj/$1/lib$2.a: $(filter-out %/main.o,$(call objs,$1,$2)) $(BUILD)/obj/$1/lib$2.list
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$(filter %.o,$$^)

endef

program_path = $(if $(filter release,$1),$(BIN),$(BUILD)/$1/bin)/hfcache-$2
define program
$(call program_path,$1,$2): $(BUILD)/obj/$1/$2/main.o $(BUILD)/obj/$1/lib$2.a $(SHARED:%=$(BUILD)/obj/$1/lib%.a)
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(Q)$$(call variant_cc,$1) $$(call variant_cflags,$1) $$(LDFLAGS) $($1_LDFLAGS) -o $$@ $$^ $$($2_LIBS)

endef

$(foreach v,$(VARIANTS),$(eval $(call variant,$v)))

.PHONY: FORCE
FORCE:

-include $(wildcard $(foreach v,$(VARIANTS),$(foreach d,$(SHARED) $(DIRS) tests/unit tests/tools tests/fuzz,$(BUILD)/obj/$v/$d/*.d)))

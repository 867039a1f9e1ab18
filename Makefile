# hf-cache: build, checks and installation. `make` lists the targets.
#
#   mk/build.mk   variants (release, asan, tsan, cov, fuzz), objects, programs
#   mk/test.mk    unit, integration and fuzz tests, coverage, benchmarks
#   tools/        scripts that only these makefiles call
#
# From the environment or the command line: CC (gcc or clang), CFLAGS, CPPFLAGS, LDFLAGS, WERROR
# (empty: warnings don't stop the build), V=1 (show commands), DESTDIR and prefix (install).
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VERSION := $(shell cat VERSION)
BUILD := build
BIN := $(BUILD)/bin
PYTHON := $(BUILD)/venv/bin/python

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

prefix ?= /usr/local
bindir ?= $(prefix)/bin
datadir ?= $(prefix)/share/hf-cache
docdir ?= $(prefix)/share/doc/hf-cache
man1dir ?= $(prefix)/share/man/man1
bashcompdir ?= $(prefix)/share/bash-completion/completions
zshcompdir ?= $(prefix)/share/zsh/site-functions
fishcompdir ?= $(prefix)/share/fish/vendor_completions.d
INSTALL ?= install

include mk/build.mk
include mk/test.mk

.PHONY: help
help: ## list the targets
	@printf 'hf-cache %s\n\n' '$(VERSION)'
	@awk 'BEGIN { FS = ":.*## " } \
	  /^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile mk/test.mk
	@printf '\nUseful: V=1, CC=clang, -j2, CLUSTER=name, DESTDIR=dir prefix=/usr.\n'

.PHONY: demo all generate check format install clean distclean deps deps-build deps-demo deps-test
demo: deps-demo ## install what it needs, build, generate, publish a small model, mount and load it
	+@$(MAKE) --no-print-directory all
	@tools/demo.sh $(BIN)/hfcache-gen $(BIN)/hfcache-refresh $(BIN)/hfcache-mount $(BUILD)/demo

all: $(PROGRAMS) ## build the programs (build/bin)

generate: all ## write generated/ from clusters/ and templates/ [CLUSTER=name]
	$(Q)$(BIN)/hfcache-gen generate $(CLUSTER)

check: all ## show what `make generate` would change; nothing is written [CLUSTER=name]
	$(Q)$(BIN)/hfcache-gen check $(CLUSTER)

format: ## let clang-format lay out all C files
	$(Q)clang-format -i $(C_FILES)

# Nothing is built as root by `make install` if `make all` went before.
install: all ## install programs, manual pages, completions and documents [DESTDIR=, prefix=]
	$(Q)tools/install.sh '$(INSTALL)' '$(DESTDIR)$(bindir)' $(PROGRAMS) -- 755
	$(Q)tools/install.sh '$(INSTALL)' '$(DESTDIR)$(man1dir)' $(wildcard man/*.1) -- 644
	$(Q)tools/install.sh '$(INSTALL)' '$(DESTDIR)$(docdir)' $(wildcard README.md docs/*.md) -- 644
	$(Q)tools/install.sh '$(INSTALL)' '$(DESTDIR)$(datadir)/templates/hf-cache' \
	  $(wildcard templates/hf-cache/*.tpl) -- 644
	$(Q)tools/install.sh '$(INSTALL)' '$(DESTDIR)$(bashcompdir)' $(wildcard completions/*.bash) -- 644
	$(Q)tools/install.sh '$(INSTALL)' '$(DESTDIR)$(zshcompdir)' $(wildcard completions/_*) -- 644
	$(Q)tools/install.sh '$(INSTALL)' '$(DESTDIR)$(fishcompdir)' $(wildcard completions/*.fish) -- 644

clean: ## remove what was built; installed test tools stay
	$(Q)rm -rf $(addprefix $(BUILD)/,bin obj asan tsan cov fuzz release results lint coverage demo bench)

distclean: clean ## remove build/ altogether
	$(Q)rm -rf $(BUILD)

deps: deps-test ## install what build and tests need: Debian packages, build/venv, build/tools
deps-build:
	@tools/deps.sh build
deps-demo:
	@tools/deps.sh demo
deps-test:
	@tools/deps.sh test

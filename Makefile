# The front door.  `make help` lists what can be asked for; the work is done by CMake
# (CMakePresets.json) and by the scripts in tools/.
SHELL := /bin/bash
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
SOAK_ROUNDS ?= 100
RELEASE := build/release
C_FILES = $(shell git ls-files --cached -- '*.c' '*.h' '*.cc')

.DEFAULT_GOAL := help
.PHONY: help setup build demo test soak bench check fmt docs install fuzz coverage clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: ## install what is needed on Debian 12 (root or sudo; nothing missing: nothing done)
	@tools/setup.sh

build: setup ## the release build: programs in build/release/bin
	@tools/build.sh release

demo: build ## real clicks through the recommender, no server needed
	@tools/demo.sh

test: build ## set-up, release build, all tests
	@tools/test.sh release

check: setup ## format, clang-tidy, lint, -Werror with gcc and clang, tests under ASan+UBSan and TSan
	@tools/check.sh

soak: build ## SOAK_ROUNDS (100) of kills and faults of each kind, with an independent checker
	@python3 tests/crash/soak.py --rounds $(SOAK_ROUNDS) --json build/soak.json

bench: build ## the figures of the README, measured here
	@bench/run.sh

fmt: setup ## format the sources in place
	@clang-format-14 -i $(C_FILES)

docs: build ## check the documents: commands, rule tags, links, man pages
	@ctest --preset release -R '^lint_(doc|rule)'

install: ## copy headers, libraries, programs, man pages below PREFIX (DESTDIR is honoured)
	@tools/build.sh release
	@cmake --install $(RELEASE) --prefix $(PREFIX) >/dev/null && echo "installed below $(DESTDIR)$(PREFIX)"

fuzz: setup ## every fuzzer for FUZZ_SECONDS (60) each
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/fuzz.sh

coverage: setup ## run the tests and print the lines executed per folder
	@tools/coverage.sh

clean: ## remove everything that was built
	@rm -rf build

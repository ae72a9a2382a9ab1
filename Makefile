# SPDX-License-Identifier: GPL-2.0
#
# Every target prepares what it needs itself: packages, source, kernel, guest.
# The work is done by scripts/, one small script per topic.

VARIANT ?= patched
export VARIANT KERNEL RUN SHARE MEM SMP COUNTED CMDLINE TIMEOUT FORCE LOG DURATION SEED

S := scripts
T := tools/testing/selftests/layout-lease

.PHONY: help deps base tree refresh series kernel rootfs vm vm2 shell check demo \
	both bench kunit clients stress powerloss check-debug check-mutants checkpatch \
	sparse docs man shellcheck clean

help:
	@$(S)/help.sh

deps:
	@$(S)/deps.sh

base: deps
	@$(S)/import.sh

tree: base
	@$(S)/tree.sh

refresh: base
	@$(S)/refresh.sh

series: tree
	@$(S)/series.sh

# The unpatched kernel needs no patched tree: it builds even where the series
# does not apply.
kernel: $(if $(filter base,$(VARIANT)),base,tree)
	@$(S)/kernel.sh $(VARIANT)

rootfs: deps
	@$(T)/vm/rootfs.sh >/dev/null

vm: kernel rootfs
	@$(S)/vm.sh run

# Without a script it only says what it wants.
vm2: $(if $(RUN),kernel tree rootfs)
	@$(S)/vm.sh pair

shell: kernel rootfs
	@$(S)/vm.sh shell

both: tree rootfs
	@$(S)/kernel.sh base
	@$(S)/kernel.sh patched

check: both
	@$(S)/check.sh

stress: kernel rootfs
	@$(S)/stress.sh

# With another set of checkers: VARIANT=kcsan.
checkers = $(if $(filter kcsan,$(VARIANT)),kcsan,debug)
check-debug: tree rootfs
	@$(S)/kernel.sh $(checkers)
	@$(S)/check.sh $(checkers)

kunit: tree
	@$(S)/kunit.sh

demo: both
	@demo/demo.sh

clients: both
	@$(S)/clients.sh all

bench: both
	@$(S)/bench.sh

powerloss: both
	@$(S)/powerloss.sh

check-mutants: both
	@$(S)/mutants/run.sh

checkpatch: series
	@$(S)/checkpatch.sh

sparse: tree
	@$(S)/kernel.sh patched sparse

docs: tree
	@$(S)/docs.sh

man: deps
	@$(S)/man.sh

shellcheck: deps
	@$(S)/shellcheck.sh

clean:
	@$(S)/clean.sh

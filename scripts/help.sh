#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What 'make' alone says.
cat <<'TEXT'
Layout leases: RDMA on files of a DAX file system, and truncate still wins.

  make demo           watch it work, on a kernel without and with the series
  make check          all tests; the last line is the count
  make kunit          the KUnit tests, on a small kernel of their own; likewise
  make bench          what it costs, without and with the series: a table and plots,
                      in build/bench (ONLY="register break": some of it;
                      PROFILE=1: and in which functions, where it is too much)
  make vm RUN=FILE    run a script in a guest with persistent memory and RDMA
                      (SHARE=DIR, seen at /host; MEM=2G SMP=2 TIMEOUT=600 CMDLINE=;
                      COUNTED=1: one processor, whose clock counts instructions)
  make vm2 RUN=FILE   run it in two such guests on one wire, as server and client;
                      for a start: RUN=demo/two-machines.sh
  make shell          one guest, interactively

  make tree           the patched source, in build/patched/linux
  make kernel         build it (KERNEL=PATH: from another 6.12.y tree or tarball)
  make refresh        take what was edited in build/patched/linux back to patches/
  make series         the series ready to be mailed, in build/series
  make checkpatch     checkpatch --strict over the series and the new files
  make sparse         sparse over the new files
  make docs           the documentation as HTML, in build/docs; fails on warnings
  make man            check the manual pages
  make check-debug    the selftests on a kernel that checks itself (KASAN, lockdep, ...)
  make stress         everything at once, DURATION=600 seconds, from SEED=
  make clients        real programs: the same results on both kernels?
  make powerloss      cut the power of a guest at random moments, and look at what
                      is left (ROUNDS=50 SEED=number)
  make check-mutants  do the tests notice when a safety rule is broken?
  make deps           install the Debian packages that all this needs
  make clean          remove build/ (the caches in ~/.cache/layout-lease stay)

VARIANT=base with kernel, vm, vm2 and shell uses the kernel without the series.
Each target does what it needs before. The first run builds for about 20 minutes and
takes 8 GB; everything happens in build/ and ~/.cache/layout-lease.
TEXT

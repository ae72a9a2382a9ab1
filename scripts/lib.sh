#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shared by the scripts of this directory (sourced, not run): where things are,
# messages, locks, and a git that does not depend on the user's configuration.
# shellcheck disable=SC2034 # used by those who source this

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$repo/build
base=$build/base/linux
patched=$build/patched/linux
selftests=tools/testing/selftests/layout-lease
cache=${LAYOUT_LEASE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/layout-lease}
built=$build/patched/built	# what 'make tree' last made: inputs, commit

# What we install is what we use, whatever else comes first in the user's PATH.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

prog=${0##*/}
say() { echo "${prog%.sh}: $*" >&2; }
die() { say "$*"; exit 1; }

# count_results FILE: of lines "pass" and "fail"
count_results() {
	local passed failed
	passed=$(grep -cx pass "$1") || passed=0
	failed=$(grep -cx fail "$1") || failed=0
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# The variables that the user gave to our make must not reach the kernel's.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES GNUMAKEFLAGS

# One run at a time in build/; waits for the other.
lock() {
	[ "${LOCKED:-}" != 1 ] || return 0	# by who called us
	mkdir -p "$build"
	exec 8>"$build/lock"
	flock -n 8 && return
	say "another run is using $build: waiting for it"
	flock 8
}

# kernel_env DIR: the environment of a kernel build below DIR.  The variables of
# our own command line mean nothing to the kernel's make.
kernel_env() {
	export CCACHE_DIR=${CCACHE_DIR:-$cache/ccache} CCACHE_BASEDIR=$1
	export CCACHE_NOHASHDIR=1
	export KBUILD_BUILD_USER=layout-lease KBUILD_BUILD_HOST=layout-lease
	export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
	unset ARCH CROSS_COMPILE KERNEL RUN SHARE CMDLINE VARIANT TIMEOUT MEM SMP COUNTED
}

# need_space DIR GIB WHAT
need_space() {
	local free
	mkdir -p "$1"
	free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
	((free >= $2)) ||
		die "$3 needs about $2 GB in $1, and only $free GB are free there"
}

# git for the kernel trees: same result on every machine, no waiting for disks
# (an interrupted run is repaired by the next).
kgit() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 \
	GIT_AUTHOR_NAME=${GIT_AUTHOR_NAME:-layout-lease} \
	GIT_AUTHOR_EMAIL=${GIT_AUTHOR_EMAIL:-layout-lease@localhost} \
	GIT_COMMITTER_NAME=${committer:-layout-lease} \
	GIT_COMMITTER_EMAIL=${committer_email:-layout-lease@localhost} \
	GIT_EDITOR=true GIT_SEQUENCE_EDITOR=true GIT_OPTIONAL_LOCKS=0 \
	git -c gc.auto=0 -c core.fsync=none -c core.hooksPath=/dev/null \
		-c core.compression=1 -c advice.detachedHead=false \
		-c safe.directory='*' -c diff.renames=false "$@"
}

# The patches of the series, in order.
series() {
	[ ! -f "$repo/patches/series" ] ||
		sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$repo/patches/series"
}

# The entries of the Overlay: trailers in messages read from stdin.
overlay_words() {
	sed -n 's/^Overlay: *//p' | tr -s ' \t' '\n' | sed '/^$/d'
}

# overlay_files ENTRY...: the files of this repository that the entries of an
# Overlay: trailer name; an entry that ends in / means all below it.
overlay_files() {
	local entry
	for entry; do
		case $entry in
		/*|*..*) die "Overlay: '$entry' is not a path inside the kernel tree" ;;
		*/)
			[ -d "$repo/$entry" ] || die "Overlay: there is no directory $entry here"
			git -C "$repo" ls-files -co --exclude-standard -- "$entry" |
				while read -r path; do
					[ ! -e "$repo/$path" ] || echo "$path"
				done
			;;
		*)
			[ -f "$repo/$entry" ] || die "Overlay: there is no file $entry here"
			echo "$entry"
			;;
		esac
	done
}

# The same as git objects would be: a digest of the series, and of its overlay.
patches_id() {
	local name
	{
		series
		series | while read -r name; do
			cat "$repo/patches/$name" || die "patches/series names $name, which is not in patches/"
		done
	} | sha256sum | cut -c1-40
}

# The entries of the whole series.
overlay_entries() {
	series | while read -r name; do
		sed '/^---$/q' "$repo/patches/$name"
	done | overlay_words
}

overlay_id() {
	local entries path
	entries=$(overlay_entries)
	# shellcheck disable=SC2086 # one word per entry
	overlay_files $entries | sort -u | while read -r path; do
		stat -c '%A %n' "$repo/$path"
		cat "$repo/$path"
	done | sha256sum | cut -c1-40
}

# A checkout of only the files that the series touches, to work in without
# touching the tree that is being built.  sparse_tree REPOSITORY DIR COMMIT PATH...
sparse_tree() {
	local from=$1 dir=$2 commit=$3
	shift 3
	drop_sparse_tree "$from" "$dir"
	kgit -C "$from" worktree add -q --no-checkout --detach "$dir" "$commit"
	kgit -C "$dir" sparse-checkout init --no-cone
	printf '/%s\n' .gitattributes "$@" |
		kgit -C "$dir" sparse-checkout set --no-cone --stdin
	kgit -C "$dir" reset -q --hard "$commit"
}

# The tree object of all that is in a work tree, edits and new files included;
# the index of the tree stays as it is.
snapshot() {
	local index
	index=$(kgit -C "$1" rev-parse --path-format=absolute --git-path index)
	cp "$index" "$index.snapshot"
	GIT_INDEX_FILE=$index.snapshot kgit -C "$1" add -A
	GIT_INDEX_FILE=$index.snapshot kgit -C "$1" write-tree
	rm "$index.snapshot"
}

# drop_sparse_tree REPOSITORY DIR
drop_sparse_tree() {
	rm -rf "$2"
	prune_trees "$1"
}

# Forget the work trees that are gone; one whose creation was interrupted is
# locked, which git does not undo itself.
prune_trees() {
	local common lock
	common=$(kgit -C "$1" rev-parse --path-format=absolute --git-common-dir)
	for lock in "$common"/worktrees/*/locked; do
		[ -e "$lock" ] || continue
		if [ ! -s "${lock%locked}gitdir" ] || [ ! -e "$(cat "${lock%locked}gitdir")" ]; then
			rm "$lock"
		fi
	done
	kgit -C "$1" worktree prune
}

# has_checkers VARIANT: is that a kernel with checkers of its own?
has_checkers() { [[ $1 = @(debug|kcsan) ]]; }

# helpers DIR: what the demonstrations take into the guest, in DIR: programs of
# the selftests, and what the scripts share.
helpers() {
	local out=$1 program targets=()
	for program in layout-lease aware_app block_watch remote_file; do
		targets+=("$out/$program")
	done
	mkdir -p "$out"
	make -s -C "$repo/$selftests" KSFT="$patched/tools/testing/selftests" OUTPUT="$out" \
		"${targets[@]}" >"$build/helpers.log" 2>&1 || {
		cat "$build/helpers.log" >&2
		die "building the programs for the guest failed (above)"
	}
	cp "$repo/demo/timeline.sh" "$out/"
}

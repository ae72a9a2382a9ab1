#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Get the pristine kernel source and import it into git, one commit, as
# build/base/linux.  The source is Debian's linux-source package or what KERNEL=
# names (a source tree or a tarball).  Does nothing when that was done before.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lock

want=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$repo/patches/base" | head -n 1)
id_file=$build/base/source
tarball=/usr/src/linux-source-$want.tar.xz

# What to import, as one line that changes when it does.
identify() {
	local path=$1
	if [ -e "$path/.git" ]; then
		echo "git $path $(kgit -C "$path" rev-parse HEAD)"
	elif [ -d "$path" ]; then
		echo "tree $path $(find "$path" -type f -printf '%T@ %s %P\n' | sort | sha256sum | cut -c1-40)"
	else
		echo "tarball $path $(stat -c '%s-%Y' "$path")"
	fi
}

version_of() {
	awk -F' *= *' '/^(VERSION|PATCHLEVEL|SUBLEVEL) *=/ { v[$1] = $2 }
		END { print v["VERSION"] "." v["PATCHLEVEL"] "." v["SUBLEVEL"] }' "$1/Makefile" 2>/dev/null
}

# check_version DIR NAME
check_version() {
	local found
	found=$(version_of "$1") || die "$2 is not a Linux source tree (no Makefile)"
	case $found in
	"$want".*) ;;
	..) die "$2 is not a Linux source tree (its Makefile names no version)" ;;
	*) die "$2 is Linux $found; the patches are for $want.y. Give KERNEL= a $want.y tree or tarball" ;;
	esac
}

if [ -n "${KERNEL:-}" ]; then
	source=$(realpath -e "$KERNEL" 2>/dev/null) || die "KERNEL=$KERNEL: no such file or directory"
	[ ! -d "$source" ] || check_version "$source" "$source"
	id="chosen $(identify "$source")"
elif [ -f "$id_file" ] && grep -q ^chosen "$id_file"; then
	# Chosen by an earlier KERNEL=; make clean forgets it.
	id=$(cat "$id_file")
	source=$(sed -E 's/^chosen [a-z]+ (.*) [^ ]+$/\1/' "$id_file")
else
	source=$tarball
	[ -f "$source" ] || die "$tarball is missing: 'make deps' installs it, or give KERNEL=/path"
	id="packaged $(identify "$source")"
fi

done_before() {
	[ -f "$id_file" ] && [ "$(cat "$id_file")" = "$id" ] &&
		kgit -C "$base" rev-parse -q --verify refs/heads/base >/dev/null 2>&1
}
! done_before || exit 0

# unpack SOURCE DIR
unpack() {
	mkdir -p "$2"
	if [ -e "$1/.git" ]; then
		say "importing commit $(kgit -C "$1" rev-parse --short HEAD) of $1 (what is not committed there stays there)"
		kgit -C "$1" archive HEAD | tar -xf - -C "$2"
	elif [ -d "$1" ]; then
		tar -C "$1" --exclude=./.git -cf - . | tar -xf - -C "$2"
	else
		tar -xf "$1" -C "$2" --strip-components=1 2>"$build/base/tar.log" || {
			tail -n 2 "$build/base/tar.log" >&2
			die "$1 cannot be unpacked: damaged, not a tar archive, or the disk is full"
		}
	fi
	check_version "$2" "$1"
}

need_space "$build" 8 "importing the kernel source"

# What an interrupted run has left is of no use.
new=$build/base/import
rm -rf "$new"
say "unpacking $source"
unpack "$source" "$new"
version=$(version_of "$new")

# Debian's .gitignore hides everything at the top: new files of ours as well.
sed -i -e '\,^/\*$,d' -e '\,^!/debian/$,d' "$new/.gitignore"

# Same source, same commit, on every machine.
export GIT_AUTHOR_DATE='2000-01-01T00:00:00Z' GIT_COMMITTER_DATE='2000-01-01T00:00:00Z'
force=-f	# upstream tracks files that its own .gitignore ignores
[ ! -d "$source" ] || [ -e "$source/.git" ] || force=	# may contain build results

say "importing Linux $version into git"
if kgit -C "$base" rev-parse -q --verify refs/heads/base >/dev/null 2>&1; then
	# Another version: only what differs is written in the tree, so that a
	# build of it stays incremental.
	export GIT_DIR=$base/.git GIT_INDEX_FILE=$base/.git/index.import
	rm -f "$GIT_INDEX_FILE"
	# shellcheck disable=SC2086 # no argument when empty
	kgit --work-tree="$new" -C "$new" add -A $force .
	tree=$(kgit write-tree)
	commit=$(kgit commit-tree -m "Linux $version" "$tree")
	rm -f "$GIT_INDEX_FILE"
	unset GIT_DIR GIT_INDEX_FILE
	rm -f "$base/.git/index.lock"	# of an interrupted run
	kgit -C "$base" reset -q --hard "$commit"
	rm -rf "$new"
else
	rm -rf "$base" "$build/patched/linux"
	kgit -C "$new" init -q -b base
	kgit -C "$new" config gc.auto 0
	# shellcheck disable=SC2086
	kgit -C "$new" add -A $force .
	kgit -C "$new" commit -q -m "Linux $version"
	mv "$new" "$base"
fi
echo "$id" >"$id_file"
say "base: Linux $version, commit $(kgit -C "$base" rev-parse --short=12 HEAD)"
tested=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$repo/patches/base" | sed -n 2p)
[ "$tested" = "$version" ] || say "note: the series was last tested on $tested"

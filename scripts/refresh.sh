#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Carry what was edited in build/patched/linux back to patches/ and the overlay.
# Commits on top of the base become patches; files that are new become part of
# the overlay; uncommitted edits are folded into the commit they belong to.
# After 'make tree' it changes nothing.  Everything is prepared aside: if this
# stops with a message, nothing has been changed.
#
# refresh.sh --tree DIR --base COMMIT: take the commits COMMIT..HEAD of another
# kernel tree instead (not its uncommitted edits).
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/chain.sh"

tree_dir=$patched from='' other=0
keep_unknown=0	# drop overlay entries whose file is gone from the tree
if [ "${1:-}" = --tree ] && [ "${3:-}" = --base ] && [ $# = 4 ]; then
	tree_dir=$(realpath -e "$2") from=$4 other=1 keep_unknown=1
elif [ $# != 0 ]; then
	die "usage: refresh.sh [--tree DIR --base COMMIT]"
fi
lock
[ -e "$tree_dir/.git" ] || die "there is no $tree_dir: run 'make tree'"
[ "$other" = 1 ] || [ -f "$built" ] || die "build/patched/linux is incomplete: run 'make tree'"
[ ! -e "$build/patched/moving" ] || die "'make tree' was interrupted: run it again first"
k() { kgit -C "$tree_dir" "$@"; }

rm -rf "$build"/refresh.*	# of interrupted runs
tmp=$(mktemp -d "$build/refresh.XXXXXX")
fold=$tmp/fold
trap 'rm -rf "$tmp"; prune_trees "$tree_dir"' EXIT

from=$(k rev-parse --verify "${from:-$(sed -n 's/^base=\([^ ]*\).*/\1/p' "$built")}^{commit}")
head=$(k rev-parse HEAD)
for state in rebase-merge rebase-apply MERGE_HEAD CHERRY_PICK_HEAD; do
	[ ! -e "$(k rev-parse --path-format=absolute --git-path $state)" ] ||
		die "a rebase, merge or am is going on in $tree_dir: finish or abort it first"
done
k merge-base --is-ancestor "$from" "$head" || die "$tree_dir is not on top of the base $from"
[ -z "$(k rev-list --merges "$from..$head")" ] || die "the series has merge commits: rebase it to a straight line"

# Which commit should an uncommitted edit of a file be part of?
owner_of() {
	local path=$1 commits commit entry
	commits=$(k log --format=%H "$from..$head" -- "$path")
	if ! k cat-file -e "$from:$path" 2>/dev/null; then
		commits=$(k log --format=%H --diff-filter=A "$from..$head" -- "$path" | head -n 1)
		[ -n "$commits" ] || for commit in $(k rev-list "$from..$head"); do
			for entry in $(k log -1 --format=%B "$commit" | overlay_words); do
				case $entry in
				*/) [ "${path#"$entry"}" = "$path" ] || commits=$commit ;;
				esac
			done
		done
		[ -n "$commits" ] || die "$path is new and belongs to no patch: commit it in build/patched/linux, as a
patch of its own or with git commit --fixup=COMMIT, and run 'make refresh' again"
	fi
	# shellcheck disable=SC2086 # one word per commit
	case $(wc -w <<<"$commits") in
	1) echo "$commits" ;;
	0) die "no patch of the series changes $path: commit the edit in build/patched/linux, as a patch
of its own or with git commit --fixup=COMMIT, and run 'make refresh' again" ;;
	*) die "the edit of $path could belong to any of
$(k log --no-walk --format='  %h %s' $commits)
Say which: git commit --fixup=COMMIT $path (in build/patched/linux), and run 'make refresh' again" ;;
	esac
}

dirty=()
if [ "$other" = 0 ]; then
	while IFS= read -r -d '' line; do
		dirty+=("${line:3}")
	done < <(k status --porcelain -z --untracked-files=all --no-renames)
fi
fixups=$(k log --format=%s "$from..$head" | grep -cE '^(fixup|squash|amend)! ') || fixups=0

if [ ${#dirty[@]} -gt 0 ] || [ "$fixups" != 0 ]; then
	owners=()
	for path in "${dirty[@]}"; do
		owner=$(owner_of "$path")
		owners+=("$owner")
	done
	mapfile -t paths < <({ k log --format= --name-only "$from..$head"
		printf '%s\n' "${dirty[@]}"; } | sort -u | sed '/^$/d')
	sparse_tree "$tree_dir" "$fold" "$head" "${paths[@]}"
	for i in "${!dirty[@]}"; do
		path=${dirty[i]}
		if [ -e "$tree_dir/$path" ]; then
			mkdir -p "$(dirname "$fold/$path")"
			cp -p "$tree_dir/$path" "$fold/$path"
			kgit -C "$fold" add -f -- "$path"
		else
			kgit -C "$fold" rm -q -- "$path"
		fi
		kgit -C "$fold" commit -q --fixup="${owners[i]}"
	done
	kgit -C "$fold" rebase -q -i --autosquash --empty=keep "$from" >"$tmp/rebase.log" 2>&1 || {
		grep -E '^(CONFLICT|error|Could not)' "$tmp/rebase.log" >&2
		die "an edit does not fit into the patch it belongs to, because a later patch changes the same
lines. Do it by hand in build/patched/linux: git commit --fixup=COMMIT, git rebase -i --autosquash $from"
	}
	head=$(kgit -C "$fold" rev-parse HEAD)
fi

# write_patches TO DIR: the patches that the chain up to TO makes.
write_patches() {
	local last
	last=$(strip_chain "$from" "$1" "$tmp")
	mkdir -p "$2"
	k format-patch -q -p --always "${stable[@]}" -o "$2" "$from..$last"
}

write_patches "$head" "$tmp/patches"
{
	sed -n '/^#/p' "$repo/patches/series" 2>/dev/null || :
	(cd "$tmp/patches" && ls)
} >"$tmp/series"
cp "$tmp/overlay" "$tmp/files"

# Nobody's work may be lost: what changed on both sides since the tree was made
# is for a human.
old=''
if [ "$other" = 0 ]; then
	old=$(sed -n 's/^commit=//p' "$built")
	if [ "$(patches_id)" != "$(sed -n 's/.*patches=\([^ ]*\).*/\1/p' "$built")" ] && [ "${FORCE:-}" != 1 ]; then
		if [ "$head" = "$old" ]; then
			say "the tree has no edits, and patches/ is newer: run 'make tree'"
			exit 0
		fi
		write_patches "$old" "$tmp/before"
		for file in "$repo"/patches/*.patch; do
			cmp -s "$file" "$tmp/patches/${file##*/}" || cmp -s "$file" "$tmp/before/${file##*/}" ||
				die "patches/${file##*/} was changed since the tree was made from it, and the tree has
edits too. Undo one of them (git diff patches/), or FORCE=1 to overwrite patches/ with what the tree has"
		done
	fi
fi
blob() { k rev-parse -q --verify "$1:$2" 2>/dev/null || echo none; }
changed=() removed=()
while read -r path; do
	theirs=$(blob "$head" "$path") ours=none before=none
	[ ! -f "$repo/$path" ] || ours=$(k hash-object --no-filters "$repo/$path")
	[ -z "$old" ] || before=$(blob "$old" "$path")
	if [ "$theirs" = "$ours" ] || [ "$theirs" = "$before" ]; then
		continue
	fi
	[ "$other" = 1 ] || [ "$ours" = "$before" ] || [ "${FORCE:-}" = 1 ] ||
		die "$path was changed both here and in the tree. Undo one of them, or FORCE=1 to take the tree's"
	changed+=("$path")
done <"$tmp/files"
[ -z "$old" ] || while read -r path; do
	k cat-file -e "$head:$path" 2>/dev/null && continue
	[ -f "$repo/$path" ] || continue
	if [ "$(k hash-object --no-filters "$repo/$path")" = "$(blob "$old" "$path")" ]; then
		removed+=("$path")
	else
		say "$path is gone from the tree, but was changed here: not removed"
	fi
done < <(k diff --name-only --diff-filter=A "$from" "$old")

for path in "${changed[@]}"; do
	say "overlay: $path"
	mkdir -p "$(dirname "$repo/$path")"
	k cat-file blob "$head:$path" >"$repo/$path"
	case $(k ls-tree "$head" -- "$path") in
	100755*) chmod 755 "$repo/$path" ;;
	*) chmod 644 "$repo/$path" ;;
	esac
done
for path in "${removed[@]}"; do
	say "overlay: $path removed"
	rm "$repo/$path"
done
for file in "$repo"/patches/*.patch; do
	[ ! -e "$file" ] || [ -e "$tmp/patches/${file##*/}" ] || { say "${file##*/} removed"; rm "$file"; }
done
for file in "$tmp"/patches/*.patch; do
	[ -e "$file" ] || continue
	cmp -s "$file" "$repo/patches/${file##*/}" ||
		{ say "${file##*/}"; cp "$file" "$repo/patches/${file##*/}"; }
done
cmp -s "$tmp/series" "$repo/patches/series" || cp "$tmp/series" "$repo/patches/series"

if [ "$other" = 0 ]; then
	EXPECT_TREE=$(snapshot "$tree_dir") LOCKED=1 "$repo/scripts/tree.sh"
fi
say "patches/ and the overlay have what $tree_dir has"

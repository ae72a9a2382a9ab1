#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make build/patched/linux from the base, patches/ and the overlay: one commit
# per patch.  The series is built aside, then the tree is moved to it: files
# that did not change keep their times, so the next build is incremental, and a
# patch that does not apply leaves the tree as it was.
#
# FORCE=1 replaces a tree that has edits of its own (and saves those first).
# EXPECT_TREE=ID (from refresh.sh): the edits are in patches/ now, and the result
# must be exactly what the tree has.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lock

work=$build/patched/apply

stop() {
	drop_sparse_tree "$base" "$work"
	die "$*"
}

# The files that a patch changes.
touched_by() {
	sed -nE 's,^(---|\+\+\+) [ab]/(.*)$,\2,p' "$1" | sort -u
}

# Explain why patch $1 did not apply, naming the hunk.
explain() {
	local name=$1 reason
	reason=$(kgit -C "$work" apply --check --verbose "$repo/patches/$name" 2>&1 |
		sed -e '/^Checking patch/d' -e 's/^error: //' -e 's/^/  /' | head -n 30) ||
		:	# it fails: that is why we are here
	stop "patches/$name does not apply to this source:
${reason:-$(cat "$work.log")}
  The number after the file is the line where the hunk was expected.
  Either the base is a version whose code differs here, or an earlier patch
  changed it. Mend the patch for this base and run 'make tree' again; the tree
  in build/patched/linux is as it was before."
}

apply_patch() {
	local name=$1 entries files path date
	kgit -C "$work" am --quiet --empty=keep --committer-date-is-author-date \
		--whitespace=nowarn "$repo/patches/$name" >"$work.log" 2>&1 || explain "$name"
	entries=$(kgit -C "$work" log -1 --format=%B | overlay_words)
	[ -n "$entries" ] || return 0
	# shellcheck disable=SC2086 # one word per entry
	files=$(overlay_files $entries | sort -u) || stop "patches/$name names overlay files that are missing"
	while read -r path; do
		mkdir -p "$work/$(dirname "$path")"
		cp -p "$repo/$path" "$work/$path"
		echo "$path"
	done <<<"$files" | kgit -C "$work" add -f --pathspec-from-file=-
	date=$(kgit -C "$work" log -1 --format=%ad --date=raw)
	GIT_COMMITTER_DATE=$date kgit -C "$work" commit -q --amend --no-edit --allow-empty
}

# Keep what is about to be replaced.
save_edits() {
	local saved
	saved=$(kgit -C "$patched" commit-tree -p HEAD -m 'edits that were replaced' \
		"$(snapshot "$patched")")
	kgit -C "$patched" update-ref "refs/saved/$(date -u +%Y%m%d-%H%M%S)" "$saved"
	say "what the tree had is kept as commit $saved (git -C build/patched/linux show $saved)"
}

base_commit=$(kgit -C "$base" rev-parse refs/heads/base)
patches=$(patches_id)
overlay=$(overlay_id)
inputs="base=$base_commit patches=$patches overlay=$overlay"

have_tree=0
if [ -f "$built" ] && [ -e "$patched/.git" ]; then
	have_tree=1
	# The clone may have been moved.
	[ "$(sed 's/^gitdir: //' "$patched/.git")" = "$base/.git/worktrees/linux" ] ||
		kgit -C "$base" worktree repair "$patched" >&2
	built_commit=$(sed -n 's/^commit=//p' "$built")
	head=$(kgit -C "$patched" rev-parse HEAD)
	edits=$(kgit -C "$patched" status --porcelain | head -n 10)
	if [ "$head" = "$built_commit" ] && [ -z "$edits" ] &&
	   [ "$(head -n 1 "$built")" = "$inputs" ]; then
		exit 0
	fi
	if [ -e "$build/patched/moving" ]; then
		say "repairing an interrupted run"
		rm -f "$(kgit -C "$patched" rev-parse --path-format=absolute --git-path index.lock)"
		save_edits
	elif [ "$head" != "$built_commit" ] || [ -n "$edits" ]; then
		if [ -n "${EXPECT_TREE:-}" ]; then
			:
		elif [ "${FORCE:-}" = 1 ]; then
			save_edits
		elif [ "$(head -n 1 "$built")" = "$inputs" ]; then
			# Nothing new on our side: work with the edits as they are.
			say "using build/patched/linux with its edits ('make refresh' takes them into patches/)"
			exit 0
		else
			die "build/patched/linux has commits or edits that patches/ does not have:
$(kgit -C "$patched" log --format='  commit %h %s' "$built_commit..HEAD" | head -n 10)
$edits
and patches/ or the overlay changed as well. 'make refresh' carries the tree's edits
back; FORCE=1 replaces them by what patches/ says (a copy is kept in git)"
		fi
	fi
fi
if [ "$have_tree" = 1 ] && [ "$(head -n 1 "$built")" = "$inputs" ] && [ -n "${built_commit:-}" ] &&
   kgit -C "$base" cat-file -e "$built_commit" 2>/dev/null; then
	new=$built_commit	# the series is there, only the tree must return to it
else
	paths=$({
		series | while read -r name; do touched_by "$repo/patches/$name"; done
		overlay_entries
	} | sort -u)
	# shellcheck disable=SC2086 # one word per path
	sparse_tree "$base" "$work" "$base_commit" $paths
	n=0
	while read -r name; do
		[ -n "$name" ] || continue
		apply_patch "$name"
		n=$((n + 1))
	done < <(series)
	new=$(kgit -C "$work" rev-parse HEAD)
	drop_sparse_tree "$base" "$work"
	say "applied $n patches to $(kgit -C "$base" log -1 --format=%s "$base_commit")"
fi

if [ -n "${EXPECT_TREE:-}" ] && [ "$(kgit -C "$base" rev-parse "$new^{tree}")" != "$EXPECT_TREE" ]; then
	kgit -C "$base" diff --stat "$EXPECT_TREE" "$new" >&2
	die "patches/ and the overlay do not give back the tree they were made from (differences
above); build/patched/linux was left as it is"
fi
mkdir -p "$build/patched"
if [ "$have_tree" = 0 ]; then
	need_space "$build" 3 "the patched tree"
	rm -rf "$patched"
	prune_trees "$base"
	touch "$build/patched/moving"
	kgit -C "$base" worktree add -q --detach "$patched" "$new"
else
	touch "$build/patched/moving"
	kgit -C "$patched" add -A
	kgit -C "$patched" checkout -q --detach
	kgit -C "$patched" reset -q --hard "$new"
fi
printf '%s\ncommit=%s\n' "$inputs" "$new" >"$built"
rm "$build/patched/moving"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Rewrite a chain of commits without touching any tree (sourced by refresh.sh and
# series.sh): for patches/, without the overlay's files and with Overlay: trailers;
# for mailing, complete and without the trailers.  Those set tree_dir, the tree, and
# keep_unknown: 1 keeps overlay entries that name no file of the tree.
# shellcheck disable=SC2034,SC2154

# Settings under which the same commits give the same bytes everywhere.
stable=(-N --zero-commit --no-signature --no-renames --abbrev=12 --diff-algorithm=myers
	--no-base --no-thread --no-to --no-cc --no-add-header --no-ext-diff
	--src-prefix=a/ --dst-prefix=b/ --filename-max-length=64 -U3)

# commit_like COMMIT TREE PARENT < message
commit_like() {
	local commit=$1 tree=$2 parent=$3 name email date
	name=$(kgit -C "$tree_dir" log -1 --format=%an "$commit")
	email=$(kgit -C "$tree_dir" log -1 --format=%ae "$commit")
	date=$(kgit -C "$tree_dir" log -1 --format=%ad --date=raw "$commit")
	GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email GIT_AUTHOR_DATE=$date \
	GIT_COMMITTER_DATE=$date kgit -C "$tree_dir" commit-tree -p "$parent" "$tree"
}

# The message of a commit with its Overlay: trailers in order: entries that name
# nothing are dropped, and files that enter with the commit are added.
# trailers COMMIT NEW-FILES KEPT-FILES (files with lists, one path per line)
trailers() {
	local commit=$1 new=$2 kept=$3 message entry path known=() missing=()
	message=$(kgit -C "$tree_dir" log -1 --format=%B "$commit")
	for entry in $(overlay_words <<<"$message"); do
		case $entry in
		*/) known+=("$entry") ;;
		*)
			if grep -qxF -- "$entry" "$kept" || [ "$keep_unknown" = 1 ]; then
				known+=("$entry")
			else
				message=$(sed -E "/^Overlay:/s,(^| )${entry//./\\.}( |\$),\1\2," <<<"$message" |
					sed -E '/^Overlay: *$/d; /^Overlay:/s/  +/ /g; /^Overlay:/s/ +$//')
			fi
			;;
		esac
	done
	while read -r path; do
		for entry in "${known[@]}"; do
			[ "$path" = "$entry" ] && continue 2
			case $entry in */) [ "${path#"$entry"}" = "$path" ] || continue 2 ;; esac
		done
		missing+=(--trailer "Overlay: $path")
	done <"$new"
	if [ ${#missing[@]} -gt 0 ]; then
		message=$(kgit interpret-trailers --if-exists add --where start "${missing[@]}" <<<"$message")
	fi
	printf '%s\n' "$message"
}

# strip_chain FROM TO DIR: print the last commit of the chain FROM..TO rewritten
# for patches/.  DIR/overlay lists the overlay's files.
strip_chain() {
	local from=$1 to=$2 dir=$3 parent=$1 commit tree index=$3/index
	kgit -C "$tree_dir" diff --name-only --diff-filter=A "$from" "$to" >"$dir/overlay"
	for commit in $(kgit -C "$tree_dir" rev-list --reverse "$from..$to"); do
		GIT_INDEX_FILE=$index kgit -C "$tree_dir" read-tree "$commit"
		GIT_INDEX_FILE=$index kgit -C "$tree_dir" update-index --force-remove --stdin <"$dir/overlay"
		tree=$(GIT_INDEX_FILE=$index kgit -C "$tree_dir" write-tree)
		kgit -C "$tree_dir" diff --name-only --diff-filter=A "$commit^" "$commit" |
			{ grep -xFf "$dir/overlay" || :; } >"$dir/new"
		trailers "$commit" "$dir/new" "$dir/overlay" >"$dir/message"
		if [ "$tree" = "$(kgit -C "$tree_dir" rev-parse "$parent^{tree}")" ] &&
		   ! grep -q '^Overlay:' "$dir/message"; then
			say "commit $(kgit -C "$tree_dir" log -1 --format='%h (%s)' "$commit") only changes files of the overlay: it becomes part of them, not a patch"
			continue
		fi
		parent=$(commit_like "$commit" "$tree" "$parent" <"$dir/message")
	done
	rm -f "$index"
	echo "$parent"
}

# mail_chain FROM TO: print the last commit of the chain rewritten for mailing.
mail_chain() {
	local parent=$1 commit
	for commit in $(kgit -C "$tree_dir" rev-list --reverse "$1..$2"); do
		parent=$(kgit -C "$tree_dir" log -1 --format=%B "$commit" | sed '/^Overlay:/d' |
			commit_like "$commit" "$commit^{tree}" "$parent")
	done
	echo "$parent"
}

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Write the series as it is mailed to build/series: complete patches, new files
# included, numbered, with a cover letter; checked with git am on the base.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/chain.sh"
lock

tree_dir=$patched
out=$build/series
from=$(kgit -C "$base" rev-parse refs/heads/base)
head=$(sed -n 's/^commit=//p' "$built")
cover=$repo/patches/cover-letter.txt
[ "$head" != "$from" ] || die "patches/series is empty: there is nothing to mail"
if [ "$(kgit -C "$patched" rev-parse HEAD)" != "$head" ] ||
   [ -n "$(kgit -C "$patched" status --porcelain)" ]; then
	die "build/patched/linux has edits that patches/ does not have: run 'make refresh' first"
fi
[ -s "$cover" ] || die "patches/cover-letter.txt is missing (first line: the subject; then an empty line and the text)"

last=$(mail_chain "$from" "$head")
rm -rf "$out"
# The cover letter is from the author of the last patch.
committer=$(kgit -C "$base" log -1 --format=%an "$head")
committer_email=$(kgit -C "$base" log -1 --format=%ae "$head")
GIT_COMMITTER_DATE=$(kgit -C "$base" log -1 --format=%ad --date=raw "$head")
export committer committer_email GIT_COMMITTER_DATE
kgit -C "$base" format-patch -q --always "${stable[@]/#-N/-n}" --cover-letter -o "$out" "$from..$last"

letter=$(echo "$out"/0000-*.patch)
awk -v text="$cover" '
	BEGIN { getline subject < text; getline line < text }
	/\*\*\* SUBJECT HERE \*\*\*/ { sub(/\*\*\* SUBJECT HERE \*\*\*/, subject); print; next }
	/\*\*\* BLURB HERE \*\*\*/ { while ((getline line < text) > 0) print line; next }
	{ print }' "$letter" >"$out/0000-cover-letter.new"
mv "$out/0000-cover-letter.new" "$out/0000-cover-letter.patch"

# What we send must give what we built.
work=$build/patched/mailed
trap 'drop_sparse_tree "$base" "$work"' EXIT
mapfile -t paths < <(kgit -C "$base" diff --name-only "$from" "$head")
sparse_tree "$base" "$work" "$from" "${paths[@]}"
mapfile -t mails < <(printf '%s\n' "$out"/*.patch | grep -v /0000-)
kgit -C "$work" am -q --empty=keep --whitespace=nowarn "${mails[@]}" 2>"$out/am.log" ||
	{ cat "$out/am.log" >&2; die "git am does not accept the series (above)"; }
[ "$(kgit -C "$work" rev-parse 'HEAD^{tree}')" = "$(kgit -C "$base" rev-parse "$head^{tree}")" ] ||
	die "the mailed series does not give the tree that was built"
rm -f "$out/am.log"
say "$(kgit -C "$base" rev-list --count "$from..$head") patches and a cover letter in ${out#"$repo"/}, checked with git am"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Build the documentation that the series touches, as HTML, in build/docs; fail on
# any complaint that the kernel without the series does not give as well:
#
# - of sphinx, about all pages of the directories below Documentation/ in which
#   the series changes something;
# - of kernel-doc, about the sources that the series adds or changes;
# - about references to files below Documentation/ that are not there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
lock

out=$build/docs
logs=$out/logs
commit=$(kgit -C "$base" rev-parse refs/heads/base)
export LANG=C.UTF-8
# For the git of scripts of the kernel.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'

changed() {
	kgit -C "$patched" diff --name-only "$@"
}

mapfile -t dirs < <(changed "$commit" -- Documentation | cut -d/ -f2 | sort -u |
	while read -r dir; do
		[ ! -f "$patched/Documentation/$dir/index.rst" ] || echo "$dir"
	done)
[ ${#dirs[@]} -gt 0 ] || die "the series changes nothing below Documentation/: nothing to build"

# html NAME: build the pages of build/NAME/linux in $out/NAME; complaints go to
# $logs/NAME.  In one process each, and from scratch: otherwise it is up to chance
# for which of two pages a duplicate is reported, and pages that did not change
# since the last run say nothing.
html() {
	local name=$1 tree=$build/$1/linux tmp=$out/$1.tmp dir
	rm -rf "${out:?}/$name" "$tmp"
	mkdir -p "$tmp" "$logs"
	# The variables of our own command line mean nothing to the kernel's make.
	env -u KERNEL -u RUN -u SHARE -u CMDLINE -u VARIANT -u TIMEOUT -u MEM -u SMP \
		make -C "$tree" O="$tmp" BUILDDIR="$out/$name" SPHINXOPTS="-j1 -q" \
		SPHINXDIRS="${dirs[*]}" htmldocs >"$logs/$name.make" 2>"$logs/$name.raw" || {
		tail -n 20 "$logs/$name.make" "$logs/$name.raw" >&2
		die "building the pages of the $name kernel failed (above)"
	}
	for dir in "${dirs[@]}"; do
		[ -f "$out/$name/$dir/index.html" ] ||
			die "sphinx made no pages of $dir (see $logs/$name.make and .raw)"
	done
	sed -e "s,$tree/,,g" -e "s,$tmp/,,g" "$logs/$name.raw" >"$logs/$name"
	rm -rf "$tmp" "${out:?}/$name/.doctrees"
}

if [ "${1:-}" = html ]; then
	html "$2"
	exit
fi

# fresh KNOWN FOUND: lines of FOUND that KNOWN does not have, whatever their numbers.
fresh() {
	awk 'function key(line) { gsub(/:[0-9]+/, ":", line); return line }
		FILENAME == ARGV[1] { known[key($0)] = 1; next }
		!(key($0) in known)' "$1" "$2"
}

# judge WHAT KNOWN FOUND
bad=0
judge() {
	local text
	text=$(fresh "$2" "$3")
	[ -n "$text" ] || return 0
	echo "== $1"
	echo "$text"
	bad=$((bad + 1))
}

# kernel-doc over the files of a tree that are named on stdin.
kernel_doc() {
	local path
	while read -r path; do
		[ ! -f "$1/$path" ] ||
			(cd "$1" && perl scripts/kernel-doc -none "$path" 2>&1) || :
	done
}

references() {
	(cd "$1" && perl scripts/documentation-file-ref-check 2>&1) || :
}

# What the pages say without the series is the same for the same source and tools.
key=$({
	kgit -C "$base" rev-parse "$commit^{tree}"
	sphinx-build --version
	type -P dot rsvg-convert inkscape convert || :
	echo "${dirs[*]}"
	cat "$0"
} | sha256sum | cut -c1-40)
known=$cache/docs/$key
variants="patched"
minutes=3
if [ ! -f "$known" ]; then
	variants="base patched"
	minutes=5
fi
say "pages of ${dirs[*]}, $variants: about $minutes minutes"
export LOCKED=1
# shellcheck disable=SC2086 # one word per variant
printf '%s\n' $variants | xargs -n 1 -P 2 "$0" html ||
	die "the pages could not be built (above)"
if [ ! -f "$known" ]; then
	mkdir -p "${known%/*}"
	cp "$logs/base" "$known.new"
	mv "$known.new" "$known"
	rm -rf "$out/base"
fi
judge "pages" "$known" "$logs/patched"

changed "$commit" -- '*.c' '*.h' ':!tools' >"$logs/sources"
kernel_doc "$base" <"$logs/sources" >"$logs/kernel-doc.base"
kernel_doc "$patched" <"$logs/sources" >"$logs/kernel-doc"
judge "comments in sources" "$logs/kernel-doc.base" "$logs/kernel-doc"

references "$base" >"$logs/references.base"
references "$patched" >"$logs/references"
judge "references to files" "$logs/references.base" "$logs/references"

[ "$bad" = 0 ] || die "complaints (above) that the kernel without the series does not give"
say "${#dirs[@]} directories, $(wc -l <"$logs/sources") sources, no complaint; the pages:"
changed --diff-filter=A "$commit" -- 'Documentation/*.rst' |
	sed "s,^Documentation/\(.*\)\.rst\$,  ${out#"$repo"/}/patched/\1.html," >&2

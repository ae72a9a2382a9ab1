#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Check the manual pages: no complaint by groff or mandoc, the program in
# fcntl_layout(2) compiles, and each verb of the command is described.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

tool=$repo/tools/layout-lease
for program in man mandoc groff gcc make; do
	command -v "$program" >/dev/null ||
		die "$program is missing: apt-get install man-db mandoc groff-base gcc make"
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

# complain WHAT TEXT: no text is good.
complain() {
	[ -n "$2" ] || return 0
	say "$1:"
	echo "$2" >&2
	bad=$((bad + 1))
}

# The checks: what they print is a complaint.
roff() {
	{
		LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 \
			man --warnings -E UTF-8 -l -Tutf8 -Z "$1" >/dev/null || echo "status $?"
	} 2>&1
}

lint() {
	mandoc -Tlint -Wall "$1" 2>&1 || echo "status $?"
}

compile() {
	gcc -Wall -Wextra -Werror -O2 -o "${1%.c}" "$1" 2>&1 || echo "status $?"
}

# The command's own help is the list of what must be there.
verbs() {
	local verb verbs
	verbs=$("$tmp/layout-lease" --help |
		awk '$1 == "layout-lease" && $2 ~ /^[a-z]+$/ { print $2 }')
	[ -n "$verbs" ] || echo "layout-lease --help names no verb"
	for verb in $verbs; do
		grep -q "^\.B layout-lease $verb\$" "$1" || echo "no synopsis of the verb $verb"
		grep -q "^\.SS $verb:" "$1" || echo "no section about the verb $verb"
		"$tmp/layout-lease" "$verb" --help >"$tmp/help" || echo "$verb --help: status $?"
		grep -q "^usage: layout-lease $verb" "$tmp/help" || echo "$verb --help: no usage"
		grep -qw "$verb" "$tool/completion.bash" || echo "no completion of the verb $verb"
	done
}

# What stands between SRC BEGIN and SRC END, as it would be typed.
source_of() {
	sed -n -e '/^\.\\" SRC BEGIN/,/^\.\\" SRC END/ {
		/^\./ d
		s/\\-/-/g
		s/\\(aq/'\''/g
		s/\\(dq/"/g
		s/\\&//g
		s/\\e/\\/g
		p
	}' "$1"
}

shopt -s nullglob
pages=("$tool"/*.[1-8])
[ ${#pages[@]} -gt 0 ] || die "there are no manual pages in $tool"
for page in "${pages[@]}"; do
	complain "${page##*/}: man --warnings" "$(roff "$page")"
	complain "${page##*/}: mandoc -Tlint" "$(lint "$page")"
done

source_of "$tool/fcntl_layout.2" >"$tmp/example.c"
grep -q '^int main' "$tmp/example.c" ||
	die "fcntl_layout.2 has no program between SRC BEGIN and SRC END"
complain "fcntl_layout.2: the program in it" "$(compile "$tmp/example.c")"

make -s -C "$tool" OUTPUT="$tmp/" all
complain "layout-lease.1" "$(verbs "$tool/layout-lease.1")"

[ "$bad" = 0 ] || die "$bad of the checks complain (above)"
say "${#pages[@]} manual pages, no complaint"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Break one safety rule of the kernel at a time, and see that the test which is
# named for it fails: a test that passes without its rule proves nothing.  Takes
# a kernel build and a guest for each; ONLY=EXPRESSION runs only those whose
# rule, file or test it matches.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
lock
export LOCKED=1

out=$build/mutants
tests=$build/tests
rm -rf "$out/linux" "$out/logs"
mkdir -p "$out/logs" "$tests"

bzimage() { echo "$build/$1/out/arch/x86/boot/bzImage"; }

# The programs, as 'make check' builds them.
make -s -C "$repo/$selftests" KSFT="$patched/tools/testing/selftests" OUTPUT="$tests" \
	>"$out/logs/tests" 2>&1 || { cat "$out/logs/tests" >&2; die "building the selftests failed"; }

prune_trees "$patched"
kgit -C "$patched" worktree add -q --detach "$out/linux" HEAD

# guest KERNEL LOG: runs what stdin has, lines of "PROGRAM TEST"
guest() {
	local program name
	{
		printf '#!/bin/sh\ncd /host\n'
		while read -r program name; do
			printf 'echo "@@ %s %s"; ./%s -t %s\n' "$program" "$name" "$program" "$name"
		done
	} >"$2.sh"
	"$repo/$selftests/vm/vm.sh" --kernel "$(bzimage "$1")" --run "$2.sh" \
		--share "$tests" --timeout 900 --log "$2.console" >"$2" 2>"$2.err" || :
}

# outcome PROGRAM TEST LOG: pass, fail, or nothing if the test did not run
outcome() {
	local text
	text=$(awk -v head="@@ $1 $2" '/^@@ / { mine = $0 == head } mine' "$3")
	if grep -qE '^not ok ' <<<"$text"; then
		echo fail
	elif grep -qE '^# +RUN ' <<<"$text" && ! grep -qE '^# Totals' <<<"$text"; then
		echo fail	# the guest died in it
	elif grep -qE '^ok ' <<<"$text"; then
		echo pass
	fi
}

# kunit TREE NAME LOG: pass, fail, or nothing if the tests were not run; NAME is
# SUITE.TEST, or empty for all
kunit() {
	if TREE=$1 OUT=$out/kunit ONLY=$2 "$repo/scripts/kunit.sh" >"$3" 2>&1; then
		echo pass
	elif grep -qE '^[0-9]+ passed, [0-9]+ failed$' "$3"; then
		echo fail
	fi
}

# sabotage FILE LINE WITH
sabotage() {
	local count
	count=$(LINE=$2 awk '{ sub(/^[ \t]+/, "") } $0 == ENVIRON["LINE"]' \
		<"$out/linux/$1" | wc -l)
	[ "$count" = 1 ] || { say "$1 has $count lines that read: $2"; return 1; }
	LINE=$2 WITH=$3 awk '{ text = $0; sub(/^[ \t]+/, "", text) }
		text == ENVIRON["LINE"] { print ENVIRON["WITH"]; next } { print }' \
		<"$out/linux/$1" >"$out/sabotaged"
	cat "$out/sabotaged" >"$out/linux/$1"
}

caught=0 missed=0 sound_kunit=''
verdict() {	# verdict ok|not-ok TEXT
	if [ "$1" = ok ]; then
		caught=$((caught + 1))
		echo "ok $((caught + missed)) $2"
	else
		missed=$((missed + 1))
		echo "not ok $((caught + missed)) $2"
	fi
}

is_sound() {
	if [ "$program" = kunit ]; then
		[ -n "$sound_kunit" ] || sound_kunit=$(kunit "$patched" '' "$out/logs/sound-kunit")
		[ "$sound_kunit" = pass ] && grep -qF "[PASSED] ${name#*.}" "$out/logs/sound-kunit"
	else
		[ "$(outcome "$program" "$name" "$out/logs/sound")" = pass ]
	fi
}

try() {
	local log program name result
	log=$out/logs/$((caught + missed + 1))
	read -r program name <<<"$test"
	is_sound ||
		{ verdict not-ok "$rule: $name does not pass on the sound kernel ($out/logs/sound)"; return; }
	kgit -C "$out/linux" reset -q --hard
	sabotage "$file" "$line" "$with" ||
		{ verdict not-ok "$rule: the sabotage does not apply"; return; }
	if [ "$program" = kunit ]; then
		result=$(kunit "$out/linux" "$name" "$log")
	else
		"$repo/scripts/kernel.sh" mutants ||
			{ verdict not-ok "$rule: the sabotage does not compile"; return; }
		guest mutants "$log" <<<"$test"
		result=$(outcome "$program" "$name" "$log")
	fi
	case $result in
	fail) verdict ok "$rule: $program $name fails without it" ;;
	pass) verdict not-ok "$rule: $program $name passes without it" ;;
	*) verdict not-ok "$rule: $program $name did not run ($log)" ;;
	esac
}

# blocks COMMAND: calls it for each that is wanted
blocks() {
	local text
	rule='' file='' line='' with='' test=''
	while IFS= read -r text <&3; do
		case $text in
		'#'*) ;;
		'') block "$1" ;;
		*:*) printf -v "${text%%:*}" %s "${text#*: }" ;;
		esac
	done 3<"$here/mutants"
	block "$1"
}

block() {
	[ -z "$rule" ] || [[ ! "$rule $file $test" =~ ${ONLY:-.} ]] || "$1"
	rule='' file='' line='' with='' test=''
}

say_test() { echo "$test"; }

# With all rules in place, each of the tests passes.
blocks say_test | sed '/^kunit /d' | sort -u | guest patched "$out/logs/sound"
blocks try

kgit -C "$out/linux" reset -q --hard
echo "$caught passed, $missed failed"
[ "$missed" = 0 ] && [ "$caught" -gt 0 ]

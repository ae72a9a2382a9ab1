# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with lib.sh and run.sh
#
# The kernel's own tests of long-term pins, copy on write and locks, each built from
# the tree of its kernel, with their files on DAX.

# each_of PROGRAM: a verdict for each of its results, under what it says it runs
each_of() {
	awk -v test="@@ $suite/$1" '
		/^# \[RUN\] / { what = substr($0, 9); next }
		/^(not )?ok / {
			verdict = /# *SKIP/ ? "skip" : $1 == "ok" ? "pass" : "fail"
			name = $1 == "ok" ? $2 : $3
			text = $0
			sub(/^(not )?ok [0-9]+ */, "", text)
			sub(/^# *SKIP */, "", text)
			gsub(/[^A-Za-z0-9\/]+/, "_", what)
			print test "." name "_" what, verdict (verdict == "pass" ? "" : " " text)
		}' "$log"
}

# suite_of NAME PROGRAM...: one that reports TAP
suite_of() {
	local rc=0 results
	begin "$1"
	timeout -k 5 900 "${@:2}" >"$log" 2>&1 </dev/null || rc=$?
	sed 's/^/  | /' "$log"
	each_of "$1"
	results=$(grep -cE '^(not )?ok ' "$log") || results=0
	verdict "$1.ends_with_status_${rc}_after_${results}_results" pass
}

# on_dax COMMAND: to be run where /tmp is on DAX
on_dax() {
	words=(unshare -m sh -c "mount --bind $root/tmp /tmp && cd /tmp && exec $1")
}

for root in "$XFS" "$EXT4"; do
	fs=${root##*/}
	mkdir -p "$root/tmp"
	for test in gup_longterm cow; do
		on_dax "$dir/$VARIANT/$test"
		suite_of "$fs.$test" "${words[@]}"
	done
	for kind in -u -a -b -L; do
		file "$root/tmp/gup" 4
		program "$fs.gup_test$kind" 300 "$dir/$VARIANT/gup_test" $kind -m 4 -n 512 -S \
			-f "$root/tmp/gup"
		if grep -q truncated "$log"; then
			verdict "$fs.gup_test$kind.all_pages" fail truncated
		else
			verdict "$fs.gup_test$kind.all_pages" pass
		fi
	done
	on_dax "$dir/$VARIANT/ofdlocks"
	program "$fs.ofdlocks" 300 "${words[@]}"
	rm -rf "$root/tmp"
done

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with lib.sh and run.sh
#
# The kernel's own selftests of pins, of copy on write and of locks, with their files on
# DAX: what they make in /tmp, and in the current directory.

# results TEST: a verdict for each that is in $log, of TAP under what was said to run, and
# of a program without TAP under what it says itself.
results() {
	awk -v test="$suite/$1" '
		function named(what) {
			gsub("/", "", what)
			gsub(/[^A-Za-z0-9-]+/, "_", what)
			sub(/_$/, "", what)
			return test "." what
		}
		/^# \[RUN\] / { what = substr($0, length("# [RUN] ") + 1) }
		/^(not )?ok [0-9]+ / {
			kind = $1 == "ok" ? "pass" : "fail"
			sub(/^(not )?ok [0-9]+ */, "")
			if (sub(/^# SKIP /, ""))
				kind = "skip"
			else if (sub(/^# XFAIL /, "expected by the test itself: "))
				kind = "fail"
			print "@@ " named(what), kind == "pass" ? kind : kind " " $0
		}
		/^# \[SUCCESS\] / {
			print "@@ " named(substr($0, length("# [SUCCESS] ") + 1)), "pass"
		}
		/^# \[FAIL\] / { print "@@ " named(substr($0, length("# [FAIL] ") + 1)), "fail" }
	' "$log"
}

# tests NAME PROGRAM: and whether all that were planned have come.  Which huge pages there
# are depends on the processor, so those of 1 GiB are hidden.
tests() {
	local rc=0 have planned
	begin "$1"
	# shellcheck disable=SC2016 # the inner shell expands it
	timeout -k 5 600 unshare -m sh -c 'mount --bind "$0" /tmp && cd /tmp &&
		mount -t tmpfs none /sys/kernel/mm/hugepages &&
		mkdir /sys/kernel/mm/hugepages/hugepages-2048kB &&
		exec "$@"' "$root/tmp" "$dir/$2" >"$log" 2>&1 </dev/null || rc=$?
	sed 's/^/  | /' "$log"
	results "$1"
	have=$(grep -cE '^(not )?ok ' "$log") || have=0
	planned=$(sed -n 's/^1\.\.//p' "$log")
	if [ $rc = 124 ] || [ $rc = 137 ]; then
		verdict "$1" fail "no end after 600 s"
	elif [ $rc = 0 ] && [ "$have" = "${planned:-0}" ]; then
		verdict "$1" pass
	else
		verdict "$1" fail "status $rc, $have results of ${planned:-0}"
	fi
}

# pages TEST THREADS OPTION...: gup_test ends with 0, whatever became of it, and says ok
# even where it could have no page at all.  What its threads say, they say anywhere in a
# line.
pages() {
	local rc=0 line good=0 short=
	begin "$1"
	timeout -k 5 300 "$dir/gup_test" "${@:3}" >"$log" 2>&1 </dev/null || rc=$?
	while IFS= read -r line; do
		echo "  | $line"
		[[ $line != *"ioctl status 0" ]] || good=$((good + 1))
		[[ $line != *runcated* ]] || short=${line##*(}
	done <"$log"
	if [ $rc != 0 ] || [ $good != "$2" ]; then
		verdict "$1" fail "status $rc, $good of $2 say ioctl status 0"
	elif [ -n "$short" ]; then
		verdict "$1" fail "truncated (${short%%)*})"
	else
		verdict "$1" pass
	fi
}

# kinds TEST OPTION...: of taking pages
kinds() {
	local kind
	declare -A word=([-u]=get_fast [-U]=get [-a]=pin_fast [-b]=pin [-L]=pin_longterm)
	for kind in -u -U -a -b -L; do
		pages "$1.${word[$kind]}" 1 -m 4 "${@:2}" $kind
	done
}

# matrix TEST FILE: as run_vmtests.sh has it.  What a private mapping has written is no
# longer of the file, and no huge page.
matrix() {
	local number write
	declare -A flag=([write]=-w [read]=-W)
	for number in 1 512 123; do
		for write in write read; do
			set -- "$1" "$2" "${flag[$write]}"
			kinds "$1.huge.$write.$number" -f "$2" -t -S "$3" -n $number
			kinds "$1.small.$write.$number" -f "$2" -T -S "$3" -n $number
			kinds "$1.private.$write.$number" -f "$2" "$3" -n $number
		done
	done
}

# Of gup_test not -c, which dumps pages in the kernel's log, where that is a complaint,
# and not -z: the kernel has since given its flag to something else, and warns.
for root in "$XFS" "$EXT4"; do
	fs=${root##*/}
	mkdir -p "$root/tmp"
	for test in gup_longterm cow ofdlocks; do
		tests "$fs.$test" $test
	done
	# one extent, where the filesystem begins stripes: its pages can be huge
	fallocate -l 4M "$root/tmp/gup"
	matrix "$fs.gup_test" "$root/tmp/gup"
	pages "$fs.gup_test.threads" 4 -f "$root/tmp/gup" -m 4 -S -a -n 512 -j 4
	pages "$fs.gup_test.again" 1 -f "$root/tmp/gup" -m 4 -S -a -n 512 -r 10
	rm -rf "$root/tmp"
done
kinds gup_test.anonymous -n 512
kinds gup_test.shmem -n 512 -S
kinds gup_test.hugetlb -n 512 -H

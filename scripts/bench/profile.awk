# SPDX-License-Identifier: GPL-2.0
#
# awk -f profile.awk -v out=PROFILE [-v wanted=REGEX] results.tsv \
#	kernel=base OUT INSTR kernel=ours OUT INSTR
# In which functions the instructions of a row of results.tsv are; OUT is what the
# programs print, INSTR what the plugin counts (see profile.c).  Prints a table for
# each row whose goal is missed, or whose key matches REGEX: the functions in which
# the kernels differ.  PROFILE gets all functions of all rows, separated by tabs.
BEGIN { FS = OFS = "\t" }

# What a row is compared with: a kernel, and a row of it.
function reference(key, says,    word) {
	of[key] = "base"
	row[key] = key
	if (says !~ /^at (most|least) [0-9.]+ of /)
		return
	split(says, word, " ")
	of[key] = word[5] == "base" ? "base" : "ours"
	if (word[6] != "" || word[5] != "base")
		row[key] = word[6] != "" ? word[6] : word[5]
}

!kernel && FNR > 1 {
	key = $2
	# What is on the wall clock is counted as well.
	sub(/^wall\.truncate_/, "truncate.mapped_", key)
	sub(/^wall\./, "", key)
	if (!(key in of)) {
		order[++rows] = key
		reference(key, $7)
	}
	if (wanted ? $2 ~ wanted : $8 == "no")
		show[key] = 1
}

!kernel { next }

$1 == "measured" {
	# The series are numbered; that of nothing is what measuring costs itself.
	key_of[kernel, ++series[kernel]] = $2 == "nothing" ? $2 : ""
	next
}

$1 == "bench" {
	if (key_of[kernel, series[kernel]] == "")
		key_of[kernel, series[kernel]] = $2
	next
}

$1 ~ /^[0-9]+$/ && NF == 3 {
	key = key_of[kernel, $1]
	if (key == "")
		next
	# A function is the same function, whatever the compiler made of it.
	sub(/\.(isra|constprop|part|cold).*/, "", $3)
	if (key == "nothing") {
		nothing[kernel] = $2
		next
	}
	if (!((kernel, key) in total))
		total[kernel, key] = count[kernel, key, "-"] = -nothing[kernel]
	count[kernel, key, $3] += $2
	total[kernel, key] += $2
	if (!seen[$3]++)
		name[++names] = $3
}

function magnitude(x) { return x < 0 ? -x : x }

# A table of one row, of the differences left in diff.
function table(key, n,    i, j, best, against) {
	against = of[key] == "base" && row[key] == key ? "" : "  (base: " of[key] " " row[key] ")"
	printf "%s%s\n", key, against
	printf "  %-40s %10s %10s %10s\n", "function", "base", "ours", "difference"
	for (i = 1; i <= n; i++) {
		best = i
		for (j = i + 1; j <= n; j++)
			if (magnitude(diff[j]) > magnitude(diff[best]))
				best = j
		j = diff[i]; diff[i] = diff[best]; diff[best] = j
		j = fn[i]; fn[i] = fn[best]; fn[best] = j
		printf "  %-40s %10d %10d %+10d\n", fn[i] == "-" ? "(user space)" : fn[i],
			count[of[key], row[key], fn[i]], count["ours", key, fn[i]], diff[i]
	}
	printf "  %-40s %10d %10d %10d\n", "(" same_names " functions)", same, same, 0
	printf "  %-40s %10d %10d %+10d\n\n", "(all)", total[of[key], row[key]],
		total["ours", key], total["ours", key] - total[of[key], row[key]]
}

END {
	print "key", "kernel", "key there", "function", "there", "ours", "difference" >out
	for (r = 1; r <= rows; r++) {
		key = order[r]
		if (!(("ours", key) in total) || !((of[key], row[key]) in total))
			continue
		n = same = same_names = 0
		for (i = 1; i <= names; i++) {
			b = count[of[key], row[key], name[i]] + 0
			o = count["ours", key, name[i]] + 0
			if (!b && !o)
				continue
			print key, of[key], row[key], name[i], b, o, o - b >out
			if (b == o) {
				same += b
				same_names++
				continue
			}
			fn[++n] = name[i]
			diff[n] = o - b
		}
		if (key in show)
			table(key, n)
	}
}

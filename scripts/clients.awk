# SPDX-License-Identifier: GPL-2.0
#
# Compare what the same programs did in two guests: clients.awk KNOWN BASE OTHER,
# the latter two being the output of run.sh.  Any test whose verdict, or reason,
# differs is a failure; so is one that does not pass, unless KNOWN has just this
# line, and a line of KNOWN that nothing needs.  A * in the name of a line there is any
# text: the line is for all tests of such a name, and each of them has to be just so.
# "varies VERDICT REASON" in KNOWN is for a test that races with itself: it may pass, or
# fail just so, on either kernel.  What the suite "lease" does with a lease is to be
# refused by the base, and to pass with the series.
# Variables: what (the other guest), suites (those that ran), results (a file to
# append pass and fail to).

function verdict(good, text) {
	print (good ? "ok " : "not ok ") "clients: " what ": " text
	print (good ? "pass" : "fail") >>results
}

function may(name, text) {
	return text == "pass" || text == substr(known[name], length("varies ") + 1)
}

function known_suite(name,    part) {
	split(name, part, "/")
	return index(" " suites " ", " " part[1] " ") > 0
}

# The regular expression for a name with *
function pattern(name) {
	gsub(/[^A-Za-z0-9_*-]/, "[&]", name)
	gsub(/[*]/, ".*", name)
	return "^" name "$"
}

# The line of KNOWN that is for this test, first of all the one that has its name
function find(name,    e) {
	if (name in known) {
		needed[name] = 1
		return
	}
	for (e = 1; e <= entries; e++)
		if (order[e] ~ /[*]/ && name ~ pattern(order[e])) {
			known[name] = known[order[e]]
			needed[order[e]] = 1
			return
		}
}

FNR == 1 { input++ }

input == 1 {
	if ($0 !~ /^#/ && NF && known_suite($1)) {
		order[++entries] = $1
		known[$1] = substr($0, length($1) + 2)
	}
	next
}

# What a program says is indented, so it cannot look like this.
/^@@ begin / { begun[input] = $3; next }
/^@@ end$/ { ended[input] = 1; next }
/^@@ / {
	name = $2
	text = substr($0, length($1) + length($2) + 3)
	sub(/ +$/, "", text)
	if ((input, name) in have)
		verdict(0, name " has two results")
	have[input, name] = text
	if (!(name in number)) {
		number[name] = ++names
		list[names] = name
	}
	next
}

END {
	for (i = 2; i <= 3; i++)
		if (!ended[i])
			verdict(0, "the " (i == 2 ? "base" : "other") \
				" guest did not come to its end; it ran " begun[i])
	if (!names)
		verdict(0, "there are no results")
	for (n = 1; n <= names; n++) {
		name = list[n]
		find(name)
		both = ((2, name) in have) && ((3, name) in have)
		a = have[2, name]
		b = have[3, name]
		if (!both)
			verdict(0, name " has a result on one kernel only: " a b)
		else if (name ~ /^lease\// && a == "refused")
			verdict(b == "pass", name ": refused by the base, with the series: " b)
		else if (name ~ /^lease\// && b == "pass" && name !~ /without_a_lease/)
			verdict(0, name " does not need a lease: it proves nothing (base: " a ")")
		else if ((name in known) && known[name] ~ /^varies / && may(name, a) && may(name, b))
			alike++
		else if (a != b)
			verdict(0, name " differs: base: " a "; with the series: " b)
		else if (a == "pass") {
			if (name in known)
				verdict(0, name " passes, but is listed as known: " known[name])
			else
				verdict(1, name)
		} else if (!(name in known))
			verdict(0, name " is not listed as known, and has on both: " a)
		else if (known[name] != a)
			verdict(0, name " is known as: " known[name] "; has on both: " a)
		else
			alike++
	}
	for (e = 1; e <= entries; e++)
		if (!(order[e] in needed))
			verdict(0, order[e] " is listed as known, but there is no such test")
	if (alike)
		verdict(1, alike " tests that are skipped, or fail, do so on both kernels alike, as listed")
}

# SPDX-License-Identifier: GPL-2.0
#
# awk -f table.awk -v out=RESULTS [-v skip=REGEX] [-v partial=1] goals \
#	base=1 FILE... ours=1 FILE...
# Puts the rows that were measured on both kernels side by side, judges them by
# the goals (see there), and prints a table; the same, separated by tabs, goes to
# RESULTS.  A row that is missing, measured twice or not in goals is an error.  skip:
# rows that are not wanted; partial: show those that were measured.
BEGIN { FS = OFS = "\t" }

function complain(text) {
	print "bench: " text >"/dev/stderr"
	bad = 1
}

# The braces of the first of them in text; one result per line.
function expand(text,    open, shut, head, tail, word, n, i, all) {
	open = index(text, "{")
	if (!open)
		return text
	shut = index(text, "}")
	head = substr(text, 1, open - 1)
	tail = substr(text, shut + 1)
	n = split(substr(text, open + 1, shut - open - 1), word, ",")
	for (i = 1; i <= n; i++)
		all = all (i > 1 ? "\n" : "") expand_one(head word[i] tail)
	return all
}

function expand_one(text) { return expand(text) }

function fill(text, key,    part, n) {
	n = split(key, part, ".")
	gsub(/%/, part[n], text)
	gsub(/@/, part[1], text)
	return text
}


!kernel() && !/^#/ && NF {
	if (NF != 4) {
		complain("goals: not four columns: " $0)
		next
	}
	n = split(expand($1), keys, "\n")
	for (i = 1; i <= n; i++) {
		if (skip && keys[i] ~ skip)
			continue
		order[++count] = keys[i]
		unit[keys[i]] = $2
		goal[keys[i]] = fill($3, keys[i])
		text[keys[i]] = fill($4, keys[i])
	}
}

function kernel() { return ours ? "ours" : base ? "base" : "" }

kernel() && $1 == "bench" {
	if (!($2 in goal))
		complain($2 " is in no line of goals")
	if ((kernel(), $2) in value)
		complain($2 " was measured twice on " kernel())
	if (NF != 3 || $3 !~ /^(-?[0-9]+(\.[0-9]+)?|E[A-Z]+)$/)
		complain("no value: " $0)
	value[kernel(), $2] = $3
}

function number(x) { return x ~ /^-?[0-9]/ }

# What goal and the two values say: sets ratio, says and met.
function judge(key,    word, ref, b, o, limit) {
	split(goal[key], word, " ")
	b = value["base", key]
	o = value["ours", key]
	ratio = number(b) && number(o) && b != 0 ? o / b : "-"
	met = "-"
	says = "-"
	if (word[1] == "-")
		return
	met = "no"
	if (word[1] == "same") {
		says = "at most 1.00 of base"
		if (number(o) && number(b) && sprintf("%.2f", ratio) + 0 <= 1)
			met = "yes"
	} else if (word[1] == "plus") {
		says = "base + " word[2]
		if (number(o) && number(b) && o - b <= word[2])
			met = "yes"
	} else if (word[1] == "upto") {
		says = "at most " word[2]
		if (number(o) && o <= word[2] + 0)
			met = "yes"
	} else if (word[1] == "most" || word[1] == "least") {
		split(word[3], ref, ":")
		if (!((ref[1], ref[2]) in value)) {
			complain(key ": there is no row " word[3])
			return
		}
		limit = value[ref[1], ref[2]]
		says = "at " word[1] " " word[2] " of " \
			(ref[2] == key ? ref[1] : (ref[1] == "base" ? "base " : "") ref[2])
		if (!number(limit) || !number(o) || limit == 0)
			return
		ratio = o / limit
		if (word[1] == "most" ? o <= word[2] * limit : o >= word[2] * limit)
			met = "yes"
	} else {
		complain(key ": what is the goal " goal[key] "?")
	}
}


END {
	if (!count)
		complain("goals: nothing there")
	print "what", "key", "unit", "base", "ours", "ratio", "goal", "met" >out
	fmt = "%-52s %-32s %11s %11s %8s  %-44s %s\n"
	printf fmt, "what (unit)", "key", "base", "ours", "ratio", "goal", "met"
	for (i = 1; i <= count; i++) {
		key = order[i]
		if (partial && !(("base", key) in value) && !(("ours", key) in value))
			continue
		for (k = 1; k <= 2; k++) {
			which = k == 1 ? "base" : "ours"
			if (!((which, key) in value)) {
				complain(key " was not measured on " which)
				value[which, key] = "missing"
			}
		}
		judge(key)
		r = ratio == "-" ? "-" : sprintf(ratio < 0.1 ? "%.4f" : "%.2f", ratio)
		if (met == "no")
			missed++
		else if (met == "yes")
			hit++
		print text[key], key, unit[key], value["base", key], value["ours", key], r, says, met >out
		printf fmt, text[key] " (" unit[key] ")", key, value["base", key],
			value["ours", key], r, says, met
	}
	printf "%d rows; goals: %d met, %d not met\n", count, hit, missed
	exit bad
}

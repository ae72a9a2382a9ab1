# SPDX-License-Identifier: GPL-2.0
#
# Judge the results that a guest reports: TAP between "@@ begin PROGRAM" and
# "@@ end PROGRAM STATUS".  Variables: variant, results (file to append pass and
# fail to), expect (base.expect: one regular expression per line, of tests that
# must pass on the base kernel; matched against "program test").

function verdict(good, text) {
	print (good ? "ok " : "not ok ") variant ": " text
	print (good ? "pass" : "fail") >>results
	if (!good)
		printf "%s", said
	said = ""
	fflush()
}

function must_pass(name,    i) {
	if (variant != "base")
		return 1
	for (i = 1; i <= expected; i++)
		if (name ~ ("^(" pattern[i] ")$")) {
			used[i] = 1
			return 1
		}
	return 0
}

BEGIN {
	if (variant == "base")
		while ((getline line <expect) > 0) {
			sub(/[ \t]*#.*/, "", line)
			if (line != "")
				pattern[++expected] = line
		}
}

/^@@ begin / {
	program = $3
	plan = -1
	seen = failed = 0
	said = ""
	next
}

/^@@ end / {
	if ($4 == "stuck")
		verdict(0, program " did not end in time, and cannot be killed")
	else if ($4 == 124 || $4 == 137)
		verdict(0, program " did not end in time")
	else if (plan < 0)
		verdict(0, program " reported no tests (status " $4 ")")
	else if (seen != plan)
		verdict(0, program " reported " seen " of " plan " tests (status " $4 ")")
	else if ((failed > 0) != ($4 != 0))
		verdict(0, program " ended with status " $4 ", which contradicts its results")
	program = ""
	next
}

program == "" { print "# " $0; fflush(); next }

/^1\.\.[0-9]+/ { plan = substr($1, 4) + 0; next }

/^(not )?ok / {
	good = ($1 == "ok")
	skipped = /# *SKIP/
	name = $0
	sub(/^(not )?ok [0-9]+ */, "", name)
	sub(/^- */, "", name)
	sub(/ *# .*/, "", name)
	name = program " " name
	seen++
	if (!good)
		failed++
	if (skipped)
		verdict(0, name " was skipped")
	else if (must_pass(name))
		verdict(good, name)
	else if (good)
		verdict(0, name " passes without the series: it proves nothing, or belongs into base.expect")
	else {
		said = ""
		verdict(1, name " fails, as it must without the series")
	}
	next
}

# What was said since the last result explains a failure.
/^#  RUN|^#            OK|^TAP version|^# (Totals|PASSED|FAILED|Starting)/ { next }
{ said = said ($0 ~ /^#/ ? "" : "# ") $0 "\n" }

END {
	if (program != "")
		verdict(0, program " was not finished")
}

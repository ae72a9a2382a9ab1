# SPDX-License-Identifier: GPL-2.0
#
# awk -f rst.awk results.tsv: the table of make bench for a page of documentation.
BEGIN { FS = "\t" }
NR == 1 {
	print ".. csv-table::"
	print "   :header: \"row\", \"unit\", \"base\", \"ours\", \"ratio\", \"goal\", \"met\""
	print ""
	next
}
{ printf "   \"%s\", \"%s\", \"%s\", \"%s\", \"%s\", \"%s\", \"%s\"\n", $2, $3, $4, $5, $6, $7, $8 }

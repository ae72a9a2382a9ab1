// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of layout leases: arithmetic of ranges.  Part of
 * fs/layout_break.c.
 */
#include <linux/falloc.h>

#include "layout_kunit.h"

#define LAYOUT_LARGEST_PAGE	((pgoff_t)(LLONG_MAX >> PAGE_SHIFT))

struct layout_range_case {
	const char *name;
	loff_t start, end;
	pgoff_t first, last;
};

static const struct layout_range_case layout_range_cases[] = {
	{ "one byte, the first", 0, 1, 0, 0 },
	{ "one page", 0, PAGE_SIZE, 0, 0 },
	{ "one byte more", 0, PAGE_SIZE + 1, 0, 1 },
	{ "the last byte of a page", PAGE_SIZE - 1, PAGE_SIZE, 0, 0 },
	{ "two bytes, of two pages", PAGE_SIZE - 1, PAGE_SIZE + 1, 0, 1 },
	{ "the second page", PAGE_SIZE, 2 * PAGE_SIZE, 1, 1 },
	{ "to the end", 0, LLONG_MAX, 0, ULONG_MAX },
	{ "to the end, from within a page",
	  5 * PAGE_SIZE + 123, LLONG_MAX, 5, ULONG_MAX },
	{ "to the end, from the last byte",
	  LLONG_MAX - 1, LLONG_MAX, LAYOUT_LARGEST_PAGE, ULONG_MAX },
	{ "almost to the end, from the last page",
	  LLONG_MAX - PAGE_SIZE + 1, LLONG_MAX - 1,
	  LAYOUT_LARGEST_PAGE, LAYOUT_LARGEST_PAGE },
	{ "the page before the last",
	  LLONG_MAX - 2 * PAGE_SIZE + 1, LLONG_MAX - PAGE_SIZE + 1,
	  LAYOUT_LARGEST_PAGE - 1, LAYOUT_LARGEST_PAGE - 1 },
	{ "all but the end", 0, LLONG_MAX - 1, 0, LAYOUT_LARGEST_PAGE },
};

KUNIT_ARRAY_PARAM_DESC(layout_range, layout_range_cases, name);

/* A break is of whole pages, and of no more than it has to. */
static void layout_range_is_rounded_outwards(struct kunit *test)
{
	const struct layout_range_case *c = test->param_value;
	struct layout_kunit *k = test->priv;
	struct layout_break *brk;

	layout_kunit_lease(k, 0, F_LAYOUT | F_EXCLUSIVE, 0);
	KUNIT_ASSERT_EQ(test, 0,
			__layout_break_begin(k->lc, c->start, c->end,
					     LAYOUT_BREAK_PUNCH_HOLE, 0, &brk));
	KUNIT_EXPECT_EQ(test, c->first, brk->lb_first);
	KUNIT_EXPECT_EQ(test, c->last, brk->lb_last);
	layout_break_end(brk);
}

/* What reports show is never less than what was asked for. */
static void layout_range_is_reported_whole(struct kunit *test)
{
	const struct layout_range_case *c = test->param_value;
	u64 start = layout_range_start(c->first);
	u64 end = layout_range_end(layout_last_page(c->end));

	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(start));
	KUNIT_EXPECT_LE(test, start, (u64)c->start);
	KUNIT_EXPECT_LT(test, (u64)c->start - start, (u64)PAGE_SIZE);
	if (c->end == LLONG_MAX) {
		KUNIT_EXPECT_EQ(test, ~0ULL, end);
		return;
	}
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(end));
	KUNIT_EXPECT_GE(test, end, (u64)c->end);
	KUNIT_EXPECT_LT(test, end - (u64)c->end, (u64)PAGE_SIZE);
}

static void layout_range_of_the_largest_page_does_not_overflow(struct kunit *test)
{
	u64 end = (u64)LLONG_MAX + 1;

	KUNIT_EXPECT_EQ(test, end, layout_range_end(LAYOUT_LARGEST_PAGE));
	KUNIT_EXPECT_EQ(test, end - PAGE_SIZE,
			layout_range_start(LAYOUT_LARGEST_PAGE));
	KUNIT_EXPECT_EQ(test, ~0ULL, layout_range_end(ULONG_MAX));
}

struct layout_overlap_case {
	pgoff_t first, last;
	bool overlaps;
};

/* With pages 10 to 20. */
static const struct layout_overlap_case layout_overlap_cases[] = {
	{ 0, 9, false }, { 0, 10, true }, { 9, 9, false }, { 10, 10, true },
	{ 15, 15, true }, { 20, 20, true }, { 21, 21, false },
	{ 20, ULONG_MAX, true }, { 21, ULONG_MAX, false },
	{ 0, ULONG_MAX, true }, { ULONG_MAX, ULONG_MAX, false },
};

static void layout_overlap_counts_both_ends(struct kunit *test)
{
	struct layout_break brk = { .lb_first = 10, .lb_last = 20 };
	struct layout_break to_end = { .lb_first = 10, .lb_last = ULONG_MAX };
	const struct layout_overlap_case *c;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(layout_overlap_cases); i++) {
		c = &layout_overlap_cases[i];
		KUNIT_EXPECT_EQ_MSG(test, c->overlaps,
				    layout_break_overlaps(&brk, c->first,
							  c->last),
				    "%lu to %lu", c->first, c->last);
		KUNIT_EXPECT_EQ_MSG(test, c->last >= 10,
				    layout_break_overlaps(&to_end, c->first,
							  c->last),
				    "%lu to %lu, to the end", c->first,
				    c->last);
	}
}

struct layout_falloc_case {
	const char *name;
	int mode;
	loff_t start, end;
	loff_t taken;		/* end of what is taken, 0: nothing is */
};

#define LAYOUT_FALLOC_SIZE	(64 * PAGE_SIZE)

static const struct layout_falloc_case layout_falloc_cases[] = {
	{ "plain", 0, 0, PAGE_SIZE, 0 },
	{ "keep size", FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE, 0 },
	{ "unshare", FALLOC_FL_UNSHARE_RANGE, 0, PAGE_SIZE, 0 },
	{ "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 2, 2 },
	{ "punch, behind the end", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	  LAYOUT_FALLOC_SIZE, LLONG_MAX - 1, LLONG_MAX - 1 },
	{ "zero", FALLOC_FL_ZERO_RANGE, 1, 2, 2 },
	{ "zero, keep size", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1, 2,
	  2 },
	{ "collapse", FALLOC_FL_COLLAPSE_RANGE, PAGE_SIZE, 2 * PAGE_SIZE,
	  LLONG_MAX },
	{ "collapse, not aligned", FALLOC_FL_COLLAPSE_RANGE, PAGE_SIZE,
	  2 * PAGE_SIZE + 1, 0 },
	{ "collapse, up to the end", FALLOC_FL_COLLAPSE_RANGE, PAGE_SIZE,
	  LAYOUT_FALLOC_SIZE, 0 },
	{ "insert", FALLOC_FL_INSERT_RANGE, PAGE_SIZE, 2 * PAGE_SIZE,
	  LLONG_MAX },
	{ "insert, not aligned", FALLOC_FL_INSERT_RANGE, 1, PAGE_SIZE + 1, 0 },
	{ "insert, at the end", FALLOC_FL_INSERT_RANGE, LAYOUT_FALLOC_SIZE,
	  LAYOUT_FALLOC_SIZE + PAGE_SIZE, 0 },
	{ "insert, as much as there is room for", FALLOC_FL_INSERT_RANGE, 0,
	  (LLONG_MAX & PAGE_MASK) - LAYOUT_FALLOC_SIZE, LLONG_MAX },
	{ "insert, a page more", FALLOC_FL_INSERT_RANGE, 0,
	  (LLONG_MAX & PAGE_MASK) - LAYOUT_FALLOC_SIZE + PAGE_SIZE, 0 },
};

KUNIT_ARRAY_PARAM_DESC(layout_falloc, layout_falloc_cases, name);

static void layout_falloc_takes_what_its_mode_says(struct kunit *test)
{
	const struct layout_falloc_case *c = test->param_value;
	struct super_block *sb = kunit_kzalloc(test, sizeof(*sb), GFP_KERNEL);
	struct inode *inode = kunit_kzalloc(test, sizeof(*inode), GFP_KERNEL);
	loff_t end = c->end;

	KUNIT_ASSERT_NOT_NULL(test, sb);
	KUNIT_ASSERT_NOT_NULL(test, inode);
	sb->s_maxbytes = LLONG_MAX & PAGE_MASK;
	inode->i_sb = sb;
	inode->i_blkbits = PAGE_SHIFT;
	inode->i_size = LAYOUT_FALLOC_SIZE;

	KUNIT_EXPECT_EQ(test, !!c->taken,
			falloc_unmap_range(inode, c->mode, c->start, &end));
	KUNIT_EXPECT_EQ(test, c->taken ?: c->end, end);
}

static const struct {
	unsigned int reason;
	const char *name;
	bool escalates;
} layout_reason_cases[] = {
	{ LAYOUT_BREAK_TRUNCATE, "truncate", true },
	{ LAYOUT_BREAK_PUNCH_HOLE, "punch_hole", true },
	{ LAYOUT_BREAK_ZERO_RANGE, "zero_range", true },
	{ LAYOUT_BREAK_COLLAPSE_RANGE, "collapse_range", true },
	{ LAYOUT_BREAK_INSERT_RANGE, "insert_range", true },
	{ LAYOUT_BREAK_CLONE, "clone", false },
	{ LAYOUT_BREAK_DEDUPE, "dedupe", false },
	{ LAYOUT_BREAK_EXCHANGE, "exchange", false },
	{ LAYOUT_BREAK_ATTR, "attr", false },
	{ LAYOUT_BREAK_DEVICE, "device", true },
};

/* Whoever adds a reason adds it here. */
static void layout_reasons_are_complete(struct kunit *test)
{
	unsigned int i, reason, named = 0;

	for (i = 0; i < ARRAY_SIZE(layout_reason_cases); i++) {
		reason = layout_reason_cases[i].reason;
		KUNIT_ASSERT_LT(test, reason, ARRAY_SIZE(layout_break_reasons));
		KUNIT_EXPECT_STREQ(test, layout_reason_cases[i].name,
				   layout_reason_name(reason));
		KUNIT_EXPECT_EQ(test, layout_reason_cases[i].escalates,
				layout_break_reasons[reason].escalates);
	}
	for (i = 0; i < ARRAY_SIZE(layout_break_reasons); i++)
		named += !!layout_break_reasons[i].name;
	KUNIT_EXPECT_EQ(test, ARRAY_SIZE(layout_reason_cases), named);
}

static struct kunit_case layout_range_kunit_cases[] = {
	KUNIT_CASE_PARAM(layout_range_is_rounded_outwards,
			 layout_range_gen_params),
	KUNIT_CASE_PARAM(layout_range_is_reported_whole,
			 layout_range_gen_params),
	KUNIT_CASE(layout_range_of_the_largest_page_does_not_overflow),
	KUNIT_CASE(layout_overlap_counts_both_ends),
	KUNIT_CASE_PARAM(layout_falloc_takes_what_its_mode_says,
			 layout_falloc_gen_params),
	KUNIT_CASE(layout_reasons_are_complete),
	{}
};

static struct kunit_suite layout_range_kunit_suite = {
	.name = "layout_range",
	.init = layout_kunit_init_clock,
	.exit = layout_kunit_exit,
	.test_cases = layout_range_kunit_cases,
};

kunit_test_suite(layout_range_kunit_suite);

// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of layout leases: which operation may go ahead, which is refused,
 * and by which error.  Part of fs/layout_break.c.
 */
#include "layout_kunit.h"

/* Begin a break, and end it if it could begin. */
static int layout_admit_flags(struct layout_kunit *k, pgoff_t first,
			      pgoff_t last, unsigned int reason,
			      unsigned int flags)
{
	struct layout_break *brk = NULL;
	int error;

	error = __layout_break_begin(k->lc, layout_range_start(first),
				     layout_range_end(last), reason, flags,
				     &brk);
	if (!error)
		layout_break_end(brk);
	return error;
}

static int layout_admit(struct layout_kunit *k, unsigned int reason)
{
	return layout_admit_flags(k, 0, 9, reason, 0);
}

static bool layout_admit_leaves_no_trace(struct layout_kunit *k)
{
	int i;

	for (i = 0; i < LAYOUT_KUNIT_HOLDERS; i++)
		if (k->holders[i].nr_told)
			return false;
	return list_empty(&k->lc->lc_breaks);
}

/* The breaker's own lease and pin: holder 2 is the task that runs the test. */
static void layout_admit_own_pin(struct layout_kunit *k)
{
	struct layout_lease *lease;

	lease = layout_kunit_lease(k, 2, F_LAYOUT | F_EXCLUSIVE, SIGUSR1);
	layout_kunit_become(lease, task_tgid(current));
	layout_kunit_pin(k, 2, 0, 0);
}

static void layout_admit_is_at_once_where_no_pin_is(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	unsigned int i;

	layout_kunit_consenting(k, 0, 10, 20);
	for (i = 0; i < ARRAY_SIZE(layout_reason_cases); i++)
		KUNIT_EXPECT_EQ(test, 0,
				layout_admit(k, layout_reason_cases[i].reason));
	layout_kunit_policy(k, LAYOUT_POLICY_DENY);
	for (i = 0; i < ARRAY_SIZE(layout_reason_cases); i++)
		KUNIT_EXPECT_EQ(test, 0,
				layout_admit(k, layout_reason_cases[i].reason));
	KUNIT_EXPECT_TRUE(test, layout_admit_leaves_no_trace(k));
	KUNIT_EXPECT_EQ(test, LAYOUT_KUNIT_T0, k->now);
}

static void layout_admit_is_EDEADLK_before_all_else(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	unsigned int i, reason;

	layout_kunit_consenting(k, 0, 0, 20);
	layout_admit_own_pin(k);
	layout_kunit_consenting(k, 1, 0, 20);
	for (i = 0; i < ARRAY_SIZE(layout_reason_cases); i++) {
		reason = layout_reason_cases[i].reason;
		if (reason == LAYOUT_BREAK_DEVICE)
			continue;
		layout_kunit_policy(k, LAYOUT_POLICY_BREAK);
		KUNIT_EXPECT_EQ(test, -EDEADLK, layout_admit(k, reason));
		KUNIT_EXPECT_EQ(test, -EDEADLK,
				layout_admit_flags(k, 0, 9, reason,
						   LAYOUT_BREAK_NOSTART));
		KUNIT_EXPECT_EQ(test, -EDEADLK,
				__layout_break_check(k->inode, 0, 10, reason));
		layout_kunit_policy(k, LAYOUT_POLICY_DENY);
		KUNIT_EXPECT_EQ(test, -EDEADLK, layout_admit(k, reason));
	}
	KUNIT_EXPECT_TRUE(test, layout_admit_leaves_no_trace(k));
	/* Its pin lies elsewhere: ETXTBSY, for the pins of the others. */
	KUNIT_EXPECT_EQ(test, -ETXTBSY,
			layout_admit_flags(k, 1, 9, LAYOUT_BREAK_TRUNCATE, 0));
}

static void layout_admit_is_ETXTBSY_under_deny(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	unsigned int i;

	layout_kunit_consenting(k, 0, 9, 20);
	layout_kunit_policy(k, LAYOUT_POLICY_DENY);
	for (i = 0; i < ARRAY_SIZE(layout_reason_cases); i++) {
		if (layout_reason_cases[i].reason == LAYOUT_BREAK_DEVICE)
			continue;
		KUNIT_EXPECT_EQ(test, -ETXTBSY,
				layout_admit(k, layout_reason_cases[i].reason));
	}
	KUNIT_EXPECT_TRUE(test, layout_admit_leaves_no_trace(k));
}

static void layout_admit_is_ETXTBSY_for_what_never_wins(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	unsigned int i;

	layout_kunit_consenting(k, 0, 9, 20);
	for (i = 0; i < ARRAY_SIZE(layout_reason_cases); i++) {
		if (layout_reason_cases[i].escalates)
			continue;
		KUNIT_EXPECT_EQ(test, -ETXTBSY,
				layout_admit(k, layout_reason_cases[i].reason));
	}
	KUNIT_EXPECT_TRUE(test, layout_admit_leaves_no_trace(k));
}

static void layout_admit_is_ETXTBSY_for_who_may_not_wait(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_break *brk;

	layout_kunit_consenting(k, 0, 9, 20);
	KUNIT_EXPECT_EQ(test, -ETXTBSY,
			layout_admit_flags(k, 0, 9, LAYOUT_BREAK_TRUNCATE,
					   LAYOUT_BREAK_NOSTART));
	/* Every KUnit test is in a kernel thread. */
	KUNIT_EXPECT_EQ(test, -ETXTBSY,
			layout_break_begin(k->inode, 0, LLONG_MAX,
					   LAYOUT_BREAK_TRUNCATE, 0, &brk));
	KUNIT_EXPECT_NULL(test, brk);
	KUNIT_EXPECT_TRUE(test, layout_admit_leaves_no_trace(k));
}

static void layout_admit_is_ETXTBSY_for_who_cannot_tell_a_plain_lease(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_lease *lease;

	lease = layout_kunit_lease(k, 0, F_LAYOUT, SIGUSR1);
	KUNIT_EXPECT_EQ(test, -ETXTBSY,
			layout_admit_flags(k, 0, 9, LAYOUT_BREAK_TRUNCATE,
					   LAYOUT_BREAK_NOSTART));
	KUNIT_EXPECT_EQ(test, 0,
			layout_admit_flags(k, 0, 9, LAYOUT_BREAK_CLONE,
					   LAYOUT_BREAK_NOSTART));
	layout_kunit_become(lease, task_tgid(current));
	KUNIT_EXPECT_EQ(test, 0,
			layout_admit_flags(k, 0, 9, LAYOUT_BREAK_TRUNCATE,
					   LAYOUT_BREAK_NOSTART));
	KUNIT_EXPECT_TRUE(test, layout_admit_leaves_no_trace(k));
}

/* A registration in flight: it undoes itself when it finds the break. */
static void layout_admit_waits_for_a_pin_that_is_not_settled(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 9, 20);
	struct layout_break *brk = NULL;

	layout_kunit_policy(k, LAYOUT_POLICY_DENY);
	llist_entry(h->pins.first, struct layout_pin, lp_node)->lp_settled =
		false;
	h->lets_go_at = LAYOUT_KUNIT_AT(3);
	KUNIT_EXPECT_EQ(test, -ETXTBSY, layout_admit(k, LAYOUT_BREAK_CLONE));
	KUNIT_ASSERT_EQ(test, 0,
			__layout_break_begin(k->lc, 0, LLONG_MAX,
					     LAYOUT_BREAK_TRUNCATE, 0, &brk));
	KUNIT_EXPECT_EQ(test, LAYOUT_KUNIT_AT(3), k->now);
	KUNIT_EXPECT_EQ(test, 0, h->nr_told);
	layout_break_end(brk);
}

static void layout_admit_ends_the_break_for_pins_too(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_break *brk = NULL;
	bool before, during, beside, after;

	layout_kunit_lease(k, 0, F_LAYOUT | F_EXCLUSIVE, SIGUSR1);
	KUNIT_ASSERT_EQ(test, 0,
			__layout_break_begin(k->lc, PAGE_SIZE, 4 * PAGE_SIZE,
					     LAYOUT_BREAK_PUNCH_HOLE, 0, &brk));
	spin_lock(&k->lc->lc_flctx->flc_lock);
	before = layout_break_pending_locked(k->lc, 0, 0);
	during = layout_break_pending_locked(k->lc, 3, 3);
	beside = layout_break_pending_locked(k->lc, 4, ULONG_MAX);
	spin_unlock(&k->lc->lc_flctx->flc_lock);
	layout_break_end(brk);
	spin_lock(&k->lc->lc_flctx->flc_lock);
	after = layout_break_pending_locked(k->lc, 0, ULONG_MAX);
	spin_unlock(&k->lc->lc_flctx->flc_lock);
	KUNIT_EXPECT_FALSE(test, before);
	KUNIT_EXPECT_TRUE(test, during);
	KUNIT_EXPECT_FALSE(test, beside);
	KUNIT_EXPECT_FALSE(test, after);
}

static struct kunit_case layout_admit_kunit_cases[] = {
	KUNIT_CASE(layout_admit_is_at_once_where_no_pin_is),
	KUNIT_CASE(layout_admit_is_EDEADLK_before_all_else),
	KUNIT_CASE(layout_admit_is_ETXTBSY_under_deny),
	KUNIT_CASE(layout_admit_is_ETXTBSY_for_what_never_wins),
	KUNIT_CASE(layout_admit_is_ETXTBSY_for_who_may_not_wait),
	KUNIT_CASE(layout_admit_is_ETXTBSY_for_who_cannot_tell_a_plain_lease),
	KUNIT_CASE(layout_admit_waits_for_a_pin_that_is_not_settled),
	KUNIT_CASE(layout_admit_ends_the_break_for_pins_too),
	{}
};

static struct kunit_suite layout_admit_kunit_suite = {
	.name = "layout_admit",
	.init = layout_kunit_init_clock,
	.exit = layout_kunit_exit,
	.test_cases = layout_admit_kunit_cases,
};

kunit_test_suite(layout_admit_kunit_suite);

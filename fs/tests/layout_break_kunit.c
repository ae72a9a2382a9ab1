// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of layout leases: what becomes, and when, of the holders that a
 * break has told; and of breaks that were abandoned.  Part of fs/layout_break.c.
 *
 * Times are milliseconds after the beginning of the test; fs.lease-break-time is
 * 20 s.
 */
#include "layout_kunit.h"

#define LAYOUT_KUNIT_EXCL	(F_LAYOUT | F_EXCLUSIVE)

/* Begin a break of pages @first to @last, and end it if it could begin. */
static int layout_try(struct layout_kunit *k, unsigned int reason,
		      pgoff_t first, pgoff_t last, unsigned int flags)
{
	loff_t end = last == ULONG_MAX ? LLONG_MAX : layout_range_end(last);
	struct layout_break *brk = NULL;
	int error;

	error = __layout_break_begin(k->lc, layout_range_start(first), end,
				     reason, flags, &brk);
	clear_tsk_thread_flag(current, TIF_SIGPENDING);
	if (!error)
		layout_break_end(brk);
	return error;
}

static int layout_truncate(struct layout_kunit *k)
{
	return layout_try(k, LAYOUT_BREAK_TRUNCATE, 0, ULONG_MAX, 0);
}

/* A truncate that is interrupted after @ms of waiting. */
static void layout_truncate_interrupted(struct layout_kunit *k, u64 ms)
{
	k->interrupt_at = k->now + ms * NSEC_PER_MSEC;
	KUNIT_EXPECT_EQ(k->test, -ERESTARTSYS, layout_truncate(k));
	KUNIT_EXPECT_EQ(k->test, 0, k->interrupt_at);
}

static bool layout_pending(struct layout_kunit *k)
{
	bool pending;

	spin_lock(&k->lc->lc_flctx->flc_lock);
	pending = layout_break_pending_locked(k->lc, 0, ULONG_MAX);
	spin_unlock(&k->lc->lc_flctx->flc_lock);
	return pending;
}

/* Expect these milliseconds, -1 for never. */
static void layout_expect_at(struct layout_kunit *k, const char *what, s64 ms,
			     u64 at)
{
	KUNIT_EXPECT_EQ_MSG(k->test, ms, at ?
			    ((s64)at - (s64)LAYOUT_KUNIT_T0) /
			    (s64)NSEC_PER_MSEC : -1, "%s", what);
}

static void layout_expect(struct layout_kunit *k, int nr, s64 told, s64 killed,
			  s64 revoked)
{
	struct layout_kunit_holder *h = &k->holders[nr];

	layout_expect_at(k, "told", told, h->told_at);
	layout_expect_at(k, "killed", killed, h->killed_at);
	layout_expect_at(k, "revoked", revoked, h->revoked_at);
}

static void layout_expect_now(struct layout_kunit *k, s64 ms)
{
	layout_expect_at(k, "now", ms, k->now);
}

static void layout_holder_that_lets_go_keeps_its_lease(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	h->lets_go_at = LAYOUT_KUNIT_AT(19999);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, -1);
	layout_expect_now(k, 19999);
	KUNIT_EXPECT_EQ(test, SIGUSR1, h->signum);
	KUNIT_EXPECT_EQ(test, 1, h->nr_told);
	KUNIT_EXPECT_EQ(test, LAYOUT_KUNIT_EXCL, fcntl_getlease_layout(h->file));
}

static void layout_holder_is_killed_at_the_deadline(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	h->dies_after = 30 * NSEC_PER_MSEC;
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, -1);
	layout_expect_now(k, 20030);
}

static void layout_holder_that_does_not_die_is_revoked_5_s_later(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 25000);
	layout_expect_now(k, 25000);
	KUNIT_EXPECT_EQ(test, F_UNLCK, fcntl_getlease_layout(h->file));
	KUNIT_EXPECT_EQ(test, 0, k->lc->lc_nr_leases);
}

static void layout_pins_of_a_killed_holder_are_revoked_1_s_after_its_exit(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	h->kept = true;
	h->dies_after = 500 * NSEC_PER_MSEC;
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 21500);
}

static void layout_late_exit_does_not_put_off_the_revocation(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	h->kept = true;
	h->dies_after = 4500 * NSEC_PER_MSEC;
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 25000);
}

static void layout_pins_of_a_holder_that_exits_are_revoked_1_s_later(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	h->kept = true;
	h->exits_at = LAYOUT_KUNIT_AT(3000);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, 4000);
	layout_expect_now(k, 4000);
}

/* Whoever is gone when its deadline comes is not killed. */
static void layout_exit_just_before_the_deadline_is_no_kill(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	h->kept = true;
	h->exits_at = LAYOUT_KUNIT_AT(19900);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, 20900);
}

static void layout_holder_that_was_gone_is_revoked_at_once(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0)->gone = true;
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, -1, -1, 0);
	layout_expect_now(k, 0);
	KUNIT_EXPECT_EQ(test, 0, k->lc->lc_nr_leases);
}

static void layout_holder_without_consent_is_revoked_at_the_deadline(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_lease_unwilling(k, 0, SIGUSR1);
	layout_kunit_pin(k, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, 20000);
	KUNIT_EXPECT_EQ(test, SIGUSR1, k->holders[0].signum);
}

static void layout_holder_that_cannot_be_killed_is_revoked_at_the_deadline(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0)->kill_error = -EPERM;
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 20000);
}

static void layout_signal_SIGKILL_is_a_kill_at_once(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_lease(k, 0, LAYOUT_KUNIT_EXCL, SIGKILL);
	layout_kunit_pin(k, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, -1, 0, 5000);
}

static void layout_signal_SIGKILL_without_consent_kills_nobody(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_lease_unwilling(k, 0, SIGKILL);
	layout_kunit_pin(k, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, -1, -1, 20000);
}

/* SIGIO, unhandled, kills: it is for those who agreed to that. */
static void layout_signal_is_SIGIO_if_none_and_consent(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_lease(k, 0, LAYOUT_KUNIT_EXCL, 0);
	layout_kunit_pin(k, 0, 0, 0);
	layout_kunit_lease_unwilling(k, 1, 0);
	layout_kunit_pin(k, 1, 0, 0);
	layout_truncate_interrupted(k, 1);
	layout_expect(k, 0, 0, -1, -1);
	KUNIT_EXPECT_EQ(test, SIGIO, k->holders[0].signum);
	layout_expect(k, 1, -1, -1, -1);
}

static void layout_without_a_deadline_nobody_is_killed(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	lease_break_time = 0;
	h->lets_go_at = LAYOUT_KUNIT_AT(1000000);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, -1);
	layout_expect_now(k, 1000000);
}

static void layout_without_a_deadline_an_exit_is_still_an_exit(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	lease_break_time = 0;
	h->kept = true;
	h->exits_at = LAYOUT_KUNIT_AT(100000);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, 101000);
}

static void layout_without_a_deadline_SIGKILL_is_still_at_once(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	lease_break_time = 0;
	layout_kunit_lease(k, 0, LAYOUT_KUNIT_EXCL, SIGKILL);
	layout_kunit_pin(k, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, -1, 0, 5000);
}

static void layout_only_holders_in_the_range_are_told(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 10, 20);
	layout_kunit_consenting(k, 1, 0, 9);
	layout_kunit_consenting(k, 2, 21, 30);
	KUNIT_EXPECT_EQ(test, 0, layout_try(k, LAYOUT_BREAK_PUNCH_HOLE, 10, 20,
					    0));
	layout_expect(k, 0, 0, 20000, 25000);
	layout_expect(k, 1, -1, -1, -1);
	layout_expect(k, 2, -1, -1, -1);
}

static void layout_holder_with_many_pins_is_told_once(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	int i;

	layout_kunit_consenting(k, 0, 0, 0);
	for (i = 1; i < 10; i++)
		layout_kunit_pin(k, 0, 2 * i, 2 * i);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 25000);
	KUNIT_EXPECT_EQ(test, 1, k->holders[0].nr_told);
}

/* Who has let go of the range by its deadline is spared. */
static void layout_holder_that_let_go_is_not_killed_for_another(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	h->lets_go_at = LAYOUT_KUNIT_AT(100);
	layout_kunit_consenting(k, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, -1);
	layout_expect(k, 1, 0, 20000, 25000);
	KUNIT_EXPECT_EQ(test, 1, k->lc->lc_nr_leases);
}

static void layout_plain_lease_ends_at_the_deadline(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_lease(k, 0, F_LAYOUT, SIGUSR1);
	layout_kunit_policy(k, LAYOUT_POLICY_DENY);
	KUNIT_EXPECT_EQ(test, 0, layout_try(k, LAYOUT_BREAK_PUNCH_HOLE, 7, 7,
					    0));
	layout_expect(k, 0, 0, -1, -1);
	layout_expect_now(k, 20000);
	KUNIT_EXPECT_EQ(test, SIGUSR1, k->holders[0].signum);
	KUNIT_EXPECT_EQ(test, 0, k->lc->lc_nr_leases);
}

static void layout_plain_lease_that_is_given_up_ends_the_wait(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	lease_break_time = 0;
	layout_kunit_lease(k, 0, F_LAYOUT, SIGKILL);
	k->holders[0].lets_go_at = LAYOUT_KUNIT_AT(70000);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, -1);
	layout_expect_now(k, 70000);
	KUNIT_EXPECT_EQ(test, SIGIO, k->holders[0].signum);
}

static void layout_plain_lease_is_nothing_to_its_holder_and_to_a_clone(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_lease *lease;

	lease = layout_kunit_lease(k, 0, F_LAYOUT, SIGUSR1);
	KUNIT_EXPECT_EQ(test, 0, layout_try(k, LAYOUT_BREAK_CLONE, 0, 9, 0));
	layout_kunit_become(lease, task_tgid(current));
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, -1, -1, -1);
	layout_expect_now(k, 0);
	KUNIT_EXPECT_EQ(test, 1, k->lc->lc_nr_leases);
}

static void layout_nonblocking_call_tells_and_does_not_wait(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, -EWOULDBLOCK,
			layout_try(k, LAYOUT_BREAK_TRUNCATE, 0, ULONG_MAX,
				   LAYOUT_BREAK_NONBLOCK));
	layout_expect(k, 0, 0, -1, -1);
	layout_expect_now(k, 0);
	KUNIT_EXPECT_TRUE(test, layout_pending(k));
}

static void layout_abandoned_break_stands_5_s_longer_than_its_deadline(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0);
	layout_truncate_interrupted(k, 3000);
	KUNIT_EXPECT_EQ(test, F_UNLCK,
			fcntl_getlease_layout(k->holders[0].file));
	k->now = LAYOUT_KUNIT_AT(25000) - 1;
	KUNIT_EXPECT_TRUE(test, layout_pending(k));
	k->now++;
	KUNIT_EXPECT_FALSE(test, layout_pending(k));
	KUNIT_EXPECT_EQ(test, LAYOUT_KUNIT_EXCL,
			fcntl_getlease_layout(k->holders[0].file));
	layout_expect(k, 0, 0, -1, -1);
}

static void layout_abandoned_break_without_deadline_stands_60_s(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	lease_break_time = 0;
	layout_kunit_consenting(k, 0, 0, 0);
	layout_truncate_interrupted(k, 3000);
	k->now = LAYOUT_KUNIT_AT(63000) - 1;
	KUNIT_EXPECT_TRUE(test, layout_pending(k));
	k->now++;
	KUNIT_EXPECT_FALSE(test, layout_pending(k));
}

static void layout_later_call_inherits_the_deadline(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0);
	layout_truncate_interrupted(k, 3000);
	k->now = LAYOUT_KUNIT_AT(10000);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 25000);
	KUNIT_EXPECT_EQ(test, 1, k->holders[0].nr_told);
}

static void layout_later_call_tells_others_with_their_full_time(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 5, 5);
	layout_kunit_consenting(k, 1, 1, 1);
	KUNIT_EXPECT_EQ(test, -EWOULDBLOCK,
			layout_try(k, LAYOUT_BREAK_TRUNCATE, 3, ULONG_MAX,
				   LAYOUT_BREAK_NONBLOCK));
	k->now = LAYOUT_KUNIT_AT(10000);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 25000);
	layout_expect(k, 1, 10000, 30000, 35000);
}

static void layout_later_call_goes_on_after_the_kill(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0);
	layout_truncate_interrupted(k, 22000);
	layout_expect(k, 0, 0, 20000, -1);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 25000);
}

static void layout_later_call_goes_on_after_the_exit(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_kunit_holder *h = layout_kunit_consenting(k, 0, 0, 0);

	h->kept = true;
	h->exits_at = LAYOUT_KUNIT_AT(2000);
	layout_truncate_interrupted(k, 2500);
	layout_expect(k, 0, 0, -1, -1);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, -1, 3000);
}

/* The deadline has passed while nobody waited: no time is left. */
static void layout_later_call_after_the_deadline_kills_at_once(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0);
	layout_truncate_interrupted(k, 3000);
	k->now = LAYOUT_KUNIT_AT(24000);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 24000, 29000);
}

static void layout_later_call_after_the_expiry_begins_anew(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0);
	layout_truncate_interrupted(k, 3000);
	k->now = LAYOUT_KUNIT_AT(25000);
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 25000, 45000, 50000);
}

static void layout_call_with_another_reason_inherits_nothing(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 0);
	layout_truncate_interrupted(k, 3000);
	k->now = LAYOUT_KUNIT_AT(10000);
	KUNIT_EXPECT_EQ(test, 0, layout_try(k, LAYOUT_BREAK_PUNCH_HOLE, 0, 0,
					    0));
	layout_expect(k, 0, 10000, 30000, 35000);
}

static void layout_call_elsewhere_inherits_nothing(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 9);
	KUNIT_EXPECT_EQ(test, -EWOULDBLOCK,
			layout_try(k, LAYOUT_BREAK_PUNCH_HOLE, 0, 4,
				   LAYOUT_BREAK_NONBLOCK));
	k->now = LAYOUT_KUNIT_AT(10000);
	KUNIT_EXPECT_EQ(test, 0, layout_try(k, LAYOUT_BREAK_PUNCH_HOLE, 5, 9,
					    0));
	layout_expect(k, 0, 10000, 30000, 35000);
}

static unsigned int layout_nr_breaks(struct layout_kunit *k)
{
	return list_count_nodes(&k->lc->lc_breaks);
}

/* Tell everybody in pages @first to @last, and go away. */
static void layout_abandon_one(struct layout_kunit *k, unsigned int reason,
			       pgoff_t first, pgoff_t last)
{
	KUNIT_EXPECT_EQ(k->test, -EWOULDBLOCK,
			layout_try(k, reason, first, last,
				   LAYOUT_BREAK_NONBLOCK));
}

static void layout_break_absorbs_those_that_it_repeats(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 100);
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 10, 20);
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 10, 20);
	KUNIT_EXPECT_EQ(test, 1, layout_nr_breaks(k));
	/* Not one that reaches further, at either end, ... */
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 11, 20);
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 10, 19);
	KUNIT_EXPECT_EQ(test, 3, layout_nr_breaks(k));
	/* ... nor one for another reason. */
	layout_abandon_one(k, LAYOUT_BREAK_ZERO_RANGE, 0, 100);
	KUNIT_EXPECT_EQ(test, 4, layout_nr_breaks(k));
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 9, 21);
	KUNIT_EXPECT_EQ(test, 2, layout_nr_breaks(k));
}

/* Absorbing frees what is inherited from, so it has to come second. */
static void layout_break_that_absorbs_inherits_first(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	int i;

	layout_kunit_consenting(k, 0, 0, 0);
	for (i = 0; i < 4; i++) {
		layout_truncate_interrupted(k, 4000);
		KUNIT_EXPECT_EQ(test, 1, layout_nr_breaks(k));
	}
	KUNIT_EXPECT_EQ(test, 0, layout_truncate(k));
	layout_expect(k, 0, 0, 20000, 25000);
	KUNIT_EXPECT_EQ(test, 1, k->holders[0].nr_told);
}

static void layout_break_that_begins_frees_the_expired(struct kunit *test)
{
	struct layout_kunit *k = test->priv;

	layout_kunit_consenting(k, 0, 0, 100);
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 1, 1);
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 2, 2);
	k->now = LAYOUT_KUNIT_AT(25000);
	KUNIT_EXPECT_EQ(test, 2, layout_nr_breaks(k));
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 3, 3);
	KUNIT_EXPECT_EQ(test, 1, layout_nr_breaks(k));
}

static void layout_abandoned_breaks_are_16_the_newest(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_break *oldest;
	pgoff_t page;

	layout_kunit_consenting(k, 0, 0, 100);
	for (page = 0; page < 16; page++)
		layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, page, page);
	KUNIT_EXPECT_EQ(test, 16, layout_nr_breaks(k));
	for (; page < 20; page++) {
		layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, page, page);
		KUNIT_EXPECT_EQ(test, 16, layout_nr_breaks(k));
		oldest = list_first_entry(&k->lc->lc_breaks,
					  struct layout_break, lb_list);
		KUNIT_EXPECT_EQ(test, page - 15, oldest->lb_first);
	}
}

static void layout_holder_is_told_of_the_oldest_break(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_break *brk;
	struct layout_told *told;
	u64 deadline;

	layout_kunit_consenting(k, 0, 0, 100);
	layout_abandon_one(k, LAYOUT_BREAK_PUNCH_HOLE, 1, 1);
	k->now = LAYOUT_KUNIT_AT(1000);
	layout_abandon_one(k, LAYOUT_BREAK_ZERO_RANGE, 2, 2);
	spin_lock(&k->lc->lc_flctx->flc_lock);
	brk = layout_break_told_locked(list_first_entry(&k->lc->lc_leases,
							struct layout_lease,
							ll_list), &told);
	deadline = told->lt_deadline;
	spin_unlock(&k->lc->lc_flctx->flc_lock);
	KUNIT_EXPECT_EQ(test, LAYOUT_BREAK_PUNCH_HOLE, brk->lb_reason);
	layout_expect_at(k, "deadline", 20000, deadline);
	KUNIT_EXPECT_EQ(test, 19000, layout_left_ms(deadline));
	k->now = deadline - 1;
	KUNIT_EXPECT_EQ(test, 0, layout_left_ms(deadline));
	k->now = deadline + 1;
	KUNIT_EXPECT_EQ(test, 0, layout_left_ms(deadline));
	KUNIT_EXPECT_EQ(test, -1, layout_left_ms(0));
}

static struct kunit_case layout_break_kunit_cases[] = {
	KUNIT_CASE(layout_holder_that_lets_go_keeps_its_lease),
	KUNIT_CASE(layout_holder_is_killed_at_the_deadline),
	KUNIT_CASE(layout_holder_that_does_not_die_is_revoked_5_s_later),
	KUNIT_CASE(layout_pins_of_a_killed_holder_are_revoked_1_s_after_its_exit),
	KUNIT_CASE(layout_late_exit_does_not_put_off_the_revocation),
	KUNIT_CASE(layout_pins_of_a_holder_that_exits_are_revoked_1_s_later),
	KUNIT_CASE(layout_exit_just_before_the_deadline_is_no_kill),
	KUNIT_CASE(layout_holder_that_was_gone_is_revoked_at_once),
	KUNIT_CASE(layout_holder_without_consent_is_revoked_at_the_deadline),
	KUNIT_CASE(layout_holder_that_cannot_be_killed_is_revoked_at_the_deadline),
	KUNIT_CASE(layout_signal_SIGKILL_is_a_kill_at_once),
	KUNIT_CASE(layout_signal_SIGKILL_without_consent_kills_nobody),
	KUNIT_CASE(layout_signal_is_SIGIO_if_none_and_consent),
	KUNIT_CASE(layout_without_a_deadline_nobody_is_killed),
	KUNIT_CASE(layout_without_a_deadline_an_exit_is_still_an_exit),
	KUNIT_CASE(layout_without_a_deadline_SIGKILL_is_still_at_once),
	KUNIT_CASE(layout_only_holders_in_the_range_are_told),
	KUNIT_CASE(layout_holder_with_many_pins_is_told_once),
	KUNIT_CASE(layout_holder_that_let_go_is_not_killed_for_another),
	KUNIT_CASE(layout_plain_lease_ends_at_the_deadline),
	KUNIT_CASE(layout_plain_lease_that_is_given_up_ends_the_wait),
	KUNIT_CASE(layout_plain_lease_is_nothing_to_its_holder_and_to_a_clone),
	KUNIT_CASE(layout_nonblocking_call_tells_and_does_not_wait),
	KUNIT_CASE(layout_abandoned_break_stands_5_s_longer_than_its_deadline),
	KUNIT_CASE(layout_abandoned_break_without_deadline_stands_60_s),
	KUNIT_CASE(layout_later_call_inherits_the_deadline),
	KUNIT_CASE(layout_later_call_tells_others_with_their_full_time),
	KUNIT_CASE(layout_later_call_goes_on_after_the_kill),
	KUNIT_CASE(layout_later_call_goes_on_after_the_exit),
	KUNIT_CASE(layout_later_call_after_the_deadline_kills_at_once),
	KUNIT_CASE(layout_later_call_after_the_expiry_begins_anew),
	KUNIT_CASE(layout_call_with_another_reason_inherits_nothing),
	KUNIT_CASE(layout_call_elsewhere_inherits_nothing),
	KUNIT_CASE(layout_break_absorbs_those_that_it_repeats),
	KUNIT_CASE(layout_break_that_absorbs_inherits_first),
	KUNIT_CASE(layout_break_that_begins_frees_the_expired),
	KUNIT_CASE(layout_abandoned_breaks_are_16_the_newest),
	KUNIT_CASE(layout_holder_is_told_of_the_oldest_break),
	{}
};

static struct kunit_suite layout_break_kunit_suite = {
	.name = "layout_break",
	.init = layout_kunit_init_clock,
	.exit = layout_kunit_exit,
	.test_cases = layout_break_kunit_cases,
};

kunit_test_suite(layout_break_kunit_suite);

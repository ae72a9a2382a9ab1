// SPDX-License-Identifier: GPL-2.0
/*
 * A walk over the layout leases, pins and breaks of the whole system, for those
 * who list them.
 *
 * The walk goes by file in the order of the registry, and within a file by
 * lease, by pin, by break.  It has a position and no place in any list: what it
 * stands on may go away, and the walk goes on with what follows.
 *
 * Invariants:
 *
 * - What stands during the whole walk is found exactly once, but for a pin that
 *   a registration in progress extends meanwhile.
 * - flc_lock is held for LAYOUT_WALK_STEPS pins at most, and the lock of the
 *   registry only to find the next file.
 * - A walk that has been stopped holds nothing but its position.  One that
 *   runs holds two leased files, by which umount may find the filesystem busy
 *   for a moment.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/sched.h>

#include "layout_internal.h"

/* Pins looked at under one hold of flc_lock. */
#define LAYOUT_WALK_STEPS	512

static bool layout_walk_wants(const struct layout_walk *walk,
			      enum layout_record_kind kind)
{
	return walk->kinds & BIT(kind);
}

static void layout_record_release(struct layout_record *rec)
{
	if (!rec->file)
		return;
	put_pid(rec->holder);
	put_pid(rec->breaker);
	layout_owner_put(rec->owner);
	fput(rec->file);
	rec->file = NULL;
}

/*
 * What all records have in common.  False for a lease whose file is being
 * closed: it goes away.
 */
static bool layout_record_fill_locked(struct layout_record *rec,
				      struct layout_lease *lease)
{
	layout_context_assert_held(lease->ll_context);
	*rec = (struct layout_record) {
		.file = get_file_active(&lease->ll_file),
		.fd = lease->ll_fd,
		.exclusive = lease->ll_exclusive,
		.nr_pins = lease->ll_nr_pins,
	};
	if (!rec->file)
		return false;
	rec->holder = get_pid(lease->ll_holder);
	return true;
}

/* The first lease at the position or behind it. */
static bool layout_walk_lease_locked(struct layout_walk *walk,
				     struct layout_context *lc)
{
	struct layout_lease *lease;
	struct layout_told *told;

	layout_context_assert_held(lc);
	list_for_each_entry(lease, &lc->lc_leases, ll_list) {
		if (lease->ll_id < walk->major ||
		    (walk->holder && lease->ll_holder != walk->holder))
			continue;
		walk->held = true;
		if (!layout_walk_wants(walk, LAYOUT_RECORD_LEASE))
			break;
		if (!layout_record_fill_locked(&walk->rec, lease))
			continue;
		walk->rec.kind = LAYOUT_RECORD_LEASE;
		walk->rec.breaking = layout_break_told_locked(lease, &told);
		walk->major = lease->ll_id;
		walk->minor = 0;
		return true;
	}
	return false;
}

/* The first pin of @lc in the tree at the position or behind it. */
static struct layout_pin *layout_walk_pin_at(struct layout_walk *walk,
					     struct layout_context *lc)
{
	struct rb_node *node = lc->lc_pins.rb_root.rb_node;
	struct layout_pin *pin, *found = NULL;

	while (node) {
		pin = rb_entry(node, struct layout_pin, lp_range.rb);
		if (pin->lp_range.start < walk->major ||
		    (pin->lp_range.start == walk->major &&
		     pin->lp_id < walk->minor)) {
			node = node->rb_right;
		} else {
			found = pin;
			node = node->rb_left;
		}
	}
	return found;
}

static bool layout_record_pin_locked(struct layout_walk *walk,
				     struct layout_pin *pin)
{
	if (!pin->lp_settled ||
	    (walk->holder && pin->lp_lease->ll_holder != walk->holder) ||
	    !layout_record_fill_locked(&walk->rec, pin->lp_lease))
		return false;
	walk->rec.kind = LAYOUT_RECORD_PIN;
	walk->rec.owner = layout_owner_get(pin->lp_owner);
	walk->rec.start = layout_range_start(pin->lp_first);
	walk->rec.end = layout_range_end(pin->lp_last);
	return true;
}

/*
 * The first pin wanted at the position or behind it.  @again: there may be one,
 * but flc_lock has been held for long enough.
 */
static bool layout_walk_pin_locked(struct layout_walk *walk,
				   struct layout_context *lc, bool *again)
{
	struct layout_pin *pin = layout_walk_pin_at(walk, lc);
	unsigned int steps = 0;
	struct rb_node *node;

	layout_context_assert_held(lc);
	while (pin) {
		walk->major = pin->lp_range.start;
		walk->minor = pin->lp_id;
		if (layout_record_pin_locked(walk, pin))
			return true;
		*again = ++steps == LAYOUT_WALK_STEPS;
		if (*again)
			return false;
		node = rb_next(&pin->lp_range.rb);
		pin = node ? rb_entry(node, struct layout_pin, lp_range.rb) :
			     NULL;
	}
	return false;
}

static bool layout_record_break_locked(struct layout_record *rec,
				       struct layout_break *brk,
				       const struct layout_told *told)
{
	struct layout_pin *pin = NULL;

	if (!told->lt_lease || !layout_record_fill_locked(rec, told->lt_lease))
		return false;
	rec->kind = LAYOUT_RECORD_BREAK;
	rec->breaker = get_pid(brk->lb_breaker);
	rec->uid = brk->lb_uid;
	rec->reason = brk->lb_reason;
	rec->start = layout_range_start(brk->lb_first);
	rec->end = layout_range_end(brk->lb_last);
	rec->left_ms = layout_left_ms(told->lt_deadline);
	rec->abandoned = brk->lb_expires;
	rec->nr_pins = 0;
	while ((pin = layout_pin_next(brk->lb_context, pin, brk->lb_first,
				      brk->lb_last)))
		if (pin->lp_lease == told->lt_lease)
			rec->nr_pins++;
	return true;
}

/* The first pending break, and lease told, at the position or behind it. */
static bool layout_walk_break_locked(struct layout_walk *walk,
				     struct layout_context *lc)
{
	u64 now = layout_now_ns();
	struct layout_break *brk;
	unsigned int i;

	layout_context_assert_held(lc);
	list_for_each_entry(brk, &lc->lc_breaks, lb_list) {
		if (brk->lb_seq < walk->major || layout_break_expired(brk, now))
			continue;
		for (i = brk->lb_seq == walk->major ? walk->minor : 0;
		     i < brk->lb_nr_told; i++) {
			if (!layout_record_break_locked(&walk->rec, brk,
							&brk->lb_told[i]))
				continue;
			walk->major = brk->lb_seq;
			walk->minor = i;
			return true;
		}
	}
	return false;
}

static bool layout_walk_kind_locked(struct layout_walk *walk,
				    struct layout_context *lc, bool *again)
{
	switch (walk->kind) {
	case LAYOUT_RECORD_LEASE:
		return layout_walk_lease_locked(walk, lc);
	case LAYOUT_RECORD_PIN:
		/* Nobody has pins where he has no lease. */
		return walk->held && layout_walk_wants(walk, LAYOUT_RECORD_PIN) &&
		       layout_walk_pin_locked(walk, lc, again);
	default:
		return layout_walk_wants(walk, LAYOUT_RECORD_BREAK) &&
		       layout_walk_break_locked(walk, lc);
	}
}

/* The first record of the file @walk stands on, at its position or behind it. */
static bool layout_walk_file(struct layout_walk *walk)
{
	struct layout_context *lc = layout_context(file_inode(walk->anchor));
	bool found, again;

	for (;;) {
		again = false;
		spin_lock(&lc->lc_flctx->flc_lock);
		found = layout_walk_kind_locked(walk, lc, &again);
		spin_unlock(&lc->lc_flctx->flc_lock);
		if (found)
			return true;
		cond_resched();
		if (again)
			continue;
		if (walk->kind == LAYOUT_RECORD_BREAK)
			return false;
		walk->kind++;
		walk->major = 0;
		walk->minor = 0;
	}
}

static void layout_walk_leave_file(struct layout_walk *walk)
{
	if (walk->anchor)
		fput(walk->anchor);
	walk->anchor = NULL;
}

static void layout_walk_enter_file(struct layout_walk *walk, u64 context)
{
	walk->context = context;
	walk->kind = LAYOUT_RECORD_LEASE;
	walk->major = 0;
	walk->minor = 0;
	walk->held = false;
}

/* The first record at the position or behind it. */
static struct layout_record *layout_walk_find(struct layout_walk *walk)
{
	u64 context;

	for (;;) {
		if (!walk->anchor) {
			context = walk->context;
			walk->anchor = layout_registry_file(&context);
			if (!walk->anchor)
				return NULL;
			if (context != walk->context)
				layout_walk_enter_file(walk, context);
		}
		if (layout_walk_file(walk))
			return &walk->rec;
		layout_walk_leave_file(walk);
		layout_walk_enter_file(walk, walk->context + 1);
	}
}

/**
 * layout_walk_start - begin a walk, or go on with it
 * @walk:   the walk
 * @rewind: begin with the first record, rather than with the one where
 *          layout_walk_stop() was called, or the next one if it is gone
 *
 * Context: Process context.  May sleep.
 * Return: The record, valid until layout_walk_next() or layout_walk_stop(), or
 *         NULL at the end.
 */
struct layout_record *layout_walk_start(struct layout_walk *walk, bool rewind)
{
	if (rewind)
		layout_walk_enter_file(walk, 0);
	return layout_walk_find(walk);
}

/**
 * layout_walk_next - go on with a walk
 * @walk: the walk, which stands on a record
 *
 * Context: Process context.  May sleep.
 * Return: The next record, valid until layout_walk_next() or
 *         layout_walk_stop(), or NULL at the end.
 */
struct layout_record *layout_walk_next(struct layout_walk *walk)
{
	layout_record_release(&walk->rec);
	if (walk->kind == LAYOUT_RECORD_LEASE)
		walk->major++;
	else
		walk->minor++;
	return layout_walk_find(walk);
}

/**
 * layout_walk_stop - interrupt a walk
 * @walk: the walk
 *
 * Context: Process context.
 */
void layout_walk_stop(struct layout_walk *walk)
{
	layout_record_release(&walk->rec);
	layout_walk_leave_file(walk);
}

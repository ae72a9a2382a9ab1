/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What leases, pins and breaks of one file share.
 *
 * Vocabulary: see include/linux/layout_lease.h.  "first" and "last" are page
 * offsets, both inclusive; "start" and "end" are bytes, end exclusive.
 *
 * Lock order:
 *
 *   inode->i_rwsem
 *     mmap_lock
 *       mapping->invalidate_lock
 *         flctx->flc_lock
 *           layout_leases_lock
 *             inode->i_lock
 *           fown->lock
 *             sighand->siglock
 *           lc_wait.lock
 *
 * flc_lock is never taken in an interrupt, and i_pages never inside it.
 */
#ifndef _FS_LAYOUT_INTERNAL_H
#define _FS_LAYOUT_INTERNAL_H

#include <linux/interval_tree.h>
#include <linux/layout_lease.h>
#include <linux/wait.h>

/**
 * struct layout_context - layout leases, pins and breaks of one inode
 * @lc_inode:     the inode.  Immutable
 * @lc_flctx:     its file lock context, whose flc_lock guards the rest.
 *                Immutable
 * @lc_leases:    layout leases, in the order in which they were granted
 * @lc_nr_leases: how many there are
 * @lc_pins:      pins of all leases, by page offset
 * @lc_breaks:    breaks, oldest first: those whose operation runs, and those
 *                that were abandoned and have not been reaped
 * @lc_break_seq: number of the newest break, see ll_break_seq
 * @lc_wait:      breakers, woken when the last pin of a breaker's range or a
 *                plain lease goes.  Has a lock of its own
 *
 * Allocated by the first layout lease of the inode, freed with its file lock
 * context.
 */
struct layout_context {
	struct inode *lc_inode;
	struct file_lock_context *lc_flctx;
	struct list_head lc_leases;
	unsigned int lc_nr_leases;
	u64 lc_break_seq;
	struct rb_root_cached lc_pins;
	struct list_head lc_breaks;
	wait_queue_head_t lc_wait;
};

/**
 * struct layout_lease - a layout lease on one open file
 * @ll_list:      entry in lc_leases.  flc_lock
 * @ll_global:    entry in the list of all layout leases.  layout_leases_lock
 * @ll_context:   state of the inode.  Immutable
 * @ll_file:      the open file.  No reference is held: a listed lease's file
 *                exists, but its count may have fallen to 0 already; use it
 *                under flc_lock or a pin.  Immutable
 * @ll_holder:    thread group that took the lease, as struct pid: a number
 *                would be reused.  Immutable
 * @ll_cred:      credentials of the holder when it agreed.  flc_lock
 * @ll_nr_pins:   pins under the lease.  Written under flc_lock
 * @ll_break_seq: number of the last break that told this lease.  flc_lock
 * @ll_fd:        descriptor given to F_SETLEASE.  flc_lock
 * @ll_exclusive: allows pins.  flc_lock
 * @ll_consent:   the holder agreed to be killed.  Never cleared.  flc_lock
 *
 * A lease with pins is not removed: each pin holds a reference on the file.
 */
struct layout_lease {
	struct list_head ll_list;
	struct list_head ll_global;
	struct layout_context *ll_context;
	struct file *ll_file;
	struct pid *ll_holder;
	const struct cred *ll_cred;
	unsigned long ll_nr_pins;
	u64 ll_break_seq;
	int ll_fd;
	bool ll_exclusive;
	bool ll_consent;
};

/**
 * struct layout_pin - one contiguous file range of one registration
 * @lp_range:   entry in lc_pins: whole DAX entries.  flc_lock
 * @lp_node:    entry in the layout_pins of the registration, whose owner
 *              guards it
 * @lp_lease:   lease that allows the pin.  Immutable
 * @lp_owner:   owner file whose teardown drops the pin; holds a reference.
 *              Immutable
 * @lp_first:   first page that was asked for.  flc_lock
 * @lp_last:    last page that was asked for.  flc_lock
 * @lp_settled: the pages are pinned and their DAX entries known.  Until then
 *              lp_range is an upper bound.  flc_lock
 *
 * Holds a reference on lp_lease->ll_file, and with it on inode and mount.
 */
struct layout_pin {
	struct interval_tree_node lp_range;
	struct llist_node lp_node;
	struct layout_lease *lp_lease;
	struct layout_owner *lp_owner;
	pgoff_t lp_first;
	pgoff_t lp_last;
	bool lp_settled;
};

/**
 * struct layout_told - a lease that a break has told
 * @lt_lease:    the lease, NULL once it is gone
 * @lt_deadline: CLOCK_MONOTONIC nanoseconds of its escalation, 0 for none
 * @lt_killed:   its holder has been killed
 *
 * flc_lock guards all of it.
 */
struct layout_told {
	struct layout_lease *lt_lease;
	u64 lt_deadline;
	bool lt_killed;
};

/**
 * struct layout_break - an operation that changes the layout of a range
 * @lb_list:     entry in lc_breaks.  flc_lock
 * @lb_context:  state of the inode.  Immutable
 * @lb_first:    first page of the range.  Immutable
 * @lb_last:     last page of the range, ULONG_MAX for "to the end".  Immutable
 * @lb_reason:   LAYOUT_BREAK_*.  Immutable
 * @lb_seq:      number of the break.  Immutable once listed
 * @lb_breaker:  thread group of the breaker.  Immutable
 * @lb_uid:      its uid.  Immutable
 * @lb_deadline: latest deadline among the leases told, 0 for none.  flc_lock
 * @lb_expires:  0 while the operation runs; once it was abandoned, the
 *               CLOCK_MONOTONIC nanosecond at which it is forgotten.  flc_lock
 * @lb_nr_told:  entries in use in @lb_told.  flc_lock
 * @lb_max_told: room in @lb_told.  Immutable
 * @lb_told:     the leases told.  flc_lock
 *
 * On the heap, since an abandoned break outlives its call.
 */
struct layout_break {
	struct list_head lb_list;
	struct layout_context *lb_context;
	pgoff_t lb_first;
	pgoff_t lb_last;
	unsigned int lb_reason;
	u64 lb_seq;
	struct pid *lb_breaker;
	kuid_t lb_uid;
	u64 lb_deadline;
	u64 lb_expires;
	unsigned int lb_nr_told;
	unsigned int lb_max_told;
	struct layout_told lb_told[] __counted_by(lb_max_told);
};

/*
 * The pin that follows @pin among those that overlap a range, the first one if
 * @pin is NULL; NULL at the end.
 */
static inline struct layout_pin *layout_pin_next(struct layout_context *lc,
						 struct layout_pin *pin,
						 pgoff_t first, pgoff_t last)
{
	struct interval_tree_node *node;

	node = pin ? interval_tree_iter_next(&pin->lp_range, first, last) :
		     interval_tree_iter_first(&lc->lc_pins, first, last);
	return node ? container_of(node, struct layout_pin, lp_range) : NULL;
}

static inline void layout_context_assert_held(struct layout_context *lc)
{
	lockdep_assert_held(&lc->lc_flctx->flc_lock);
}

/* Was @brk abandoned, and is its time over at @now? */
static inline bool layout_break_expired(const struct layout_break *brk, u64 now)
{
	return brk->lb_expires && brk->lb_expires <= now;
}

static inline bool layout_break_overlaps(const struct layout_break *brk,
					 pgoff_t first, pgoff_t last)
{
	return brk->lb_first <= last && first <= brk->lb_last;
}

/* A plain lease of another thread group: an escalating break ends it. */
static inline bool layout_lease_plain_other(const struct layout_lease *lease)
{
	return !lease->ll_exclusive && lease->ll_holder != task_tgid(current);
}

/* fs/locks.c */
extern int leases_enable;
extern int lease_break_time;
struct file_lock_context *locks_get_lock_context(struct inode *inode, int type);

/* fs/layout_lease.c */
bool layout_allowed(const struct inode *inode);
struct layout_lease *layout_lease_of_file_locked(struct layout_context *lc,
						 const struct file *file);
struct layout_lease *layout_lease_get_locked(struct layout_context *lc,
					     struct pid *holder);
void layout_lease_unlink_locked(struct layout_lease *lease);
void layout_lease_free(struct layout_lease *lease);

/* fs/layout_break.c */
bool layout_break_pending_locked(struct layout_context *lc, pgoff_t first,
				 pgoff_t last);
void layout_break_wake_locked(struct layout_context *lc, pgoff_t first,
			      pgoff_t last);
void layout_break_forget_lease_locked(struct layout_lease *lease);
struct layout_break *layout_break_told_locked(struct layout_lease *lease,
					      struct layout_told **toldp);
void layout_break_free(struct layout_break *brk);
const char *layout_break_name(const struct layout_break *brk);

/* fs/layout_escalate.c */
struct layout_told *layout_told_find(struct layout_break *brk,
				     const struct layout_lease *lease);
void layout_break_tell_locked(struct layout_break *brk,
			      struct list_head *dispose);
bool layout_break_blocked_locked(struct layout_break *brk);
int layout_break_wait(struct layout_break *brk);

#endif /* _FS_LAYOUT_INTERNAL_H */

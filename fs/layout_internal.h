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
 *           owner->lo_lock
 *           fown->lock
 *             sighand->siglock
 *           lc_wait.lock
 *
 * flc_lock is never taken in an interrupt, and i_pages never inside it.
 *
 * Breaks of a device begin with the lock of that device held, or mf_mutex, and
 * none of the above.  Whoever wakes a breaker through lc_wait or
 * pid->wait_pidfd may be in an interrupt, and hold tasklist_lock.
 */
#ifndef _FS_LAYOUT_INTERNAL_H
#define _FS_LAYOUT_INTERNAL_H

#include <linux/dax.h>
#include <linux/interval_tree.h>
#include <linux/ktime.h>
#include <linux/layout_lease.h>
#include <linux/refcount.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/xarray.h>

/**
 * struct layout_context - layout leases, pins and breaks of one inode
 * @lc_inode:     the inode.  Immutable
 * @lc_flctx:     its file lock context, whose flc_lock guards the rest.
 *                Immutable
 * @lc_registry:  entry in the registry of all files with a layout lease.
 *                layout_leases_lock
 * @lc_id:        key there, new each time.  layout_leases_lock
 * @lc_leases:    layout leases, in the order in which they were granted.
 *                Written under flc_lock and layout_leases_lock, read under
 *                either
 * @lc_nr_leases: how many there are.  Likewise
 * @lc_pins:      pins of all leases, by page offset, then lp_id
 * @lc_pin_seq:   the last lp_id
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
	struct rb_node lc_registry;
	u64 lc_id;
	struct list_head lc_leases;
	unsigned int lc_nr_leases;
	u64 lc_break_seq;
	u64 lc_pin_seq;
	struct rb_root_cached lc_pins;
	struct list_head lc_breaks;
	wait_queue_head_t lc_wait;
};

/**
 * struct layout_lease - a layout lease on one open file
 * @ll_list:      entry in lc_leases.  See there
 * @ll_id:        number of the grant.  Immutable once listed
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
 * @ll_revoked:   pins were revoked: allows none, and goes with the last one.
 *                Never cleared.  flc_lock
 *
 * A lease with pins is not removed: each pin holds a reference on the file.
 */
struct layout_lease {
	struct list_head ll_list;
	u64 ll_id;
	struct layout_context *ll_context;
	struct file *ll_file;
	struct pid *ll_holder;
	const struct cred *ll_cred;
	unsigned long ll_nr_pins;
	u64 ll_break_seq;
	int ll_fd;
	bool ll_exclusive;
	bool ll_consent;
	bool ll_revoked;
};

/**
 * struct layout_owner - the owner file of pins, as far as pins need it
 * @lo_refs:    references: the owner file's and one per pin
 * @lo_pins:    its settled pins, by lp_slot.  A pin leaves before it goes, so
 *              under xa_lock a pin found there stands.  flc_lock is not taken
 *              inside
 * @lo_lock:    guards @lo_revoke and @lo_file
 * @lo_revoke:  asks the owner file to drop its pins, NULL once it is closed
 * @lo_file:    what @lo_revoke wants
 * @lo_revoked: the pins have been revoked, and no more are taken.  Written
 *              under lo_lock
 * @lo_name:    "subsystem:name", as reports show it.  Immutable
 *
 * Does not hold the owner file, which holds the pins.
 */
struct layout_owner {
	refcount_t lo_refs;
	struct xarray lo_pins;
	spinlock_t lo_lock;	/* see above */
	layout_revoke_fn lo_revoke;
	void *lo_file;
	bool lo_revoked;
	char lo_name[];
};

/**
 * struct layout_pin - one contiguous file range of one registration
 * @lp_range:   entry in lc_pins: whole DAX entries.  flc_lock
 * @lp_node:    entry in the layout_pins of the registration, whose owner
 *              guards it
 * @lp_id:      orders pins that begin at the same entry: the tree enters each
 *              behind its equals.  flc_lock
 * @lp_lease:   lease that allows the pin.  Immutable
 * @lp_owner:   owner file whose teardown drops the pin; holds a reference.
 *              Immutable
 * @lp_first:   first page that was asked for.  Immutable
 * @lp_last:    last page that was asked for.  Written under flc_lock
 * @lp_slot:    index in the owner's list of pins, 0 while it is not there.
 *              Belongs to the registration
 * @lp_settled: the pages are pinned and their DAX entries known.  Until then
 *              lp_range is an upper bound.  flc_lock
 *
 * Holds a reference on lp_lease->ll_file, and with it on inode and mount.
 */
struct layout_pin {
	struct interval_tree_node lp_range;
	struct llist_node lp_node;
	u64 lp_id;
	struct layout_lease *lp_lease;
	struct layout_owner *lp_owner;
	pgoff_t lp_first;
	pgoff_t lp_last;
	u32 lp_slot;
	bool lp_settled;
};

/**
 * struct layout_told - a lease that a break has told
 * @lt_lease:     the lease, NULL once it is gone.  flc_lock
 * @lt_holder:    its holder.  Immutable
 * @lt_exit:      wakes whoever escalates when the holder exits.  Belongs to
 *                that one
 * @lt_deadline:  CLOCK_MONOTONIC nanoseconds of its escalation, 0 for none.
 *                flc_lock
 * @lt_revoke_at: when its pins are to be revoked, likewise.  flc_lock
 * @lt_escalated: the deadline has passed, and the holder has been killed if it
 *                had agreed.  flc_lock
 * @lt_gone:      the holder has exited.  flc_lock
 * @lt_revoked:   the pins have been revoked.  flc_lock
 */
struct layout_told {
	struct layout_lease *lt_lease;
	struct pid *lt_holder;
	wait_queue_entry_t lt_exit;
	u64 lt_deadline;
	u64 lt_revoke_at;
	bool lt_escalated;
	bool lt_gone;
	bool lt_revoked;
};

/**
 * struct layout_break - an operation that changes the layout of a range
 * @lb_list:     entry in lc_breaks.  flc_lock
 * @lb_context:  state of the inode.  Immutable
 * @lb_first:    first page of the range.  Immutable
 * @lb_last:     last page of the range, ULONG_MAX for "to the end".  Immutable
 * @lb_reason:   LAYOUT_BREAK_*.  Immutable
 * @lb_spares:   nobody is killed, only revoked.  Immutable once listed
 * @lb_seq:      number of the break.  Immutable once listed
 * @lb_breaker:  thread group of the breaker.  Immutable
 * @lb_uid:      its uid.  Immutable
 * @lb_deadline: latest deadline among the leases told, 0 for none.  flc_lock
 * @lb_waited:   nanoseconds for which the breaker has waited.  Its own
 * @lb_expires:  0 while the operation runs; once it was abandoned, the
 *               CLOCK_MONOTONIC nanosecond at which it is forgotten.  flc_lock
 * @lb_nr_told:  entries in use in @lb_told.  Immutable once listed
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
	bool lb_spares;
	u64 lb_seq;
	struct pid *lb_breaker;
	kuid_t lb_uid;
	u64 lb_deadline;
	u64 lb_waited;
	u64 lb_expires;
	unsigned int lb_nr_told;
	unsigned int lb_max_told;
	struct layout_told lb_told[] __counted_by(lb_max_told);
};

/**
 * enum layout_record_kind - what a walk over all leased files comes by
 * @LAYOUT_RECORD_LEASE: a layout lease
 * @LAYOUT_RECORD_PIN:   a pin
 * @LAYOUT_RECORD_BREAK: a pending break, once per lease that it has told
 */
enum layout_record_kind {
	LAYOUT_RECORD_LEASE,
	LAYOUT_RECORD_PIN,
	LAYOUT_RECORD_BREAK,
};

/**
 * struct layout_record - what a walk has found, as it was at that moment
 * @file:      the leased file, referenced
 * @holder:    thread group that took the lease, referenced
 * @owner:     pin: owner file that keeps it, referenced; else NULL
 * @breaker:   break: thread group of the breaker, referenced; else NULL
 * @kind:      what the rest is about
 * @reason:    break: LAYOUT_BREAK_*
 * @uid:       break: uid of the breaker
 * @start:     pin, break: first byte of the range
 * @end:       one past its last byte, ~0ULL for "to the end"
 * @left_ms:   break: milliseconds to the escalation, -1 for no deadline
 * @nr_pins:   pins under the lease; break: those in its range
 * @fd:        descriptor given to F_SETLEASE
 * @exclusive: the lease is
 * @breaking:  lease: a break is pending
 * @abandoned: break: its caller was interrupted
 */
struct layout_record {
	struct file *file;
	struct pid *holder;
	struct layout_owner *owner;
	struct pid *breaker;
	enum layout_record_kind kind;
	unsigned int reason;
	kuid_t uid;
	u64 start;
	u64 end;
	s64 left_ms;
	unsigned long nr_pins;
	int fd;
	bool exclusive;
	bool breaking;
	bool abandoned;
};

/**
 * struct layout_walk - a walk over all leased files of the system
 * @kinds:   mask of the kinds of records wanted, by enum layout_record_kind
 * @holder:  the thread group that the records shall belong to, or NULL
 * @context: id of the layout state where the walk is
 * @kind:    kind of the record there
 * @major:   its lease id, first page of its pin's entry, or number of its break
 * @minor:   its pin id, or the index of the lease among those that were told
 * @held:    @holder has a lease on this file
 * @anchor:  a leased file that keeps the layout state, or NULL
 * @rec:     the record
 *
 * Belongs to whoever walks.  All zeroes but @kinds and @holder is the
 * beginning.  Between layout_walk_stop() and layout_walk_start() it is nothing
 * but a position.
 */
struct layout_walk {
	unsigned int kinds;
	struct pid *holder;
	u64 context;
	enum layout_record_kind kind;
	u64 major;
	u64 minor;
	bool held;
	struct file *anchor;
	struct layout_record rec;
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

static inline u64 layout_range_start(pgoff_t first)
{
	return (u64)first << PAGE_SHIFT;
}

/* One past the last byte, ~0ULL for "to the end, however large". */
static inline u64 layout_range_end(pgoff_t last)
{
	return last == ULONG_MAX ? ~0ULL : ((u64)last + 1) << PAGE_SHIFT;
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

/*
 * Is the device of a DAX file about to go?  Tested under flc_lock before a pin is
 * entered; pairs with layout_device_remove(), which looks for pins under
 * flc_lock after kill_dax() has said so.
 */
static inline bool layout_device_dying(struct inode *inode)
{
	return dax_dying(inode->i_sb->s_op->dax_device(inode));
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

/* fs/layout_policy.c */
bool layout_allowed(const struct inode *inode);
struct file *layout_registry_file(u64 *idp);
int layout_registry_add_locked(struct layout_lease *lease);
void layout_registry_del_locked(struct layout_lease *lease);

/* fs/layout_lease.c */
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
struct layout_break *layout_break_prepare(struct layout_context *lc,
					  pgoff_t first, pgoff_t last,
					  unsigned int reason, gfp_t gfp)
	__acquires(&lc->lc_flctx->flc_lock);
void layout_break_start_locked(struct layout_break *brk,
			       struct list_head *dispose);
void layout_break_dispose(struct list_head *dispose);
void layout_break_free(struct layout_break *brk);
const char *layout_reason_name(unsigned int reason);

/* fs/layout_report.c */
u64 layout_now_ns(void);
s64 layout_left_ms(u64 deadline);
bool layout_pid_alive(struct pid *tgid);

#ifdef CONFIG_LAYOUT_LEASE
/* fs/layout_report.c */
void layout_locks_show(struct seq_file *m, const struct layout_record *rec,
		       loff_t id);

/* fs/layout_walk.c */
struct layout_record *layout_walk_start(struct layout_walk *walk, bool rewind);
struct layout_record *layout_walk_next(struct layout_walk *walk);
void layout_walk_stop(struct layout_walk *walk);
#else
/* For fs/locks.c: there is nothing to walk over. */
static inline void layout_locks_show(struct seq_file *m,
				     const struct layout_record *rec, loff_t id)
{
}

static inline struct layout_record *layout_walk_start(struct layout_walk *walk,
						      bool rewind)
{
	return NULL;
}

static inline struct layout_record *layout_walk_next(struct layout_walk *walk)
{
	return NULL;
}

static inline void layout_walk_stop(struct layout_walk *walk)
{
}
#endif

/* fs/layout_revoke.c */
int layout_revoke_pins(struct pid *holder, bool file, dev_t dev,
		       unsigned long ino);

/* mm/layout_grab.c */
unsigned long layout_grab_mapped(struct vm_area_struct *vma, unsigned long addr,
				 unsigned long nr_pages, struct page **pages);

/* mm/layout_pin.c */
struct layout_pin *layout_pin_alloc(void);
bool layout_owner_revoke(struct layout_owner *owner);

/* fs/layout_escalate.c */
struct layout_told *layout_told_find(struct layout_break *brk,
				     const struct layout_lease *lease);
void layout_break_tell_locked(struct layout_break *brk,
			      struct list_head *dispose);
u64 layout_break_escalate_locked(struct layout_break *brk,
				 struct list_head *dead);
void layout_leases_dispose(struct list_head *dead);
bool layout_break_blocked_locked(struct layout_break *brk);
void layout_break_watch_exits(struct layout_break *brk, wait_queue_func_t wake,
			      void *private);
void layout_break_unwatch_exits(struct layout_break *brk);
int layout_break_wait(struct layout_break *brk);

#if IS_ENABLED(CONFIG_KUNIT)
/* fs/layout_escalate.c, which a test of the escalation replaces */
int layout_lease_kill_locked(struct layout_break *brk,
			     struct layout_lease *lease);
void layout_lease_signal(struct layout_lease *lease, int signum);
void layout_break_sleep(ktime_t until);
#endif

#endif /* _FS_LAYOUT_INTERNAL_H */

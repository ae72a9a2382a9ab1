// SPDX-License-Identifier: GPL-2.0
/*
 * Breaking layouts: what an operation does that takes blocks away from a file
 * while a device may be writing to them.
 *
 * layout_break_begin() and layout_break_end() bracket such an operation.  Begin
 * lists a break, tells the holders of pins in the range, kills those who agreed
 * to it when they have not let go at their deadline, revokes what a kill does
 * not free, and returns when no pin stands in the range.
 * fs/layout_escalate.c tells, kills, revokes and waits.
 *
 * Invariants:
 *
 * - While a break is listed, no pin can enter its range.  So there is no window
 *   between "no pins" and the filesystem's own locks.
 * - Begin waits with no inode lock and no freeze protection held: the holder
 *   may need either to let go.
 * - An operation that is refused leaves no trace.
 *
 * Begin, the operation of holder H and the breaker B in time:
 *
 *   B  list break      tell H               sleep        woken: operate, end
 *   H           (new pins: EAGAIN)  signal  unpin last
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include <trace/events/layout_lease.h>

#include "layout_internal.h"

/* How long an abandoned break is remembered after its deadline, and without. */
#define LAYOUT_ABANDONED_AFTER_DEADLINE_NS	(5 * NSEC_PER_SEC)
#define LAYOUT_ABANDONED_NO_DEADLINE_NS		(60 * NSEC_PER_SEC)
/* Abandoned breaks remembered per file. */
#define LAYOUT_ABANDONED_MAX			16

/**
 * struct layout_break_reason - what breaks layouts, and how far it may go
 * @name:      spelling in reports
 * @escalates: holders are told and in the end killed; otherwise the operation
 *             is refused
 */
struct layout_break_reason {
	const char *name;
	bool escalates;
};

static const struct layout_break_reason layout_break_reasons[] = {
	[LAYOUT_BREAK_TRUNCATE]		= { "truncate", true },
	[LAYOUT_BREAK_PUNCH_HOLE]	= { "punch_hole", true },
	[LAYOUT_BREAK_ZERO_RANGE]	= { "zero_range", true },
	[LAYOUT_BREAK_COLLAPSE_RANGE]	= { "collapse_range", true },
	[LAYOUT_BREAK_INSERT_RANGE]	= { "insert_range", true },
	[LAYOUT_BREAK_CLONE]		= { "clone", false },
	[LAYOUT_BREAK_DEDUPE]		= { "dedupe", false },
	[LAYOUT_BREAK_EXCHANGE]		= { "exchange", false },
	[LAYOUT_BREAK_ATTR]		= { "attr", false },
	[LAYOUT_BREAK_DEVICE]		= { "device", true },
};

/**
 * layout_reason_name - spelling of the reason for a break
 * @reason: LAYOUT_BREAK_*
 *
 * Context: Any.
 * Return: The spelling.
 */
const char *layout_reason_name(unsigned int reason)
{
	return layout_break_reasons[reason].name;
}

static bool layout_break_escalates(const struct layout_break *brk)
{
	return layout_break_reasons[brk->lb_reason].escalates;
}

static pgoff_t layout_last_page(loff_t end)
{
	return end == LLONG_MAX ? ULONG_MAX : (end - 1) >> PAGE_SHIFT;
}

static struct layout_break *layout_break_alloc(struct layout_context *lc,
					       pgoff_t first, pgoff_t last,
					       unsigned int reason,
					       unsigned int max_told, gfp_t gfp)
{
	struct layout_break *brk;

	brk = kvzalloc(struct_size(brk, lb_told, max_told), gfp);
	if (!brk)
		return NULL;
	brk->lb_max_told = max_told;
	brk->lb_context = lc;
	brk->lb_first = first;
	brk->lb_last = last;
	brk->lb_reason = reason;
	brk->lb_breaker = get_pid(task_tgid(current));
	brk->lb_uid = current_uid();
	return brk;
}

/**
 * layout_break_free - free a break
 * @brk: a break that is not listed, or whose list goes too
 *
 * Context: Process context.  May sleep.
 */
void layout_break_free(struct layout_break *brk)
{
	unsigned int i;

	for (i = 0; i < brk->lb_nr_told; i++)
		put_pid(brk->lb_told[i].lt_holder);
	put_pid(brk->lb_breaker);
	kvfree(brk);
}

/**
 * layout_break_dispose - free breaks
 * @dispose: breaks that are listed nowhere else
 *
 * Context: Process context.  May sleep.
 */
void layout_break_dispose(struct list_head *dispose)
{
	struct layout_break *brk, *next;

	list_for_each_entry_safe(brk, next, dispose, lb_list)
		layout_break_free(brk);
}

/* Forget abandoned breaks whose time has come. */
static void layout_break_reap_locked(struct layout_context *lc,
				     struct list_head *dispose)
{
	u64 now = layout_now_ns();
	struct layout_break *brk, *next;

	layout_context_assert_held(lc);
	list_for_each_entry_safe(brk, next, &lc->lc_breaks, lb_list)
		if (layout_break_expired(brk, now))
			list_move(&brk->lb_list, dispose);
}

/**
 * layout_break_pending_locked - is a break pending on a range?
 * @lc:    layout state of the inode
 * @first: first page
 * @last:  last page
 *
 * Context: flc_lock is held.
 * Return: true if it is: no pin may enter the range.
 */
bool layout_break_pending_locked(struct layout_context *lc, pgoff_t first,
				 pgoff_t last)
{
	struct layout_break *brk;
	u64 now;

	layout_context_assert_held(lc);
	if (list_empty(&lc->lc_breaks))
		return false;
	now = layout_now_ns();
	list_for_each_entry(brk, &lc->lc_breaks, lb_list)
		if (layout_break_overlaps(brk, first, last) &&
		    !layout_break_expired(brk, now))
			return true;
	return false;
}

/**
 * layout_break_wake_locked - wake the breakers whose range has become free
 * @lc:    layout state of the inode
 * @first: first page of a range from which a pin has gone
 * @last:  its last page
 *
 * Context: flc_lock is held.
 */
void layout_break_wake_locked(struct layout_context *lc, pgoff_t first,
			      pgoff_t last)
{
	struct layout_break *brk;

	layout_context_assert_held(lc);
	list_for_each_entry(brk, &lc->lc_breaks, lb_list) {
		if (layout_break_overlaps(brk, first, last) &&
		    !interval_tree_iter_first(&lc->lc_pins, brk->lb_first,
					      brk->lb_last)) {
			wake_up_all(&lc->lc_wait);
			return;
		}
	}
}

/**
 * layout_break_forget_lease_locked - no break refers to a lease any more
 * @lease: the lease
 *
 * Context: flc_lock is held.
 */
void layout_break_forget_lease_locked(struct layout_lease *lease)
{
	struct layout_context *lc = lease->ll_context;
	struct layout_break *brk;
	struct layout_told *told;

	layout_context_assert_held(lc);
	list_for_each_entry(brk, &lc->lc_breaks, lb_list) {
		told = layout_told_find(brk, lease);
		if (told)
			told->lt_lease = NULL;
	}
}

/**
 * layout_break_told_locked - the oldest pending break that has told a lease
 * @lease: the lease
 * @toldp: receives what the break has on the lease
 *
 * Context: flc_lock is held.
 * Return: The break, or NULL.
 */
struct layout_break *layout_break_told_locked(struct layout_lease *lease,
					      struct layout_told **toldp)
{
	struct layout_context *lc = lease->ll_context;
	struct layout_break *brk;
	u64 now = layout_now_ns();

	layout_context_assert_held(lc);
	list_for_each_entry(brk, &lc->lc_breaks, lb_list) {
		if (layout_break_expired(brk, now))
			continue;
		*toldp = layout_told_find(brk, lease);
		if (*toldp)
			return brk;
	}
	return NULL;
}

/* A plain lease wants to be told, which not everybody can do. */
static int layout_plain_check_locked(struct layout_context *lc)
{
	struct layout_lease *lease;

	layout_context_assert_held(lc);
	list_for_each_entry(lease, &lc->lc_leases, ll_list)
		if (layout_lease_plain_other(lease))
			return -ETXTBSY;
	return 0;
}

/*
 * May the operation go ahead at all?  -EDEADLK and -ETXTBSY leave no trace.
 * Pins that are not settled decide nothing: once @brk is listed they either
 * turn out to lie outside its range or are undone.
 */
static int layout_break_admit_locked(struct layout_break *brk,
				     unsigned int flags)
{
	struct layout_context *lc = brk->lb_context;
	bool wins = layout_break_escalates(brk) &&
		    !(flags & LAYOUT_BREAK_NOSTART);
	struct layout_pin *pin = NULL;
	int error = 0;

	layout_context_assert_held(lc);
	while ((pin = layout_pin_next(lc, pin, brk->lb_first, brk->lb_last))) {
		if (wins && !pin->lp_settled)
			continue;
		if (pin->lp_lease->ll_holder == task_tgid(current))
			return -EDEADLK;
		if (!wins || layout_policy(lc->lc_inode) == LAYOUT_POLICY_DENY)
			error = -ETXTBSY;
	}
	if (error || !(flags & LAYOUT_BREAK_NOSTART) ||
	    !layout_break_escalates(brk))
		return error;
	return layout_plain_check_locked(lc);
}

/**
 * layout_break_start_locked - list a break, and tell everybody whom it concerns
 * @brk:     what layout_break_prepare() has returned
 * @dispose: receives breaks for layout_break_dispose(), once flc_lock is dropped
 *
 * Context: flc_lock is held, since layout_break_prepare().
 */
void layout_break_start_locked(struct layout_break *brk,
			       struct list_head *dispose)
{
	struct layout_context *lc = brk->lb_context;

	layout_context_assert_held(lc);
	layout_break_reap_locked(lc, dispose);
	brk->lb_seq = ++lc->lc_break_seq;
	list_add_tail(&brk->lb_list, &lc->lc_breaks);
	trace_break_begin(brk);
	if (layout_break_escalates(brk))
		layout_break_tell_locked(brk, dispose);
}

/*
 * The breaker goes away, the break stays for a while, so that the holder that
 * is letting go finds it, and pins do not come back in between two attempts.
 */
static void layout_break_abandon(struct layout_break *brk, int error)
{
	struct layout_context *lc = brk->lb_context;
	struct layout_break *other, *oldest = NULL;
	unsigned int nr_abandoned = 0;

	trace_break_end(brk, error);
	spin_lock(&lc->lc_flctx->flc_lock);
	brk->lb_expires = brk->lb_deadline ?
		brk->lb_deadline + LAYOUT_ABANDONED_AFTER_DEADLINE_NS :
		layout_now_ns() + LAYOUT_ABANDONED_NO_DEADLINE_NS;
	list_for_each_entry(other, &lc->lc_breaks, lb_list) {
		if (!other->lb_expires)
			continue;
		nr_abandoned++;
		if (!oldest)
			oldest = other;
	}
	if (nr_abandoned > LAYOUT_ABANDONED_MAX)
		list_del(&oldest->lb_list);
	else
		oldest = NULL;
	spin_unlock(&lc->lc_flctx->flc_lock);
	if (oldest)
		layout_break_free(oldest);
}

/**
 * layout_break_prepare - a break that is not listed yet
 * @lc:     layout state of the inode
 * @first:  first page
 * @last:   last page
 * @reason: LAYOUT_BREAK_*
 * @gfp:    how to allocate it
 *
 * Context: Process context.  May sleep.  On return flc_lock is held: the break
 *          has room for all leases that there are.
 * Return: The break, or NULL if there is no memory.
 */
struct layout_break *layout_break_prepare(struct layout_context *lc,
					  pgoff_t first, pgoff_t last,
					  unsigned int reason, gfp_t gfp)
	__acquires(&lc->lc_flctx->flc_lock)
{
	unsigned int max_told = READ_ONCE(lc->lc_nr_leases);
	struct layout_break *brk;

	for (;;) {
		brk = layout_break_alloc(lc, first, last, reason, max_told, gfp);
		spin_lock(&lc->lc_flctx->flc_lock);
		if (!brk || lc->lc_nr_leases <= brk->lb_max_told)
			return brk;
		max_told = lc->lc_nr_leases;
		spin_unlock(&lc->lc_flctx->flc_lock);
		layout_break_free(brk);
	}
}

/*
 * List a break for the arguments of layout_break_begin(), unless refused.
 * @blocked tells whether it has to wait.
 */
static int layout_break_list(struct layout_context *lc, loff_t start,
			     loff_t end, unsigned int reason,
			     unsigned int flags, struct layout_break **brkp,
			     bool *blocked)
{
	struct layout_break *brk;
	LIST_HEAD(dispose);
	int error;

	*blocked = false;
	brk = layout_break_prepare(lc, start >> PAGE_SHIFT,
				   layout_last_page(end), reason,
				   GFP_KERNEL_ACCOUNT);
	if (!brk) {
		spin_unlock(&lc->lc_flctx->flc_lock);
		return -ENOMEM;
	}
	error = layout_break_admit_locked(brk, flags);
	if (!error) {
		layout_break_start_locked(brk, &dispose);
		*blocked = layout_break_blocked_locked(brk);
	}
	spin_unlock(&lc->lc_flctx->flc_lock);

	layout_break_dispose(&dispose);
	if (error) {
		trace_break_deny(brk, error);
		layout_break_free(brk);
		return error;
	}
	*brkp = brk;
	return 0;
}

/* layout_break_begin() for an inode with layout state. */
static int __layout_break_begin(struct layout_context *lc, loff_t start,
				loff_t end, unsigned int reason,
				unsigned int flags, struct layout_break **brkp)
{
	struct layout_break *brk;
	bool blocked;
	int error;

	error = layout_break_list(lc, start, end, reason, flags, &brk,
				  &blocked);
	if (error)
		return error;
	if (blocked)
		error = flags & LAYOUT_BREAK_NONBLOCK ? -EWOULDBLOCK :
							layout_break_wait(brk);
	if (error)
		layout_break_abandon(brk, error);
	else
		*brkp = brk;
	return error;
}

/**
 * layout_break_begin - open the bracket around a change of a file's layout
 * @inode:  the inode
 * @start:  first byte of the range; its whole page is meant
 * @end:    one past the last byte, LLONG_MAX for "to the end, however large"
 * @reason: LAYOUT_BREAK_*
 * @flags:  enum layout_break_flags
 * @brkp:   receives what to pass to layout_break_end(), NULL where there is
 *          nothing to end
 *
 * Returns with no pin in the range, and none can enter it until the end of the
 * bracket.  To be called after every check that needs no inode lock, so that an
 * operation that is going to be refused breaks nothing; what was checked before
 * may have changed on return.
 *
 * Context: Process context.  Sleeps, interruptibly and for as long as a pin
 *          stands, if the reason escalates, else not at all.  No inode lock and
 *          no freeze protection may be held if it does.
 * Return: 0, -EDEADLK if a pin of the caller's own thread group is in the way,
 *         -ETXTBSY if another's is and the policy, the reason or @flags do not
 *         let the caller wait for it, -EWOULDBLOCK if @flags say so and the
 *         break has been started, -ERESTARTSYS or -EINTR for a signal,
 *         -ENOMEM.
 */
int layout_break_begin(struct inode *inode, loff_t start, loff_t end,
		       unsigned int reason, unsigned int flags,
		       struct layout_break **brkp)
{
	struct layout_context *lc = layout_context(inode);

	*brkp = NULL;
	if (!lc)
		return 0;
	/* nfsd, cachefiles and the like would keep others waiting. */
	if ((current->flags & PF_KTHREAD) || (inode->i_flags & S_KERNEL_FILE))
		flags |= LAYOUT_BREAK_NOSTART;

	return __layout_break_begin(lc, start, end, reason, flags, brkp);
}

/**
 * __layout_break_end - layout_break_end() for a break that exists
 * @brk: the break
 *
 * Context: Process context.
 */
void __layout_break_end(struct layout_break *brk)
{
	struct layout_context *lc = brk->lb_context;

	trace_break_end(brk, 0);
	spin_lock(&lc->lc_flctx->flc_lock);
	list_del(&brk->lb_list);
	spin_unlock(&lc->lc_flctx->flc_lock);
	layout_break_free(brk);
}

/* Nobody has begun a break: report as if somebody had. */
static void layout_check_denied(struct layout_context *lc, pgoff_t first,
				pgoff_t last, unsigned int reason, int error)
{
	struct layout_break brk = {
		.lb_context = lc,
		.lb_first = first,
		.lb_last = last,
		.lb_reason = reason,
		.lb_breaker = task_tgid(current),
		.lb_uid = current_uid(),
	};

	trace_break_deny(&brk, error);
}

/**
 * __layout_break_check - layout_break_check() for an inode with layout state
 * @inode:  the inode
 * @start:  first byte
 * @end:    one past the last byte, LLONG_MAX for "to the end, however large"
 * @reason: LAYOUT_BREAK_*, for reports
 *
 * Context: Process context, any lock of the filesystem may be held.
 * Return: As layout_break_check().
 */
int __layout_break_check(struct inode *inode, loff_t start, loff_t end,
			 unsigned int reason)
{
	struct layout_context *lc = layout_context(inode);
	pgoff_t first = start >> PAGE_SHIFT;
	pgoff_t last = layout_last_page(end);
	struct layout_pin *pin = NULL;
	int error = 0;

	spin_lock(&lc->lc_flctx->flc_lock);
	while ((pin = layout_pin_next(lc, pin, first, last))) {
		error = -ETXTBSY;
		if (pin->lp_lease->ll_holder == task_tgid(current)) {
			error = -EDEADLK;
			break;
		}
	}
	spin_unlock(&lc->lc_flctx->flc_lock);
	if (error)
		layout_check_denied(lc, first, last, reason, error);
	return error;
}
EXPORT_SYMBOL_GPL(__layout_break_check);

/**
 * __layout_pinned - layout_pinned() for an inode with layout state
 * @inode: the inode
 * @first: first page of the range
 * @last:  last page of the range
 *
 * Context: Process context.  Not with the i_pages lock held.
 * Return: As layout_pinned().
 */
bool __layout_pinned(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct layout_context *lc = layout_context(inode);
	bool pinned;

	spin_lock(&lc->lc_flctx->flc_lock);
	pinned = layout_pin_next(lc, NULL, first, last);
	spin_unlock(&lc->lc_flctx->flc_lock);
	return pinned;
}

/**
 * __layout_plain_check - layout_setattr_check() where blocks would go
 * @inode: an inode with layout state
 *
 * Context: Process context.
 * Return: As layout_setattr_check().
 */
int __layout_plain_check(struct inode *inode)
{
	struct layout_context *lc = layout_context(inode);
	int error;

	spin_lock(&lc->lc_flctx->flc_lock);
	error = layout_plain_check_locked(lc);
	spin_unlock(&lc->lc_flctx->flc_lock);
	return error;
}

#ifdef CONFIG_LAYOUT_LEASE_KUNIT_TEST
#include "tests/layout_range_kunit.c"
#include "tests/layout_admit_kunit.c"
#include "tests/layout_break_kunit.c"
#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * Breaking layouts: who is told, who is killed, what is revoked, and what the
 * breaker waits for.
 *
 * Invariants:
 *
 * - Only a breaker that waits kills, or a device, and only the thread group that
 *   the lease has latched, and only if that agreed.
 * - A deadline belongs to a break and a lease: who was told by a call that was
 *   interrupted is not given more time by the next one.
 * - There is no timer.  A breaker sleeps until its next deadline, its wake-up or
 *   the exit of a holder, everybody else compares the clock.  A device has
 *   nobody who sleeps, and a work item instead: fs/layout_device.c.
 * - What a kill does not free is revoked through the owner file: a process that
 *   merely has that file never agreed to anything, and lives on.
 *
 * What becomes of a lease that has been told, each step skipped where it does
 * not apply:
 *
 *   told      -> escalated   at its deadline: a holder that agreed is killed
 *   escalated -> revoked     5 s after the kill; at once if there was none
 *   any       -> revoked     1 s after the holder has exited; at once if it was
 *                            gone when the break began
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cred.h>
#include <linux/hrtimer.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/timekeeping.h>

#include <trace/events/layout_lease.h>

#include "layout_internal.h"

/* How long a holder has to die, and then its files to be closed. */
#define LAYOUT_REVOKE_AFTER_KILL_NS	(5 * NSEC_PER_SEC)
#define LAYOUT_REVOKE_AFTER_EXIT_NS	(1 * NSEC_PER_SEC)

/**
 * layout_told_find - what a break has told a lease
 * @brk:   the break
 * @lease: the lease
 *
 * Context: flc_lock is held.
 * Return: What it has on the lease, or NULL.
 */
struct layout_told *layout_told_find(struct layout_break *brk,
				     const struct layout_lease *lease)
{
	unsigned int i;

	layout_context_assert_held(brk->lb_context);
	for (i = 0; i < brk->lb_nr_told; i++)
		if (brk->lb_told[i].lt_lease == lease)
			return &brk->lb_told[i];
	return NULL;
}

/* Does @lease have a pin in the range of @brk? */
static bool layout_lease_pinned_locked(struct layout_break *brk,
				       const struct layout_lease *lease)
{
	struct layout_context *lc = brk->lb_context;
	struct layout_pin *pin = NULL;

	layout_context_assert_held(lc);
	if (!lease->ll_nr_pins)
		return false;
	while ((pin = layout_pin_next(lc, pin, brk->lb_first, brk->lb_last)))
		if (pin->lp_lease == lease)
			return true;
	return false;
}

/*
 * May the taker of @lease signal its holder still?  The rule of kill(2), with
 * the credentials of the time when the holder agreed.
 */
static bool layout_lease_may_kill(const struct layout_lease *lease,
				  struct task_struct *holder)
{
	const struct cred *cred = lease->ll_cred;
	const struct cred *tcred = __task_cred(holder);

	if (is_global_init(holder))
		return false;
	return uid_eq(cred->euid, tcred->suid) ||
	       uid_eq(cred->euid, tcred->uid) ||
	       uid_eq(cred->uid, tcred->suid) ||
	       uid_eq(cred->uid, tcred->uid) ||
	       !security_capable(cred, tcred->user_ns, CAP_KILL,
				 CAP_OPT_NOAUDIT);
}

/* The name of the breaker, for which a work item may be acting.  Under RCU. */
static const char *layout_breaker_comm(const struct layout_break *brk)
{
	struct task_struct *breaker = pid_task(brk->lb_breaker, PIDTYPE_TGID);

	return breaker ? breaker->comm : "gone";
}

/*
 * Kill the holder of @lease, which has agreed to it.  Permission was given by
 * the consent and is checked against the credentials that gave it: the checks
 * of kill_pid_info() would look at the breaker's, and drop the signal.
 */
VISIBLE_IF_KUNIT int layout_lease_kill_locked(struct layout_break *brk,
					      struct layout_lease *lease)
{
	struct inode *inode = lease->ll_context->lc_inode;
	struct task_struct *holder;
	int error = -ESRCH;

	KUNIT_STATIC_STUB_REDIRECT(layout_lease_kill_locked, brk, lease);

	layout_context_assert_held(lease->ll_context);
	rcu_read_lock();
	holder = pid_task(lease->ll_holder, PIDTYPE_TGID);
	if (holder)
		error = layout_lease_may_kill(lease, holder) ?
			do_send_sig_info(SIGKILL, SEND_SIG_PRIV, holder,
					 PIDTYPE_TGID) : -EPERM;
	trace_break_kill(brk, lease, error);
	pr_notice_ratelimited("layout_lease: %s holder %d (%s) for breaker %d (%s): %s of %pD, %s inode %lu, range 0x%llx-0x%llx\n",
			      error ? "could not kill" : "killed",
			      pid_nr(lease->ll_holder),
			      holder ? holder->comm : "gone",
			      pid_nr(brk->lb_breaker), layout_breaker_comm(brk),
			      layout_reason_name(brk->lb_reason),
			      lease->ll_file, inode->i_sb->s_id, inode->i_ino,
			      layout_range_start(brk->lb_first),
			      layout_range_end(brk->lb_last));
	rcu_read_unlock();
	return error;
}

static void layout_log_revoked(struct layout_break *brk,
			       struct layout_lease *lease,
			       const struct layout_owner *owner)
{
	struct inode *inode = lease->ll_context->lc_inode;

	trace_break_revoke(brk, lease, owner);
	rcu_read_lock();
	pr_notice_ratelimited("layout_lease: revoked %s of holder %d for breaker %d (%s): %s of %pD, %s inode %lu, range 0x%llx-0x%llx\n",
			      owner->lo_name, pid_nr(lease->ll_holder),
			      pid_nr(brk->lb_breaker), layout_breaker_comm(brk),
			      layout_reason_name(brk->lb_reason),
			      lease->ll_file, inode->i_sb->s_id, inode->i_ino,
			      layout_range_start(brk->lb_first),
			      layout_range_end(brk->lb_last));
	rcu_read_unlock();
}

/* Revoke what stands under @lease in the range of @brk. */
static void layout_lease_revoke_locked(struct layout_break *brk,
				       struct layout_lease *lease)
{
	struct layout_context *lc = brk->lb_context;
	struct layout_pin *pin = NULL;

	layout_context_assert_held(lc);
	while ((pin = layout_pin_next(lc, pin, brk->lb_first, brk->lb_last))) {
		if (pin->lp_lease != lease)
			continue;
		lease->ll_revoked = true;
		if (layout_owner_revoke(pin->lp_owner))
			layout_log_revoked(brk, lease, pin->lp_owner);
	}
}

/* A signal as F_SETOWN has directed it, about the descriptor of the lease. */
VISIBLE_IF_KUNIT void layout_lease_signal(struct layout_lease *lease, int signum)
{
	KUNIT_STATIC_STUB_REDIRECT(layout_lease_signal, lease, signum);

	send_siglayout(file_f_owner(lease->ll_file), signum, lease->ll_fd);
}

/*
 * Tell the holder of a lease that its time runs.  Where the signal is SIGKILL,
 * to which it has agreed, there is nothing to tell: its time is over at once,
 * and whoever waits kills it.
 */
static void layout_lease_notify_locked(struct layout_break *brk,
				       struct layout_told *told, u64 now)
{
	struct layout_lease *lease = told->lt_lease;
	int signum = READ_ONCE(file_f_owner(lease->ll_file)->signum);

	layout_context_assert_held(lease->ll_context);
	if (lease->ll_exclusive && signum == SIGKILL) {
		if (lease->ll_consent)
			told->lt_deadline = now;
		signum = 0;
	} else if (lease->ll_exclusive && !signum && !lease->ll_consent) {
		/* An unhandled SIGIO kills, so it needs consent too. */
		signum = 0;
	} else if (!signum || signum == SIGKILL) {
		signum = SIGIO;
	}
	trace_break_notify(brk, lease, signum,
			   layout_left_ms(told->lt_deadline));
	if (signum)
		layout_lease_signal(lease, signum);
}

static u64 layout_break_time_ns(void)
{
	int seconds = READ_ONCE(lease_break_time);

	return seconds > 0 ? seconds * NSEC_PER_SEC : 0;
}

/*
 * When a holder that is told at @now is to be escalated against, 0 for never.
 * A device does not wait.
 */
static u64 layout_break_deadline(const struct layout_break *brk, u64 now)
{
	u64 time = layout_break_time_ns();

	if (brk->lb_reason == LAYOUT_BREAK_DEVICE)
		return now;
	return time ? now + time : 0;
}

/*
 * What an abandoned break of the same reason, somewhere in the range of @brk,
 * has told @lease already.
 */
static struct layout_told *
layout_told_inherited_locked(struct layout_break *brk,
			     const struct layout_lease *lease, u64 now)
{
	struct layout_break *old;
	struct layout_told *told;

	layout_context_assert_held(brk->lb_context);
	list_for_each_entry(old, &brk->lb_context->lc_breaks, lb_list) {
		if (!old->lb_expires || layout_break_expired(old, now) ||
		    old->lb_reason != brk->lb_reason ||
		    !layout_break_overlaps(old, brk->lb_first, brk->lb_last))
			continue;
		told = layout_told_find(old, lease);
		if (told)
			return told;
	}
	return NULL;
}

/* Tell @lease of @brk, unless it has been told. */
static void layout_lease_tell_locked(struct layout_break *brk,
				     struct layout_lease *lease, u64 now)
{
	struct layout_told *told, *inherited;

	layout_context_assert_held(brk->lb_context);
	if (lease->ll_break_seq == brk->lb_seq)
		return;
	lease->ll_break_seq = brk->lb_seq;

	told = &brk->lb_told[brk->lb_nr_told++];
	told->lt_lease = lease;
	told->lt_holder = get_pid(lease->ll_holder);
	inherited = layout_told_inherited_locked(brk, lease, now);
	if (inherited) {
		told->lt_deadline = inherited->lt_deadline;
		told->lt_revoke_at = inherited->lt_revoke_at;
		told->lt_escalated = inherited->lt_escalated;
		told->lt_gone = inherited->lt_gone;
	} else if (lease->ll_exclusive && !layout_pid_alive(lease->ll_holder)) {
		told->lt_deadline = now;
		told->lt_revoke_at = now;
		told->lt_gone = true;
	} else {
		told->lt_deadline = layout_break_deadline(brk, now);
		layout_lease_notify_locked(brk, told, now);
	}
	brk->lb_deadline = max(brk->lb_deadline, told->lt_deadline);
}

/* Forget the abandoned breaks that @brk repeats. */
static void layout_break_absorb_locked(struct layout_break *brk,
				       struct list_head *dispose)
{
	struct layout_break *old, *next;

	layout_context_assert_held(brk->lb_context);
	list_for_each_entry_safe(old, next, &brk->lb_context->lc_breaks,
				 lb_list) {
		if (!old->lb_expires || old->lb_reason != brk->lb_reason ||
		    old->lb_first < brk->lb_first || old->lb_last > brk->lb_last)
			continue;
		list_move(&old->lb_list, dispose);
	}
}

/**
 * layout_break_tell_locked - tell everybody whom a break concerns
 * @brk:     a listed break that escalates
 * @dispose: receives breaks for the caller to free, once flc_lock is dropped
 *
 * Sets its deadline, and takes over from abandoned breaks that it repeats.
 *
 * Context: flc_lock is held.
 */
void layout_break_tell_locked(struct layout_break *brk,
			      struct list_head *dispose)
{
	struct layout_context *lc = brk->lb_context;
	struct layout_pin *pin = NULL;
	struct layout_lease *lease;
	u64 now = layout_now_ns();

	layout_context_assert_held(lc);
	while ((pin = layout_pin_next(lc, pin, brk->lb_first, brk->lb_last))) {
		if (pin->lp_settled)
			layout_lease_tell_locked(brk, pin->lp_lease, now);
	}
	list_for_each_entry(lease, &lc->lc_leases, ll_list)
		if (layout_lease_plain_other(lease))
			layout_lease_tell_locked(brk, lease, now);
	layout_break_absorb_locked(brk, dispose);
	if (!brk->lb_nr_told)
		brk->lb_deadline = layout_break_deadline(brk, now);
}

/* A plain lease ends at its deadline.  It goes to @dead. */
static u64 layout_plain_advance_locked(struct layout_told *told, u64 now,
				       struct list_head *dead)
{
	struct layout_lease *lease = told->lt_lease;

	layout_context_assert_held(lease->ll_context);
	if (!told->lt_deadline)
		return KTIME_MAX;
	if (told->lt_deadline > now)
		return told->lt_deadline;
	layout_lease_unlink_locked(lease);
	list_add(&lease->ll_list, dead);
	return KTIME_MAX;
}

static void layout_told_revoke_by(struct layout_told *told, u64 time)
{
	told->lt_revoke_at = told->lt_revoke_at ?
			     min(told->lt_revoke_at, time) : time;
}

/* The deadline of an exclusive lease has passed. */
static void layout_told_escalate_locked(struct layout_break *brk,
					struct layout_told *told, u64 now)
{
	layout_context_assert_held(brk->lb_context);
	/* Spared, but not for the next call, which may have a larger range. */
	if (!layout_lease_pinned_locked(brk, told->lt_lease))
		return;
	told->lt_escalated = true;
	if (told->lt_gone)
		return;
	if (told->lt_lease->ll_consent && !brk->lb_spares &&
	    !layout_lease_kill_locked(brk, told->lt_lease))
		layout_told_revoke_by(told, now + LAYOUT_REVOKE_AFTER_KILL_NS);
	else
		layout_told_revoke_by(told, now);
}

/*
 * Do what the clock and the holder ask for.  Returns when to look again, unless
 * woken, KTIME_MAX if never.
 */
static u64 layout_told_advance_locked(struct layout_break *brk,
				      struct layout_told *told, u64 now,
				      struct list_head *dead)
{
	u64 next = KTIME_MAX;

	layout_context_assert_held(brk->lb_context);
	if (!told->lt_lease || told->lt_revoked)
		return KTIME_MAX;
	if (!told->lt_lease->ll_exclusive)
		return layout_plain_advance_locked(told, now, dead);

	if (!told->lt_gone && !layout_pid_alive(told->lt_holder)) {
		told->lt_gone = true;
		layout_told_revoke_by(told, now + LAYOUT_REVOKE_AFTER_EXIT_NS);
	}
	if (!told->lt_escalated && told->lt_deadline) {
		if (told->lt_deadline <= now)
			layout_told_escalate_locked(brk, told, now);
		else
			next = told->lt_deadline;
	}
	if (told->lt_revoke_at && told->lt_revoke_at <= now) {
		layout_lease_revoke_locked(brk, told->lt_lease);
		told->lt_revoked = true;
		return KTIME_MAX;
	}
	return told->lt_revoke_at ? min(next, told->lt_revoke_at) : next;
}

/**
 * layout_break_escalate_locked - escalate where it is time
 * @brk:  a listed break
 * @dead: receives leases for layout_leases_dispose(), once flc_lock is dropped
 *
 * Context: flc_lock is held.
 * Return: The CLOCK_MONOTONIC nanosecond at which it is time again, KTIME_MAX
 *         for never.
 */
u64 layout_break_escalate_locked(struct layout_break *brk,
				 struct list_head *dead)
{
	u64 now = layout_now_ns(), next = KTIME_MAX;
	unsigned int i;

	layout_context_assert_held(brk->lb_context);
	for (i = 0; i < brk->lb_nr_told; i++)
		next = min(next, layout_told_advance_locked(brk,
							    &brk->lb_told[i],
							    now, dead));
	return next;
}

/**
 * layout_leases_dispose - free leases
 * @dead: leases that are listed nowhere else
 *
 * Context: Any.
 */
void layout_leases_dispose(struct list_head *dead)
{
	struct layout_lease *lease, *next;

	list_for_each_entry_safe(lease, next, dead, ll_list)
		layout_lease_free(lease);
}

/**
 * layout_break_blocked_locked - does a pin or a plain lease stand in the way?
 * @brk: a listed break
 *
 * Context: flc_lock is held.
 * Return: true if one does.
 */
bool layout_break_blocked_locked(struct layout_break *brk)
{
	struct layout_lease *lease;
	unsigned int i;

	layout_context_assert_held(brk->lb_context);
	for (i = 0; i < brk->lb_nr_told; i++) {
		lease = brk->lb_told[i].lt_lease;
		if (lease && !lease->ll_exclusive)
			return true;
	}
	return interval_tree_iter_first(&brk->lb_context->lc_pins,
					brk->lb_first, brk->lb_last);
}

/**
 * layout_break_watch_exits - let the exit of a holder wake somebody
 * @brk:     a listed break
 * @wake:    is called then, under tasklist_lock with interrupts off, and for
 *           other reasons too: it may only wake a task or queue a work item
 * @private: of the entry that @wake gets
 *
 * Context: Process context.
 */
void layout_break_watch_exits(struct layout_break *brk, wait_queue_func_t wake,
			      void *private)
{
	struct layout_told *told;
	unsigned int i;

	for (i = 0; i < brk->lb_nr_told; i++) {
		told = &brk->lb_told[i];
		init_waitqueue_func_entry(&told->lt_exit, wake);
		told->lt_exit.private = private;
		add_wait_queue(&told->lt_holder->wait_pidfd, &told->lt_exit);
	}
}

/**
 * layout_break_unwatch_exits - undo layout_break_watch_exits()
 * @brk: the break
 *
 * Context: Process context.
 */
void layout_break_unwatch_exits(struct layout_break *brk)
{
	unsigned int i;

	for (i = 0; i < brk->lb_nr_told; i++)
		remove_wait_queue(&brk->lb_told[i].lt_holder->wait_pidfd,
				  &brk->lb_told[i].lt_exit);
}

VISIBLE_IF_KUNIT void layout_break_sleep(ktime_t until)
{
	KUNIT_STATIC_STUB_REDIRECT(layout_break_sleep, until);

	schedule_hrtimeout(until == KTIME_MAX ? NULL : &until,
			   HRTIMER_MODE_ABS);
}

/**
 * layout_break_wait - sleep until nothing stands in the way of a break
 * @brk: a listed break
 *
 * Kills and revokes on the way.
 *
 * Context: Process context.  Sleeps, interruptibly; no locks.
 * Return: 0, -ERESTARTSYS, or -EINTR in a worker of io_uring.
 */
int layout_break_wait(struct layout_break *brk)
{
	struct layout_context *lc = brk->lb_context;
	u64 begun = layout_now_ns();
	DEFINE_WAIT(wait);
	LIST_HEAD(dead);
	ktime_t expires;
	int error = 0;
	bool blocked;

	layout_break_watch_exits(brk, default_wake_function, current);
	for (;;) {
		prepare_to_wait(&lc->lc_wait, &wait, TASK_INTERRUPTIBLE);
		spin_lock(&lc->lc_flctx->flc_lock);
		expires = layout_break_escalate_locked(brk, &dead);
		blocked = layout_break_blocked_locked(brk);
		spin_unlock(&lc->lc_flctx->flc_lock);
		if (!blocked)
			break;
		if (signal_pending(current)) {
			/* A worker of io_uring has no system call to restart. */
			error = current->flags & PF_IO_WORKER ? -EINTR :
								-ERESTARTSYS;
			break;
		}
		layout_break_sleep(expires);
	}
	finish_wait(&lc->lc_wait, &wait);
	layout_break_unwatch_exits(brk);
	brk->lb_waited = layout_now_ns() - begun;
	layout_leases_dispose(&dead);
	return error;
}

#ifdef CONFIG_LAYOUT_LEASE_KUNIT_TEST
#include "tests/layout_kill_kunit.c"
#endif

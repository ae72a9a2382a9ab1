// SPDX-License-Identifier: GPL-2.0
/*
 * Layout leases: what their holders can ask for, and what fdinfo shows.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <kunit/static_stub.h>
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/time_namespace.h>
#include <linux/uaccess.h>

#include "layout_internal.h"

/**
 * fcntl_getlease_layout - F_GETLEASE where layout leases are concerned
 * @file: the open file
 *
 * Context: Process context.
 * Return: F_LAYOUT, F_LAYOUT | F_EXCLUSIVE, or F_UNLCK where @file carries no
 *         layout lease or a break of it is pending.
 */
int fcntl_getlease_layout(struct file *file)
{
	struct layout_context *lc = layout_context(file_inode(file));
	struct layout_lease *lease;
	struct layout_told *told;
	int type = F_UNLCK;

	if (!lc)
		return type;
	spin_lock(&lc->lc_flctx->flc_lock);
	lease = layout_lease_of_file_locked(lc, file);
	if (lease && !lease->ll_revoked &&
	    !layout_break_told_locked(lease, &told))
		type = lease->ll_exclusive ? F_LAYOUT | F_EXCLUSIVE : F_LAYOUT;
	spin_unlock(&lc->lc_flctx->flc_lock);
	return type;
}

/* @deadline by CLOCK_MONOTONIC of the caller's time namespace. */
static u64 layout_deadline_of_caller(u64 deadline)
{
	struct timespec64 ts;

	if (!deadline)
		return 0;
	ts = ns_to_timespec64(deadline);
	timens_add_monotonic(&ts);
	return timespec64_to_ns(&ts);
}

/* Describe @brk, which has told a lease, as its holder may see it. */
static void layout_break_describe_locked(struct layout_break *brk,
					 const struct layout_told *told,
					 struct layout_break_info *info)
{
	struct layout_context *lc = brk->lb_context;
	struct layout_pin *pin = NULL;

	layout_context_assert_held(lc);
	info->reason = brk->lb_reason;
	info->pid = pid_vnr(brk->lb_breaker);
	info->uid = from_kuid_munged(current_user_ns(), brk->lb_uid);
	info->start = layout_range_start(brk->lb_first);
	info->end = layout_range_end(brk->lb_last);
	info->deadline_ns = layout_deadline_of_caller(told->lt_deadline);
	while ((pin = layout_pin_next(lc, pin, brk->lb_first, brk->lb_last)))
		if (pin->lp_lease->ll_holder == task_tgid(current))
			info->pins++;
}

/**
 * fcntl_getlayoutbreak - F_GETLAYOUTBREAK
 * @file: the open file
 * @argp: receives the oldest break pending on its lease
 *
 * Context: Process context.  May sleep.
 * Return: 0, -EINVAL if @file carries no layout lease, -ENODATA if no break of
 *         it is pending, -EFAULT.
 */
int fcntl_getlayoutbreak(struct file *file,
			 struct layout_break_info __user *argp)
{
	struct layout_context *lc = layout_context(file_inode(file));
	struct layout_break_info info = {};
	struct layout_lease *lease;
	struct layout_break *brk;
	struct layout_told *told;
	int error = 0;

	BUILD_BUG_ON(sizeof(info) != 64);
	BUILD_BUG_ON(offsetofend(struct layout_break_info, __reserved) != 64);
	BUILD_BUG_ON(offsetof(struct layout_break_info, start) != 16);
	BUILD_BUG_ON(offsetof(struct layout_break_info, deadline_ns) != 32);
	BUILD_BUG_ON(offsetof(struct layout_break_info, pins) != 40);

	if (!lc)
		return -EINVAL;
	spin_lock(&lc->lc_flctx->flc_lock);
	lease = layout_lease_of_file_locked(lc, file);
	if (!lease) {
		error = -EINVAL;
	} else {
		brk = layout_break_told_locked(lease, &told);
		if (brk)
			layout_break_describe_locked(brk, told, &info);
		else
			error = -ENODATA;
	}
	spin_unlock(&lc->lc_flctx->flc_lock);

	if (!error && copy_to_user(argp, &info, sizeof(info)))
		error = -EFAULT;
	return error;
}

/**
 * layout_pid_alive - is there somebody left of a thread group?
 * @tgid: the thread group
 *
 * Context: Any.
 * Return: false once its last thread has exited, reaped or not.
 */
bool layout_pid_alive(struct pid *tgid)
{
	struct task_struct *leader;
	bool alive;

	KUNIT_STATIC_STUB_REDIRECT(layout_pid_alive, tgid);

	rcu_read_lock();
	leader = pid_task(tgid, PIDTYPE_TGID);
	alive = leader && !(READ_ONCE(leader->exit_state) &&
			    thread_group_empty(leader));
	rcu_read_unlock();
	return alive;
}

/**
 * layout_now_ns - the clock by which deadlines run
 *
 * Context: Any.
 * Return: CLOCK_MONOTONIC nanoseconds.
 */
u64 layout_now_ns(void)
{
	KUNIT_STATIC_STUB_REDIRECT(layout_now_ns);

	return ktime_get_ns();
}

/**
 * layout_left_ms - time left until a deadline
 * @deadline: CLOCK_MONOTONIC nanoseconds, 0 for none
 *
 * Context: Any.
 * Return: Milliseconds, 0 if it has passed, -1 if there is none.
 */
s64 layout_left_ms(u64 deadline)
{
	u64 now = layout_now_ns();

	if (!deadline)
		return -1;
	return deadline > now ? div_u64(deadline - now, NSEC_PER_MSEC) : 0;
}

#ifdef CONFIG_PROC_FS
static void layout_break_show_locked(struct seq_file *m,
				     struct layout_break *brk,
				     const struct layout_told *told)
{
	struct pid_namespace *ns = proc_pid_ns(file_inode(m->file)->i_sb);

	layout_context_assert_held(brk->lb_context);
	seq_printf(m, "layout_break:\t%s 0x%llx-0x%llx pid=%d uid=%u left=%lld\n",
		   layout_reason_name(brk->lb_reason),
		   layout_range_start(brk->lb_first),
		   layout_range_end(brk->lb_last),
		   pid_nr_ns(brk->lb_breaker, ns),
		   from_kuid_munged(seq_user_ns(m), brk->lb_uid),
		   layout_left_ms(told->lt_deadline));
}

/**
 * layout_lease_show_fdinfo - the layout lease of an open file, and its breaks
 * @m:    fdinfo
 * @file: the open file
 *
 * Context: Process context.
 */
void layout_lease_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct layout_context *lc = layout_context(file_inode(file));
	struct layout_lease *lease;
	struct layout_break *brk;
	struct layout_told *told;
	u64 now;

	if (!lc)
		return;
	spin_lock(&lc->lc_flctx->flc_lock);
	lease = layout_lease_of_file_locked(lc, file);
	if (!lease)
		goto unlock;
	seq_printf(m, "layout_lease:\t%s\nlayout_pins:\t%lu\n",
		   lease->ll_exclusive ? "exclusive" : "layout",
		   lease->ll_nr_pins);
	now = layout_now_ns();
	list_for_each_entry(brk, &lc->lc_breaks, lb_list) {
		if (layout_break_expired(brk, now))
			continue;
		told = layout_told_find(brk, lease);
		if (told)
			layout_break_show_locked(m, brk, told);
	}
unlock:
	spin_unlock(&lc->lc_flctx->flc_lock);
}

/**
 * layout_locks_show - a layout lease as a line of /proc/locks
 * @m:   /proc/locks
 * @rec: the lease
 * @id:  number of the line
 *
 * Context: Process context.
 */
void layout_locks_show(struct seq_file *m, const struct layout_record *rec,
		       loff_t id)
{
	struct pid_namespace *ns = proc_pid_ns(file_inode(m->file)->i_sb);
	struct inode *inode = file_inode(rec->file);
	pid_t pid = pid_nr_ns(rec->holder, ns);

	if (!pid)
		return;
	seq_printf(m, "%lld: LAYOUT %s %s %d %02x:%02x:%lu 0 EOF\n", id,
		   rec->breaking ? "BREAKING " : "ACTIVE   ",
		   rec->exclusive ? "EXCL" : "SHARED",
		   layout_pid_alive(rec->holder) ? pid : 0,
		   MAJOR(inode->i_sb->s_dev), MINOR(inode->i_sb->s_dev),
		   inode->i_ino);
}
#endif

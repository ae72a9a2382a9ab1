// SPDX-License-Identifier: GPL-2.0
/*
 * Layout leases: what their holders can ask for.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/cred.h>
#include <linux/pid.h>
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
	if (lease && !layout_break_told_locked(lease, &told))
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
	info->start = (u64)brk->lb_first << PAGE_SHIFT;
	info->end = brk->lb_last == ULONG_MAX ? ~0ULL :
		    ((u64)brk->lb_last + 1) << PAGE_SHIFT;
	info->deadline_ns = layout_deadline_of_caller(told->lt_deadline);
	while ((pin = layout_pin_next(lc, pin, brk->lb_first, brk->lb_last)))
		if (pin->lp_lease->ll_holder ==
		    task_tgid(current))
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

// SPDX-License-Identifier: GPL-2.0
/*
 * Layout leases: the administrator's lever, which takes pins away from a process
 * or from a file without killing anybody.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/sched.h>

#include <trace/events/layout_lease.h>

#include "layout_internal.h"

static void layout_log_revoked_by_admin(const struct layout_record *pin)
{
	struct inode *inode = file_inode(pin->file);

	pr_notice_ratelimited("layout_lease: revoked %s of holder %d for process %d (%s), as told: %pD, %s inode %lu\n",
			      pin->owner->lo_name, pid_nr(pin->holder),
			      task_tgid_nr(current), current->comm, pin->file,
			      inode->i_sb->s_id, inode->i_ino);
}

/* Does the pin stand that @rec is about? */
static bool layout_record_stands_locked(struct layout_context *lc,
					const struct layout_record *rec)
{
	pgoff_t first = rec->start >> PAGE_SHIFT;
	struct layout_pin *pin = NULL;

	layout_context_assert_held(lc);
	while ((pin = layout_pin_next(lc, pin, first, first)))
		if (pin->lp_first == first && pin->lp_owner == rec->owner &&
		    pin->lp_lease->ll_file == rec->file)
			return true;
	return false;
}

/* Revoke the owner of a pin, and with it every pin that the owner file keeps. */
static void layout_record_revoke(const struct layout_record *pin)
{
	struct layout_context *lc = layout_context(file_inode(pin->file));
	struct layout_break brk = {
		.lb_context = lc,
		.lb_first = pin->start >> PAGE_SHIFT,
		.lb_last = (pin->end - 1) >> PAGE_SHIFT,
		.lb_breaker = task_tgid(current),
		.lb_uid = current_uid(),
	};
	struct layout_lease *lease;

	spin_lock(&lc->lc_flctx->flc_lock);
	if (layout_record_stands_locked(lc, pin)) {
		lease = layout_lease_of_file_locked(lc, pin->file);
		lease->ll_revoked = true;
		if (layout_owner_revoke(pin->owner)) {
			trace_break_revoke(&brk, lease, pin->owner);
			layout_log_revoked_by_admin(pin);
		}
	}
	spin_unlock(&lc->lc_flctx->flc_lock);
}

static bool layout_record_of_file(const struct layout_record *pin, dev_t dev,
				  unsigned long ino)
{
	struct inode *inode = file_inode(pin->file);

	return inode->i_sb->s_dev == dev && inode->i_ino == ino;
}

/**
 * layout_revoke_pins - revoke pins without a break
 * @holder: those of this thread group, or NULL: of all
 * @file:   only those on one file
 * @dev:    its device
 * @ino:    its inode number
 *
 * Returns when it has been asked for, not when the pins are gone.
 *
 * Context: Process context.  May sleep.
 * Return: 0, -ENOENT if there is no such pin, -EINTR for a fatal signal.
 */
int layout_revoke_pins(struct pid *holder, bool file, dev_t dev,
		       unsigned long ino)
{
	struct layout_walk walk = {
		.kinds = BIT(LAYOUT_RECORD_PIN),
		.holder = holder,
	};
	struct layout_record *pin;
	int error = -ENOENT;

	for (pin = layout_walk_start(&walk, true); pin;
	     pin = layout_walk_next(&walk)) {
		if (fatal_signal_pending(current)) {
			error = -EINTR;
			break;
		}
		if (file && !layout_record_of_file(pin, dev, ino))
			continue;
		layout_record_revoke(pin);
		error = 0;
	}
	layout_walk_stop(&walk);
	return error;
}

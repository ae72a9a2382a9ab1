// SPDX-License-Identifier: GPL-2.0
/*
 * Layout leases: grant, change, release.
 *
 * A layout lease says that a process depends on the layout of a file.  A plain
 * one (F_LAYOUT) is told when the layout is about to change.  An exclusive one
 * (F_LAYOUT | F_EXCLUSIVE) allows long-term pins of the file's FS-DAX pages;
 * its taker agrees, by F_SETSIG with SIGKILL, to be killed if it does not let
 * go of them in time.
 *
 * Invariants:
 *
 * - Layout leases have a list of their own: on flc_lease they would slow each
 *   break of an ordinary lease, refuse F_WRLCK and delegations, and be broken
 *   by xfs on each write.
 * - At most one layout lease per open file, and none beside an ordinary one.
 * - Consent is latched.  Whatever F_SETSIG and F_SETOWN say later, the thread
 *   group that took the lease, and no other, may be killed.
 * - A lease is listed only on a filesystem whose policy is not "off", and
 *   listed until its file is closed for good, it is given up or it is broken.
 * - A lease with pins is never removed.  One whose pins were revoked goes with
 *   the last of them.
 *
 * The idea, and the reasons why earlier series failed: "RDMA/FS DAX truncate
 * proposal", linux-fsdevel, 2019.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "layout_internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/layout_lease.h>

/**
 * layout_lease_of_file_locked - the layout lease that an open file carries
 * @lc:   layout state of the inode
 * @file: the open file
 *
 * Context: flc_lock is held.
 * Return: The lease, or NULL.
 */
struct layout_lease *layout_lease_of_file_locked(struct layout_context *lc,
						 const struct file *file)
{
	struct layout_lease *lease;

	layout_context_assert_held(lc);
	list_for_each_entry(lease, &lc->lc_leases, ll_list)
		if (lease->ll_file == file)
			return lease;
	return NULL;
}

/**
 * __layout_lease_carried - layout_lease_carried() where there is layout state
 * @lc:   layout state of the inode
 * @file: the open file
 *
 * Context: Process context.
 * Return: true if it does.
 */
bool __layout_lease_carried(struct layout_context *lc, struct file *file)
{
	bool carried;

	spin_lock(&lc->lc_flctx->flc_lock);
	carried = layout_lease_of_file_locked(lc, file);
	spin_unlock(&lc->lc_flctx->flc_lock);
	return carried;
}

/**
 * __layout_lease_exclude - layout_lease_exclude() where there is layout state
 * @lc:   layout state of the inode, flc_lock is held
 * @file: the open file
 *
 * Context: Process context.
 * Return: 0, or -EBUSY.
 */
int __layout_lease_exclude(struct layout_context *lc, struct file *file)
{
	layout_context_assert_held(lc);
	return layout_lease_of_file_locked(lc, file) ? -EBUSY : 0;
}

/**
 * layout_lease_get_locked - the lease that lets a thread group pin
 * @lc:     layout state of the inode
 * @holder: the thread group
 *
 * A file that has begun to close takes its lease along, and does not count; nor
 * does a lease whose pins have been revoked.
 *
 * Context: flc_lock is held.
 * Return: An exclusive lease of @holder with a reference on its file, or NULL.
 */
struct layout_lease *layout_lease_get_locked(struct layout_context *lc,
					     struct pid *holder)
{
	struct layout_lease *lease;

	layout_context_assert_held(lc);
	list_for_each_entry(lease, &lc->lc_leases, ll_list)
		if (lease->ll_exclusive && !lease->ll_revoked &&
		    lease->ll_holder == holder &&
		    get_file_active(&lease->ll_file))
			return lease;
	return NULL;
}

/* The layout state of @inode, allocated if there is none; NULL: no memory. */
static struct layout_context *layout_context_get(struct inode *inode)
{
	struct file_lock_context *flctx;
	struct layout_context *lc;

	lc = layout_context(inode);
	if (lc)
		return lc;

	/* Any type but F_UNLCK allocates. */
	flctx = locks_get_lock_context(inode, F_RDLCK);
	if (!flctx)
		return NULL;
	lc = kzalloc(sizeof(*lc), GFP_KERNEL_ACCOUNT);
	if (!lc)
		return NULL;

	lc->lc_inode = inode;
	lc->lc_flctx = flctx;
	INIT_LIST_HEAD(&lc->lc_leases);
	lc->lc_pins = RB_ROOT_CACHED;
	INIT_LIST_HEAD(&lc->lc_breaks);
	init_waitqueue_head(&lc->lc_wait);

	/* Pairs with smp_load_acquire() in layout_context(). */
	if (cmpxchg(&flctx->flc_layout, NULL, lc))
		kfree(lc);
	return layout_context(inode);
}

/**
 * layout_context_free - free the layout state of an inode
 * @flctx: file lock context of an inode that nobody uses any more
 *
 * Context: Process context.  May sleep.
 */
void layout_context_free(struct file_lock_context *flctx)
{
	struct layout_context *lc = flctx->flc_layout;
	struct layout_break *brk, *next;

	if (!lc)
		return;
	WARN_ON_ONCE(!list_empty(&lc->lc_leases));
	WARN_ON_ONCE(!RB_EMPTY_ROOT(&lc->lc_pins.rb_root));
	list_for_each_entry_safe(brk, next, &lc->lc_breaks, lb_list)
		layout_break_free(brk);
	kfree(lc);
}

/* The checks of F_SETLEASE that need no lock, in the order of the contract. */
static int layout_lease_permitted(struct file *file, int arg)
{
	struct inode *inode = file_inode(file);
	vfsuid_t vfsuid = i_uid_into_vfsuid(file_mnt_idmap(file), inode);

	if (!(arg & F_LAYOUT) || (arg & ~(F_LAYOUT | F_EXCLUSIVE)))
		return -EINVAL;
	if (!vfsuid_eq_kuid(vfsuid, current_fsuid()) && !capable(CAP_LEASE))
		return -EACCES;
	if (!S_ISREG(inode->i_mode) || !READ_ONCE(leases_enable))
		return -EINVAL;
	if ((arg & F_EXCLUSIVE) && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (!layout_allowed(inode))
		return -EOPNOTSUPP;
	if ((arg & F_EXCLUSIVE) && !IS_DAX(inode))
		return -EOPNOTSUPP;
	return security_file_lock(file, arg);
}

static bool layout_signal_is_sigkill(struct file *file)
{
	struct fown_struct *fown = file_f_owner(file);

	return fown && READ_ONCE(fown->signum) == SIGKILL;
}

/*
 * The checks of F_SETLEASE that follow, up to the pins.  Made once before
 * anything is allocated, so that a refused caller leaves nothing behind, and
 * once more when it counts.  @flctx may be NULL, @lc too.
 */
static int layout_lease_check_locked(struct file *file, int arg,
				     struct file_lock_context *flctx,
				     struct layout_context *lc)
{
	struct layout_lease *mine = NULL;
	struct file_lock_core *flc;

	if (flctx) {
		lockdep_assert_held(&flctx->flc_lock);
		list_for_each_entry(flc, &flctx->flc_lease, flc_list)
			if (flc->flc_file == file)
				return -EBUSY;
	}
	if (lc)
		mine = layout_lease_of_file_locked(lc, file);
	if (mine && mine->ll_holder != task_tgid(current))
		return -EBUSY;
	if ((arg & F_EXCLUSIVE) &&
	    layout_policy(file_inode(file)) == LAYOUT_POLICY_BREAK &&
	    !layout_signal_is_sigkill(file))
		return -EPERM;
	if (lc && layout_break_pending_locked(lc, 0, ULONG_MAX))
		return -EAGAIN;
	/* About to go. */
	if (mine && mine->ll_revoked)
		return -EAGAIN;
	if (mine && !(arg & F_EXCLUSIVE) && mine->ll_nr_pins)
		return -EBUSY;
	return 0;
}

static int layout_lease_check(struct file *file, int arg)
{
	struct inode *inode = file_inode(file);
	struct file_lock_context *flctx = locks_inode_context(inode);
	int error;

	if (!flctx)
		return layout_lease_check_locked(file, arg, NULL, NULL);
	spin_lock(&flctx->flc_lock);
	error = layout_lease_check_locked(file, arg, flctx,
					  layout_context(inode));
	spin_unlock(&flctx->flc_lock);
	return error;
}

/**
 * layout_lease_unlink_locked - take a lease off every list
 * @lease: a listed lease without pins
 *
 * The caller frees it.  Breakers that wait for the lease go on.
 *
 * Context: flc_lock is held.
 */
void layout_lease_unlink_locked(struct layout_lease *lease)
{
	struct layout_context *lc = lease->ll_context;

	layout_context_assert_held(lc);
	WARN_ON_ONCE(lease->ll_nr_pins);

	trace_lease_release(lease);
	layout_registry_del_locked(lease);
	layout_break_forget_lease_locked(lease);
	if (!lease->ll_exclusive)
		wake_up_all(&lc->lc_wait);
}

static struct layout_lease *layout_lease_alloc(struct layout_context *lc,
					       struct file *file)
{
	struct layout_lease *lease;

	lease = kzalloc(sizeof(*lease), GFP_KERNEL_ACCOUNT);
	if (!lease)
		return NULL;
	lease->ll_context = lc;
	lease->ll_file = file;
	lease->ll_holder = get_pid(task_tgid(current));
	lease->ll_cred = get_current_cred();
	return lease;
}

/**
 * layout_lease_free - free a lease
 * @lease: a lease that is on no list, or NULL
 *
 * Context: Any.
 */
void layout_lease_free(struct layout_lease *lease)
{
	if (!lease)
		return;
	put_pid(lease->ll_holder);
	put_cred(lease->ll_cred);
	kfree(lease);
}

/* Make @lease what @arg asks for, and latch the consent of the caller. */
static void layout_lease_apply_locked(struct layout_lease *lease,
				      unsigned int fd, int arg)
{
	layout_context_assert_held(lease->ll_context);

	lease->ll_fd = fd;
	lease->ll_exclusive = arg & F_EXCLUSIVE;
	if (lease->ll_exclusive && !lease->ll_consent &&
	    layout_signal_is_sigkill(lease->ll_file)) {
		put_cred(lease->ll_cred);
		lease->ll_cred = get_current_cred();
		lease->ll_consent = true;
	}
	/* Not one thread: it may be gone when the lease is broken. */
	__f_setown(lease->ll_file, task_tgid(current), PIDTYPE_TGID, 0);
}

static int layout_lease_grant(unsigned int fd, struct file *file, int arg)
{
	struct inode *inode = file_inode(file);
	struct layout_lease *lease, *fresh;
	struct layout_context *lc;
	int error;

	error = layout_lease_permitted(file, arg);
	if (!error)
		error = layout_lease_check(file, arg);
	if (!error)
		error = file_f_owner_allocate(file);
	if (error)
		return error;

	lc = layout_context_get(inode);
	if (!lc)
		return -ENOMEM;
	fresh = layout_lease_alloc(lc, file);
	if (!fresh)
		return -ENOMEM;

	spin_lock(&lc->lc_flctx->flc_lock);
	error = layout_lease_check_locked(file, arg, lc->lc_flctx, lc);
	if (error)
		goto unlock;
	lease = layout_lease_of_file_locked(lc, file);
	if (!lease) {
		error = layout_registry_add_locked(fresh);
		if (error)
			goto unlock;
		lease = fresh;
		fresh = NULL;
	}
	layout_lease_apply_locked(lease, fd, arg);
	trace_lease_grant(lease);
unlock:
	spin_unlock(&lc->lc_flctx->flc_lock);
	layout_lease_free(fresh);
	return error;
}

/* F_UNLCK: anybody who has the open file may give the lease up. */
static int layout_lease_release(struct file *file)
{
	struct layout_context *lc = layout_context(file_inode(file));
	struct layout_lease *lease;
	int error = 0;

	spin_lock(&lc->lc_flctx->flc_lock);
	lease = layout_lease_of_file_locked(lc, file);
	if (!lease) {
		error = -EAGAIN;
	} else if (lease->ll_nr_pins) {
		error = -EBUSY;
		lease = NULL;
	} else {
		layout_lease_unlink_locked(lease);
		f_delown(file);
		file_f_owner(file)->signum = 0;
	}
	spin_unlock(&lc->lc_flctx->flc_lock);
	layout_lease_free(lease);
	return error;
}

/**
 * fcntl_setlease_layout - F_SETLEASE where layout leases are concerned
 * @fd:   the descriptor
 * @file: its open file
 * @arg:  F_LAYOUT, F_LAYOUT | F_EXCLUSIVE, or what F_SETLEASE takes otherwise
 *        where @file carries a layout lease
 *
 * Context: Process context.  May sleep.
 * Return: 0, -EINVAL for a bad argument, a file that is not regular or leases
 *         disabled by sysctl, -EACCES for a caller who is neither owner of the
 *         file nor privileged, -EBADF for an exclusive lease on a file not
 *         open for writing, -EOPNOTSUPP if the filesystem or its mount option
 *         do not allow it, -EBUSY for a file with another's or an ordinary
 *         lease or with pins in the way, -EPERM without consent, -EAGAIN while
 *         a break is pending or if there is nothing to give up, -ENOMEM.
 */
int fcntl_setlease_layout(unsigned int fd, struct file *file, int arg)
{
	if (arg == F_UNLCK)
		return layout_lease_release(file);
	if (arg == F_RDLCK || arg == F_WRLCK)
		return -EBUSY;
	return layout_lease_grant(fd, file, arg);
}

/**
 * layout_lease_remove_file - drop the layout lease of a file at its last close
 * @file:  the file; it has no pins, since each would hold a reference on it
 * @flctx: file lock context of its inode
 *
 * Context: Process context.
 */
void layout_lease_remove_file(struct file *file,
			      struct file_lock_context *flctx)
{
	struct layout_context *lc = layout_context(file_inode(file));
	struct layout_lease *lease;

	if (!lc)
		return;
	spin_lock(&flctx->flc_lock);
	lease = layout_lease_of_file_locked(lc, file);
	if (lease)
		layout_lease_unlink_locked(lease);
	spin_unlock(&flctx->flc_lock);
	layout_lease_free(lease);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Layout leases: a DAX device goes away, or reports a bad page, while its pages
 * are pinned.
 *
 * A break begins as for any other operation: those who agreed are killed at
 * once, and what that does not free is revoked.  It differs in who waits, and
 * for how long it stands:
 *
 *            removal                       poison
 *   range    all of each pinned file       one page of a file
 *   waits    the task that removes         nobody
 *   ends     never: no pin any more        with the last pin in its range
 *
 * Invariants:
 *
 * - When layout_device_remove() returns there is no pin on the device, and none
 *   can be taken.  The struct pages go next.
 * - memory_failure() waits for no pin, no holder and no owner file.
 * - The escalation of a break is its work item's alone, from when it is first
 *   queued.  It is queued by the clock, by the exit of a holder, and by the last
 *   pin.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/completion.h>
#include <linux/dax.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include <trace/events/layout_lease.h>

#include "layout_internal.h"

/* How often whoever removes a device says that it waits. */
#define LAYOUT_REMOVAL_WARN_SECONDS	30

/**
 * struct layout_removal - a device that is being removed
 * @lr_pending: files with pins, and one for the task that removes
 * @lr_done:    there are none any more
 *
 * On the stack of that task.
 */
struct layout_removal {
	atomic_t lr_pending;
	struct completion lr_done;
};

/**
 * struct layout_device_break - what escalates a break that the device began
 * @ldb_break:    the break
 * @ldb_file:     a leased file, referenced: keeps the layout state
 * @ldb_removal:  whom to tell of the end, NULL for poison
 * @ldb_begun:    CLOCK_MONOTONIC nanosecond of the begin
 * @ldb_watching: @ldb_pins is queued, and so is the lt_exit of each lease told
 * @ldb_pins:     queues the work when a pin or a plain lease goes
 * @ldb_work:     the work
 *
 * Belongs to the work once that is queued.
 */
struct layout_device_break {
	struct layout_break *ldb_break;
	struct file *ldb_file;
	struct layout_removal *ldb_removal;
	u64 ldb_begun;
	bool ldb_watching;
	wait_queue_entry_t ldb_pins;
	struct delayed_work ldb_work;
};

static void layout_removal_put(struct layout_removal *removal)
{
	if (atomic_dec_and_test(&removal->lr_pending))
		complete(&removal->lr_done);
}

/* Nothing is in the way of the break any more. */
static void layout_device_break_end(struct layout_device_break *ldb)
{
	struct layout_break *brk = ldb->ldb_break;
	struct layout_removal *removal = ldb->ldb_removal;

	layout_break_unwatch_exits(brk);
	remove_wait_queue(&brk->lb_context->lc_wait, &ldb->ldb_pins);
	/* Nobody is left who could queue it again. */
	cancel_delayed_work(&ldb->ldb_work);

	brk->lb_waited = layout_now_ns() - ldb->ldb_begun;
	if (removal)
		/* It stays, and is freed with the layout state. */
		trace_break_end(brk, 0);
	else
		layout_break_end(brk);
	fput(ldb->ldb_file);
	kfree(ldb);
	if (removal)
		layout_removal_put(removal);
}

/* Of a wait queue: may be called in an interrupt. */
static int layout_device_wake(wait_queue_entry_t *entry, unsigned int mode,
			      int flags, void *key)
{
	struct layout_device_break *ldb = entry->private;

	mod_delayed_work(system_wq, &ldb->ldb_work, 0);
	return 0;
}

static void layout_device_watch(struct layout_device_break *ldb)
{
	struct layout_break *brk = ldb->ldb_break;

	layout_break_watch_exits(brk, layout_device_wake, ldb);
	init_waitqueue_func_entry(&ldb->ldb_pins, layout_device_wake);
	ldb->ldb_pins.private = ldb;
	add_wait_queue(&brk->lb_context->lc_wait, &ldb->ldb_pins);
	ldb->ldb_watching = true;
}

/* Jiffies until a CLOCK_MONOTONIC nanosecond, which may be over. */
static unsigned long layout_jiffies_until(u64 time)
{
	u64 now = layout_now_ns();

	return time > now ? nsecs_to_jiffies(time - now) + 1 : 0;
}

static void layout_device_work(struct work_struct *work)
{
	struct layout_device_break *ldb =
		container_of(to_delayed_work(work), struct layout_device_break,
			     ldb_work);
	struct layout_break *brk = ldb->ldb_break;
	spinlock_t *flc_lock = &brk->lb_context->lc_flctx->flc_lock;
	LIST_HEAD(dead);
	bool blocked;
	u64 next;

	/* First watch, then look. */
	if (!ldb->ldb_watching)
		layout_device_watch(ldb);
	spin_lock(flc_lock);
	next = layout_break_escalate_locked(brk, &dead);
	blocked = layout_break_blocked_locked(brk);
	spin_unlock(flc_lock);
	layout_leases_dispose(&dead);

	if (!blocked)
		layout_device_break_end(ldb);
	else if (next != KTIME_MAX)
		/* Unless it has been queued meanwhile, to run at once. */
		queue_delayed_work(system_wq, &ldb->ldb_work,
				   layout_jiffies_until(next));
}

/* Must a break of the device begin here, or is there none to break? */
static bool layout_device_breaks_locked(struct layout_context *lc,
					pgoff_t first, pgoff_t last)
{
	struct layout_break *brk;

	layout_context_assert_held(lc);
	if (!interval_tree_iter_first(&lc->lc_pins, first, last))
		return false;
	/* A page that is reported again, or whose device goes away anyway. */
	list_for_each_entry(brk, &lc->lc_breaks, lb_list)
		if (brk->lb_reason == LAYOUT_BREAK_DEVICE &&
		    brk->lb_first <= first && last <= brk->lb_last)
			return false;
	return true;
}

/*
 * Begin a break, if there is a pin in the range.  The holders are told, and
 * killed, before this returns.  Consumes a reference on @file.
 */
static void layout_device_break(struct file *file, pgoff_t first, pgoff_t last,
				struct layout_removal *removal)
{
	struct layout_context *lc = layout_context(file_inode(file));
	struct layout_device_break *ldb;
	struct layout_break *brk;
	LIST_HEAD(dispose);
	LIST_HEAD(dead);

	ldb = kzalloc(sizeof(*ldb), GFP_KERNEL | __GFP_NOFAIL);
	brk = layout_break_prepare(lc, first, last, LAYOUT_BREAK_DEVICE,
				   GFP_KERNEL | __GFP_NOFAIL);
	if (!layout_device_breaks_locked(lc, first, last)) {
		spin_unlock(&lc->lc_flctx->flc_lock);
		layout_break_free(brk);
		kfree(ldb);
		fput(file);
		return;
	}
	brk->lb_spares = layout_policy(lc->lc_inode) == LAYOUT_POLICY_DENY;
	layout_break_start_locked(brk, &dispose);
	layout_break_escalate_locked(brk, &dead);
	spin_unlock(&lc->lc_flctx->flc_lock);
	layout_break_dispose(&dispose);
	layout_leases_dispose(&dead);

	ldb->ldb_break = brk;
	ldb->ldb_file = file;
	ldb->ldb_removal = removal;
	ldb->ldb_begun = layout_now_ns();
	if (removal)
		atomic_inc(&removal->lr_pending);
	INIT_DELAYED_WORK(&ldb->ldb_work, layout_device_work);
	queue_delayed_work(system_wq, &ldb->ldb_work, 0);
}

static void layout_removal_wait(struct layout_removal *removal)
{
	unsigned long seconds = 0;

	while (!wait_for_completion_timeout(&removal->lr_done,
					    LAYOUT_REMOVAL_WARN_SECONDS * HZ)) {
		seconds += LAYOUT_REMOVAL_WARN_SECONDS;
		pr_warn("layout_lease: process %d (%s) removes a device, and has waited %lu s for pins in %d files: see /proc/layout_leases\n",
			task_tgid_nr(current), current->comm, seconds,
			atomic_read(&removal->lr_pending));
	}
}

/**
 * layout_device_remove - take all pins away from a device that is about to go
 * @dax_dev: the device, dax_dying() but still working
 *
 * Context: Process context.  Sleeps, uninterruptibly and for as long as a pin
 *          stands: what comes next frees the struct pages.  No lock of a
 *          filesystem, of a driver that pins, or of a process may be held.
 */
void layout_device_remove(struct dax_device *dax_dev)
{
	struct layout_removal removal = { .lr_pending = ATOMIC_INIT(1) };
	struct inode *inode;
	struct file *file;
	u64 id;

	init_completion(&removal.lr_done);
	/* A file that comes later finds that the device is dying. */
	for (id = 0; (file = layout_registry_file(&id)); id++) {
		inode = file_inode(file);
		if (inode->i_sb->s_op->dax_device(inode) == dax_dev)
			layout_device_break(file, 0, ULONG_MAX, &removal);
		else
			fput(file);
		cond_resched();
	}
	layout_removal_put(&removal);
	layout_removal_wait(&removal);
}

static bool layout_file_pinned(struct file *file)
{
	struct layout_context *lc = layout_context(file_inode(file));
	bool pinned;

	spin_lock(&lc->lc_flctx->flc_lock);
	pinned = !RB_EMPTY_ROOT(&lc->lc_pins.rb_root);
	spin_unlock(&lc->lc_flctx->flc_lock);
	return pinned;
}

/**
 * layout_device_poison - take pins away from a page that has gone bad
 * @pfn: its page frame number
 *
 * Looks at every DAX entry of every pinned file: a pin does not know its page
 * frames, and the page does not always know its file, see dax_find_pfn().
 *
 * Context: Process context.  May sleep, but waits for no pin: a work item sees
 *          to what remains to be done.
 */
void layout_device_poison(unsigned long pfn)
{
	struct file *file;
	pgoff_t index;
	u64 id;

	for (id = 0; (file = layout_registry_file(&id)); id++) {
		index = 0;
		while (layout_file_pinned(file) &&
		       dax_find_pfn(file_inode(file)->i_mapping, pfn, &index)) {
			layout_device_break(get_file(file), index, index, NULL);
			index++;
		}
		fput(file);
		cond_resched();
	}
}

// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A uverbs context as owner of pins on layout-leased FS-DAX files.
 *
 * Each open uverbs file declares itself as the owner around its commands.  So
 * every driver that pins with ib_umem_get() can register the memory of a leased
 * file without knowing of leases; what a command pins is dropped when the umem
 * is, at the latest with the file.
 *
 * Revocation destroys the objects of one context while processes have it open,
 * each object under its own lock, as a process would that destroys them itself.
 * uverbs_destroy_ufile_hw() cannot do that: it frees the ucontext under
 * commands that use it.  Here ucontext, channels and the processes' mappings of
 * the device stay until the file is closed, so no driver needs to know.
 *
 * Invariants:
 *
 * - Once the file is revoked no command but a destruction gets hold of an
 *   object, and none creates one.
 * - An object that was busy, or not yet committed, when the revocation came by is
 *   destroyed when it is released or committed: each of them looks at
 *   ufile->revoked after that, the revocation at the objects after it was set.
 * - Nothing waits for a command to finish.  One that never returns keeps its own
 *   objects, and no others.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/layout_lease.h>
#include <linux/workqueue.h>
#include <rdma/uverbs_std_types.h>

#include "rdma_core.h"
#include "uverbs.h"

/* Objects locked under one hold of uobjects_lock. */
#define UVERBS_REVOKE_BATCH	64
/* No type of objects. */
#define UVERBS_REVOKE_ANY	-1

static struct workqueue_struct *uverbs_layout_wq;

/*
 * What is destroyed first, in this order: without QPs nothing asks for memory,
 * and a driver may wait for a QP to let go of a MR.
 */
static const u16 uverbs_revoke_first[] = {
	UVERBS_OBJECT_QP, UVERBS_OBJECT_MW, UVERBS_OBJECT_MR,
};

static bool uverbs_object_is_channel(struct ib_uobject *uobj)
{
	return uobj->uapi_object->type_class == &uverbs_fd_class;
}

/*
 * Lock some objects of type @id, or of any, that nobody uses, newest first, and
 * move them to @taken.  Returns false if there is none.
 */
static bool uverbs_revoke_take(struct ib_uverbs_file *ufile, int id,
			       struct list_head *taken)
{
	struct ib_uobject *uobj, *next;
	unsigned int nr_taken = 0;

	lockdep_assert_held(&ufile->hw_destroy_rwsem);
	spin_lock_irq(&ufile->uobjects_lock);
	list_for_each_entry_safe(uobj, next, &ufile->uobjects, list) {
		if (uverbs_object_is_channel(uobj) ||
		    (id != UVERBS_REVOKE_ANY &&
		     id != uobj_get_object_id(uobj)) ||
		    uverbs_try_lock_object(uobj, UVERBS_LOOKUP_WRITE))
			continue;
		list_move_tail(&uobj->list, taken);
		if (++nr_taken == UVERBS_REVOKE_BATCH)
			break;
	}
	spin_unlock_irq(&ufile->uobjects_lock);
	return nr_taken;
}

/*
 * Destroy the locked objects of @taken.  What depends on others goes to @kept.
 * An object leaves the list, whose reference is ours then, before it is
 * destroyed: that unlocks it, and a process may destroy the handle at once.
 */
static bool uverbs_revoke_destroy(struct ib_uverbs_file *ufile,
				  struct list_head *taken,
				  struct list_head *kept)
{
	struct uverbs_attr_bundle attrs = { .ufile = ufile };
	struct ib_uobject *uobj, *next;
	bool progress = false;

	list_for_each_entry_safe(uobj, next, taken, list) {
		list_del_init(&uobj->list);
		attrs.context = uobj->context;
		if (uverbs_destroy_uobject(uobj, RDMA_REMOVE_CLOSE, &attrs)) {
			list_add_tail(&uobj->list, kept);
			continue;
		}
		uverbs_uobject_put(uobj);
		progress = true;
	}
	return progress;
}

/* Destroy all objects of type @id, or of any, that nobody uses. */
static void uverbs_revoke_objects(struct ib_uverbs_file *ufile, int id)
{
	struct ib_uobject *uobj;
	LIST_HEAD(taken);
	LIST_HEAD(kept);
	bool progress;

	lockdep_assert_held(&ufile->hw_destroy_rwsem);
	do {
		progress = false;
		while (uverbs_revoke_take(ufile, id, &taken))
			progress |= uverbs_revoke_destroy(ufile, &taken, &kept);
		progress &= !list_empty(&kept);

		spin_lock_irq(&ufile->uobjects_lock);
		list_for_each_entry(uobj, &kept, list)
			atomic_set(&uobj->usecnt, 0);
		list_splice_init(&kept, &ufile->uobjects);
		spin_unlock_irq(&ufile->uobjects_lock);
	} while (progress);
}

/* Wake whoever waits for an event: there will be none, after those queued. */
static void uverbs_event_queue_hang_up(struct ib_uverbs_event_queue *queue)
{
	spin_lock(&queue->lock);
	queue->is_closed = 1;
	spin_unlock(&queue->lock);
	wake_up_interruptible(&queue->poll_wait);
	kill_fasync(&queue->async_queue, SIGIO, POLL_IN);
}

static void uverbs_comp_channel_hang_up(struct ib_uobject *uobj)
{
	struct ib_uverbs_completion_event_file *file =
		container_of(uobj, struct ib_uverbs_completion_event_file,
			     uobj);

	uverbs_event_queue_hang_up(&file->ev_queue);
}

/* The fatal event is the last one. */
static void uverbs_async_channel_hang_up(struct ib_uobject *uobj)
{
	struct ib_uverbs_async_event_file *file =
		container_of(uobj, struct ib_uverbs_async_event_file, uobj);

	ib_uverbs_async_handler(file, 0, IB_EVENT_DEVICE_FATAL, NULL, NULL);
	uverbs_event_queue_hang_up(&file->ev_queue);
}

/*
 * Send the fatal event, and wake those who wait for completions.  Done again it
 * finds the queues closed, but for those of channels made meanwhile.
 */
static void uverbs_revoke_channels(struct ib_uverbs_file *ufile)
{
	struct ib_uobject *uobj;

	lockdep_assert_held(&ufile->hw_destroy_rwsem);
	spin_lock_irq(&ufile->uobjects_lock);
	list_for_each_entry(uobj, &ufile->uobjects, list) {
		switch (uobj_get_object_id(uobj)) {
		case UVERBS_OBJECT_ASYNC_EVENT:
			uverbs_async_channel_hang_up(uobj);
			break;
		case UVERBS_OBJECT_COMP_CHANNEL:
			uverbs_comp_channel_hang_up(uobj);
			break;
		}
	}
	spin_unlock_irq(&ufile->uobjects_lock);
}

static void uverbs_layout_revoke_work(struct work_struct *work)
{
	struct ib_uverbs_file *ufile =
		container_of(work, struct ib_uverbs_file, revoke_work);
	unsigned int i;

	clear_bit(0, &ufile->revoke_queued);
	/*
	 * Pairs with smp_mb() in uverbs_layout_recheck(): either we find an
	 * object unlocked, or who unlocks it finds revoke_queued clear and
	 * ufile->revoked set.
	 */
	smp_mb();

	down_read(&ufile->hw_destroy_rwsem);
	for (i = 0; i < ARRAY_SIZE(uverbs_revoke_first); i++)
		uverbs_revoke_objects(ufile, uverbs_revoke_first[i]);
	uverbs_revoke_channels(ufile);
	uverbs_revoke_objects(ufile, UVERBS_REVOKE_ANY);
	up_read(&ufile->hw_destroy_rwsem);

	kref_put(&ufile->ref, ib_uverbs_release_file);
}

/**
 * uverbs_layout_requeue - have a revocation look at the objects again
 * @ufile: a revoked file
 *
 * Context: Any but hard interrupt and NMI.
 */
void uverbs_layout_requeue(struct ib_uverbs_file *ufile)
{
	if (test_and_set_bit(0, &ufile->revoke_queued))
		return;
	/* A file that is being released has no objects left. */
	if (kref_get_unless_zero(&ufile->ref))
		queue_work(uverbs_layout_wq, &ufile->revoke_work);
}

/* A layout_revoke_fn. */
static void uverbs_layout_revoke(void *file)
{
	struct ib_uverbs_file *ufile = file;

	WRITE_ONCE(ufile->revoked, true);
	uverbs_layout_requeue(ufile);
}

/**
 * uverbs_layout_open - make a uverbs file an owner of pins
 * @ufile:  the file being opened
 * @ib_dev: its device
 *
 * Context: Process context.  May sleep.
 * Return: 0 or -ENOMEM.
 */
int uverbs_layout_open(struct ib_uverbs_file *ufile, struct ib_device *ib_dev)
{
	INIT_WORK(&ufile->revoke_work, uverbs_layout_revoke_work);
	ufile->layout_owner = layout_owner_alloc("rdma", dev_name(&ib_dev->dev),
						 uverbs_layout_revoke, ufile);
	return ufile->layout_owner ? 0 : -ENOMEM;
}

/**
 * uverbs_layout_release - undo uverbs_layout_open()
 * @ufile: the file, which has no reference left
 *
 * Context: Process context.
 */
void uverbs_layout_release(struct ib_uverbs_file *ufile)
{
	layout_owner_close(ufile->layout_owner);
}

/**
 * uverbs_layout_show_fdinfo - the pins that a uverbs file keeps alive
 * @m:    its fdinfo
 * @filp: the open file
 *
 * Whoever has a context that keeps a file pinned can be found by it.
 *
 * Context: Process context.  May sleep.
 */
void uverbs_layout_show_fdinfo(struct seq_file *m, struct file *filp)
{
	struct ib_uverbs_file *ufile = filp->private_data;

	layout_owner_show_fdinfo(m, ufile->layout_owner);
}

/**
 * uverbs_layout_init - prepare for revocations
 *
 * Context: Process context.  May sleep.
 * Return: 0 or -ENOMEM.
 */
int __init uverbs_layout_init(void)
{
	/* Unbound: a driver may take long to let go of an object. */
	uverbs_layout_wq = alloc_workqueue("ib_uverbs_revoke", WQ_UNBOUND, 0);
	return uverbs_layout_wq ? 0 : -ENOMEM;
}

/**
 * uverbs_layout_exit - undo uverbs_layout_init()
 *
 * Waits for revocations: they may outlast the file that they were about.
 *
 * Context: Process context.  Sleeps.
 */
void uverbs_layout_exit(void)
{
	destroy_workqueue(uverbs_layout_wq);
}

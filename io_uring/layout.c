// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring as owner of pins on layout-leased FS-DAX files: registered buffers.
 *
 * A buffer that is pinned under a layout lease counts the requests whose I/O uses
 * its pages at the moment.  Revocation closes it: no request begins to use it
 * any more, each fails as it would with an empty slot, and the pages are given
 * back when the last I/O that was under way has ended.
 *
 * Invariants:
 *
 * - Pages and pins are given back when the count falls to zero: by whoever
 *   unregisters the buffer, by the revocation, or after the last I/O.
 * - Only I/O under way counts, from its issue to its completion by the device.
 *   A request that waits to be issued, for a poll or for its task to reap it
 *   does not, so nobody waits for another task's task work.
 * - Revocation does not wait for uring_lock: a registration that holds it may be
 *   stuck in a page fault.
 * - What may use pages for as long as a peer likes does not take leased buffers:
 *   zero-copy send, and commands of drivers.
 *
 * Lock order: uring_lock > lr_lock.  Neither is taken in an interrupt.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/io_uring.h>
#include <linux/layout_lease.h>
#include <linux/mm.h>
#include <linux/refcount.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "io_uring.h"
#include "layout.h"
#include "memmap.h"
#include "poll.h"
#include "rsrc.h"

/* When to try again, in jiffies, if uring_lock is held. */
#define IO_LAYOUT_POLLS_DELAY	(HZ / 10)

/**
 * struct io_layout_ring - a ring as owner of pins
 * @lr_refs:   references: the ring's, one per buffer, one each of lr_work and
 *             lr_polls while queued
 * @lr_lock:   guards @lr_ctx, @lr_owner, @lr_bufs, and the lists of workers
 * @lr_ctx:    the ring, NULL once it goes away
 * @lr_owner:  on whose behalf it pins; replaced after a revocation.  Written
 *             under uring_lock, too
 * @lr_bufs:   buffers whose pages have not been given back
 * @lr_queued: bit 0: lr_work is queued, and has a reference
 * @lr_work:   revokes
 * @lr_polls:  cancels requests that wait for a poll
 *
 * Not part of the ring, which has no reference count that a revocation could
 * use.
 */
struct io_layout_ring {
	refcount_t lr_refs;
	spinlock_t lr_lock;	/* see above */
	struct io_ring_ctx *lr_ctx;
	struct layout_owner *lr_owner;
	struct list_head lr_bufs;
	unsigned long lr_queued;
	struct work_struct lr_work;
	struct delayed_work lr_polls;
};

/**
 * struct io_layout_buf - a registered buffer under a layout lease
 * @lb_refs:    references: the table's, one for the pages, one per worker
 * @lb_users:   one until the buffer is closed, and one per request whose I/O is
 *              under way.  At zero the pages are given back
 * @lb_closed:  unregistered or revoked.  Written once, by xchg()
 * @lb_list:    entry in lr_bufs.  lr_lock
 * @lb_workers: workers of io-wq that use it.  lr_lock
 * @lb_ring:    the ring, referenced.  Immutable
 * @lb_owner:   whose pins these are, referenced.  Immutable
 * @lb_imu:     the buffer; freed with this.  Immutable
 * @lb_pins:    its pins
 * @lb_drop:    gives the pages back after the last I/O
 */
struct io_layout_buf {
	refcount_t lb_refs;
	refcount_t lb_users;
	bool lb_closed;
	struct list_head lb_list;
	struct list_head lb_workers;
	struct io_layout_ring *lb_ring;
	struct layout_owner *lb_owner;
	struct io_mapped_ubuf *lb_imu;
	struct layout_pins lb_pins;
	struct work_struct lb_drop;
};

static void io_layout_ring_put(struct io_layout_ring *ring)
{
	if (refcount_dec_and_test(&ring->lr_refs))
		kfree(ring);
}

static void io_layout_buf_put(struct io_layout_buf *buf)
{
	if (!refcount_dec_and_test(&buf->lb_refs))
		return;
	layout_owner_put(buf->lb_owner);
	io_layout_ring_put(buf->lb_ring);
	kvfree(buf->lb_imu);
	kfree(buf);
}

/* Nobody uses the pages any more: give them back. */
static void io_layout_buf_drop(struct io_layout_buf *buf)
{
	struct io_mapped_ubuf *imu = buf->lb_imu;
	unsigned int i;

	for (i = 0; i < imu->nr_bvecs; i++)
		unpin_user_folio(page_folio(imu->bvec[i].bv_page), 1);
	layout_pins_release(&buf->lb_pins);

	spin_lock(&buf->lb_ring->lr_lock);
	list_del(&buf->lb_list);
	spin_unlock(&buf->lb_ring->lr_lock);
	io_layout_buf_put(buf);
}

static void io_layout_drop_work(struct work_struct *work)
{
	io_layout_buf_drop(container_of(work, struct io_layout_buf, lb_drop));
}

/* The I/O of a request has ended; in any context. */
static void io_layout_buf_unuse(struct io_layout_buf *buf)
{
	if (refcount_dec_and_test(&buf->lb_users))
		queue_work(system_unbound_wq, &buf->lb_drop);
}

/**
 * io_layout_buf_close - let no request use a buffer from here on
 * @buf: a buffer that leaves the table
 *
 * Without I/O under way its pins are gone on return.
 *
 * Context: Process context.  uring_lock may be held.
 */
void io_layout_buf_close(struct io_layout_buf *buf)
{
	if (!xchg(&buf->lb_closed, true) &&
	    refcount_dec_and_test(&buf->lb_users))
		io_layout_buf_drop(buf);
	io_layout_buf_put(buf);
}

/* Interrupt the workers that sleep while they use @buf. */
static void io_layout_interrupt_locked(struct io_layout_buf *buf)
{
	struct io_layout_use *use;

	lockdep_assert_held(&buf->lb_ring->lr_lock);
	list_for_each_entry(use, &buf->lb_workers, list)
		__set_notify_signal(use->task);
}

/* Close the buffers of owners that have been revoked. */
static void io_layout_revoke_bufs(struct io_layout_ring *ring)
{
	struct io_layout_buf *buf, *next;
	LIST_HEAD(closed);

	spin_lock(&ring->lr_lock);
	list_for_each_entry_safe(buf, next, &ring->lr_bufs, lb_list) {
		if (!layout_owner_revoked(buf->lb_owner) ||
		    xchg(&buf->lb_closed, true))
			continue;
		io_layout_interrupt_locked(buf);
		/* Ours: its count cannot fall to zero before we let it. */
		list_move_tail(&buf->lb_list, &closed);
	}
	while (!list_empty(&closed)) {
		buf = list_first_entry(&closed, struct io_layout_buf, lb_list);
		list_move(&buf->lb_list, &ring->lr_bufs);
		spin_unlock(&ring->lr_lock);
		if (refcount_dec_and_test(&buf->lb_users))
			io_layout_buf_drop(buf);
		cond_resched();
		spin_lock(&ring->lr_lock);
	}
	spin_unlock(&ring->lr_lock);
}

static void io_layout_queue_polls(struct io_layout_ring *ring,
				  unsigned long delay)
{
	refcount_inc(&ring->lr_refs);
	if (!queue_delayed_work(system_unbound_wq, &ring->lr_polls, delay))
		io_layout_ring_put(ring);
}

/*
 * Cancel requests that wait for a poll and would use a closed buffer then.  They
 * hold no page, so there is time.
 */
static void io_layout_cancel_polls(struct work_struct *work)
{
	struct io_layout_ring *ring =
		container_of(work, struct io_layout_ring, lr_polls.work);
	struct io_ring_ctx *ctx;

	spin_lock(&ring->lr_lock);
	ctx = ring->lr_ctx;
	if (ctx && !percpu_ref_tryget(&ctx->refs))
		ctx = NULL;
	spin_unlock(&ring->lr_lock);
	if (ctx) {
		if (!io_poll_cancel_layout(ctx))
			io_layout_queue_polls(ring, IO_LAYOUT_POLLS_DELAY);
		percpu_ref_put(&ctx->refs);
	}
	io_layout_ring_put(ring);
}

static void io_layout_revoke_work(struct work_struct *work)
{
	struct io_layout_ring *ring =
		container_of(work, struct io_layout_ring, lr_work);

	clear_bit(0, &ring->lr_queued);
	/* Pairs with test_and_set_bit() in io_layout_revoke(). */
	smp_mb__after_atomic();
	io_layout_revoke_bufs(ring);
	io_layout_queue_polls(ring, 0);
	io_layout_ring_put(ring);
}

/* A layout_revoke_fn. */
static void io_layout_revoke(void *file)
{
	struct io_layout_ring *ring = file;

	if (test_and_set_bit(0, &ring->lr_queued))
		return;
	refcount_inc(&ring->lr_refs);
	queue_work(system_unbound_wq, &ring->lr_work);
}

static struct io_layout_ring *io_layout_ring_alloc(struct io_ring_ctx *ctx)
{
	struct io_layout_ring *ring;

	ring = kzalloc(sizeof(*ring), GFP_KERNEL_ACCOUNT);
	if (!ring)
		return NULL;
	refcount_set(&ring->lr_refs, 1);
	spin_lock_init(&ring->lr_lock);
	ring->lr_ctx = ctx;
	INIT_LIST_HEAD(&ring->lr_bufs);
	INIT_WORK(&ring->lr_work, io_layout_revoke_work);
	INIT_DELAYED_WORK(&ring->lr_polls, io_layout_cancel_polls);
	return ring;
}

/* The owner of pins from here on, or NULL if there is no memory. */
static struct layout_owner *io_layout_owner(struct io_layout_ring *ring)
{
	struct layout_owner *old = ring->lr_owner, *owner;

	if (old && !layout_owner_revoked(old))
		return old;
	owner = layout_owner_alloc("io_uring", NULL, io_layout_revoke, ring);
	if (!owner)
		return NULL;
	spin_lock(&ring->lr_lock);
	ring->lr_owner = owner;
	spin_unlock(&ring->lr_lock);
	layout_owner_close(old);
	return owner;
}

/* Pin on behalf of the ring from here on.  Returns 0 or -ENOMEM. */
static int io_layout_enter(struct io_ring_ctx *ctx, struct layout_owner **outerp)
{
	struct io_layout_ring *ring = ctx->layout;
	struct layout_owner *owner;

	if (!ring) {
		ring = io_layout_ring_alloc(ctx);
		if (!ring)
			return -ENOMEM;
		/* Pairs with smp_load_acquire() in io_layout_show_fdinfo(). */
		smp_store_release(&ctx->layout, ring);
	}
	owner = io_layout_owner(ring);
	if (!owner)
		return -ENOMEM;
	*outerp = layout_owner_enter(owner);
	return 0;
}

/**
 * __io_layout_pin_pages - io_layout_pin_pages() where memory may be leased
 * @ctx:      the ring
 * @uaddr:    first byte of the buffer
 * @len:      its length in bytes
 * @nr_pages: receives the number of pages
 * @pins:     receives what has been pinned under a layout lease, also after an
 *            error
 *
 * Context: Process context, uring_lock is held.  Sleeps.
 * Return: The pages, or an error of pin_user_pages_leased() or -ENOMEM,
 *         -EOVERFLOW, -EINVAL for a bad length.
 */
struct page **__io_layout_pin_pages(struct io_ring_ctx *ctx,
				    unsigned long uaddr, unsigned long len,
				    int *nr_pages, struct layout_pins *pins)
{
	struct layout_owner *outer;
	struct page **pages;
	int ret;

	lockdep_assert_held(&ctx->uring_lock);
	ret = io_layout_enter(ctx, &outer);
	if (ret)
		return ERR_PTR(ret);
	pages = io_pin_pages(uaddr, len, nr_pages, pins);
	layout_owner_exit(outer);
	return pages;
}

/**
 * __io_layout_buf_attach - hand the pins of a buffer over to it
 * @ctx:  the ring
 * @imu:  a buffer that is ready but for this
 * @pins: what has been pinned for it under a layout lease, empty afterwards
 *
 * Context: Process context, uring_lock is held.  May sleep.
 * Return: 0, or -ENOMEM with nothing done.
 */
int __io_layout_buf_attach(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu,
			   struct layout_pins *pins)
{
	struct io_layout_ring *ring = ctx->layout;
	struct io_layout_buf *buf;

	buf = kzalloc(sizeof(*buf), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	refcount_set(&buf->lb_refs, 2);
	refcount_set(&buf->lb_users, 1);
	INIT_LIST_HEAD(&buf->lb_workers);
	INIT_WORK(&buf->lb_drop, io_layout_drop_work);
	refcount_inc(&ring->lr_refs);
	buf->lb_ring = ring;
	buf->lb_owner = layout_owner_get(ring->lr_owner);
	buf->lb_imu = imu;
	swap(buf->lb_pins, *pins);
	imu->layout = buf;

	spin_lock(&ring->lr_lock);
	list_add_tail(&buf->lb_list, &ring->lr_bufs);
	spin_unlock(&ring->lr_lock);
	/* A revocation may have come before it was listed. */
	if (layout_owner_revoked(buf->lb_owner))
		io_layout_revoke(ring);
	return 0;
}

/*
 * A file that knows no iterators is given the address, which may be mapped to
 * anything by now, and not the pages of the buffer.
 */
static bool io_layout_uses_pages(const struct io_kiocb *req)
{
	const struct file_operations *fops = req->file->f_op;

	return req->opcode == IORING_OP_READ_FIXED ? fops->read_iter :
						     fops->write_iter;
}

/**
 * io_layout_begin - a request is about to do I/O with a leased buffer
 * @use:         for io_layout_issued()
 * @req:         the request, whose buffer is leased
 * @issue_flags: enum io_uring_cmd_flags
 *
 * Context: Process context.
 * Return: false if the buffer has been revoked.
 */
bool io_layout_begin(struct io_layout_use *use, struct io_kiocb *req,
		     unsigned int issue_flags)
{
	struct io_layout_buf *buf = io_layout_buf(req->imu);
	struct io_layout_ring *ring = buf->lb_ring;

	if (READ_ONCE(buf->lb_closed))
		goto closed;
	use->task = NULL;
	if (!io_layout_uses_pages(req))
		return true;
	if (!(req->flags & REQ_F_LAYOUT)) {
		if (!refcount_inc_not_zero(&buf->lb_users))
			return false;
		req->flags |= REQ_F_LAYOUT;
	}

	if (!(issue_flags & IO_URING_F_IOWQ))
		return true;
	use->buf = buf;
	use->task = current;
	spin_lock(&ring->lr_lock);
	if (buf->lb_closed) {
		spin_unlock(&ring->lr_lock);
		goto closed;
	}
	/* The request may be gone when its issue returns. */
	refcount_inc(&buf->lb_refs);
	list_add(&use->list, &buf->lb_workers);
	spin_unlock(&ring->lr_lock);
	return true;

closed:
	io_layout_end(req);
	return false;
}

/**
 * io_layout_issued - a request has been issued after io_layout_begin()
 * @use: what that filled in
 * @req: the request, perhaps gone already if @ret is IOU_ISSUE_SKIP_COMPLETE
 * @ret: what the issue has returned
 *
 * Context: Process context.
 */
void io_layout_issued(struct io_layout_use *use, struct io_kiocb *req, int ret)
{
	if (use->task) {
		spin_lock(&use->buf->lb_ring->lr_lock);
		list_del(&use->list);
		spin_unlock(&use->buf->lb_ring->lr_lock);
	}
	/* Otherwise its completion ends it, or has done so. */
	if (ret != IOU_ISSUE_SKIP_COMPLETE)
		io_layout_end(req);
	if (use->task)
		io_layout_buf_put(use->buf);
}

/**
 * __io_layout_end - io_layout_end() of a request that uses a leased buffer
 * @req: the request
 *
 * Context: Any.
 */
void __io_layout_end(struct io_kiocb *req)
{
	req->flags &= ~REQ_F_LAYOUT;
	io_layout_buf_unuse(io_layout_buf(req->imu));
}

/**
 * io_layout_closed - would a request use a buffer that was taken away?
 * @req: the request
 *
 * Context: Any.
 * Return: true if it would.
 */
bool io_layout_closed(const struct io_kiocb *req)
{
	struct io_layout_buf *buf;

	if (req->opcode != IORING_OP_READ_FIXED &&
	    req->opcode != IORING_OP_WRITE_FIXED)
		return false;
	buf = io_layout_buf(req->imu);
	return buf && READ_ONCE(buf->lb_closed);
}

/**
 * io_layout_ring_close - the ring goes away
 * @ctx: the ring, which has neither requests nor buffers any more
 *
 * Context: Process context.
 */
void io_layout_ring_close(struct io_ring_ctx *ctx)
{
	struct io_layout_ring *ring = ctx->layout;
	struct layout_owner *owner;

	if (!ring)
		return;
	spin_lock(&ring->lr_lock);
	ring->lr_ctx = NULL;
	owner = ring->lr_owner;
	ring->lr_owner = NULL;
	spin_unlock(&ring->lr_lock);
	layout_owner_close(owner);
	ctx->layout = NULL;
	io_layout_ring_put(ring);
}

/**
 * io_layout_show_fdinfo - the pins that a ring keeps alive
 * @m:   its fdinfo
 * @ctx: the ring
 *
 * Context: Process context.  May sleep.
 */
void io_layout_show_fdinfo(struct seq_file *m, struct io_ring_ctx *ctx)
{
	/* Pairs with smp_store_release() in io_layout_enter(). */
	struct io_layout_ring *ring = smp_load_acquire(&ctx->layout);
	struct layout_owner *owner = NULL;

	if (!ring)
		return;
	spin_lock(&ring->lr_lock);
	if (ring->lr_owner)
		owner = layout_owner_get(ring->lr_owner);
	spin_unlock(&ring->lr_lock);
	if (owner)
		layout_owner_show_fdinfo(m, owner);
	layout_owner_put(owner);
}

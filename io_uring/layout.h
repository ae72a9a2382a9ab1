/* SPDX-License-Identifier: GPL-2.0 */
#ifndef IOU_LAYOUT_H
#define IOU_LAYOUT_H

#include <linux/io_uring_types.h>
#include <linux/layout_lease.h>

#include "memmap.h"
#include "rsrc.h"

struct seq_file;

/**
 * struct io_layout_use - one issue of a request that uses a leased buffer
 * @task: the worker of io-wq that runs the request, NULL otherwise
 * @buf:  the buffer that it uses, referenced
 * @list: entry in its list of workers.  lr_lock
 */
struct io_layout_use {
	struct task_struct *task;
	struct io_layout_buf *buf;
	struct list_head list;
};

#ifdef CONFIG_LAYOUT_LEASE
struct page **__io_layout_pin_pages(struct io_ring_ctx *ctx,
				    unsigned long uaddr, unsigned long len,
				    int *nr_pages, struct layout_pins *pins);
int __io_layout_buf_attach(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu,
			   struct layout_pins *pins);
void io_layout_buf_close(struct io_layout_buf *buf);
bool io_layout_begin(struct io_layout_use *use, struct io_kiocb *req,
		     unsigned int issue_flags);
void io_layout_issued(struct io_layout_use *use, struct io_kiocb *req, int ret);
void __io_layout_end(struct io_kiocb *req);
bool io_layout_closed(const struct io_kiocb *req);
void io_layout_ring_close(struct io_ring_ctx *ctx);
void io_layout_show_fdinfo(struct seq_file *m, struct io_ring_ctx *ctx);

/*
 * io_pin_pages() of a buffer, which may be leased.  A ring becomes an owner of pins
 * when GUP has refused its memory for the first time: those that never meet a
 * leased file have nothing to set up.
 */
static inline struct page **io_layout_pin_pages(struct io_ring_ctx *ctx,
						unsigned long uaddr,
						unsigned long len,
						int *nr_pages,
						struct layout_pins *pins)
{
	struct page **pages;

	if (likely(!ctx->layout)) {
		pages = io_pin_pages(uaddr, len, nr_pages, pins);
		if (likely(pages != ERR_PTR(-EOPNOTSUPP)))
			return pages;
	}
	return __io_layout_pin_pages(ctx, uaddr, len, nr_pages, pins);
}

/* Hand what was pinned under a layout lease over to the buffer.  0 or -ENOMEM. */
static inline int io_layout_buf_attach(struct io_ring_ctx *ctx,
				       struct io_mapped_ubuf *imu,
				       struct layout_pins *pins)
{
	return layout_pins_empty(pins) ? 0 :
					 __io_layout_buf_attach(ctx, imu, pins);
}

/* Is the buffer pinned under a layout lease? */
static inline struct io_layout_buf *io_layout_buf(const struct io_mapped_ubuf *imu)
{
	return imu->layout;
}

static inline void io_layout_buf_init(struct io_mapped_ubuf *imu)
{
	imu->layout = NULL;
}

/* To be called when a request's I/O has ended, for good or to be retried. */
static inline void io_layout_end(struct io_kiocb *req)
{
	if (unlikely(req->flags & REQ_F_LAYOUT))
		__io_layout_end(req);
}
#else
static inline struct page **io_layout_pin_pages(struct io_ring_ctx *ctx,
						unsigned long uaddr,
						unsigned long len,
						int *nr_pages,
						struct layout_pins *pins)
{
	return io_pin_pages(uaddr, len, nr_pages, NULL);
}

static inline int io_layout_buf_attach(struct io_ring_ctx *ctx,
				       struct io_mapped_ubuf *imu,
				       struct layout_pins *pins)
{
	return 0;
}

static inline void io_layout_buf_close(struct io_layout_buf *buf)
{
}

static inline bool io_layout_begin(struct io_layout_use *use,
				   struct io_kiocb *req,
				   unsigned int issue_flags)
{
	return true;
}

static inline void io_layout_issued(struct io_layout_use *use,
				    struct io_kiocb *req, int ret)
{
}

static inline bool io_layout_closed(const struct io_kiocb *req)
{
	return false;
}

static inline void io_layout_ring_close(struct io_ring_ctx *ctx)
{
}

static inline void io_layout_show_fdinfo(struct seq_file *m,
					 struct io_ring_ctx *ctx)
{
}

static inline struct io_layout_buf *io_layout_buf(const struct io_mapped_ubuf *imu)
{
	return NULL;
}

static inline void io_layout_buf_init(struct io_mapped_ubuf *imu)
{
}

static inline void io_layout_end(struct io_kiocb *req)
{
}
#endif
#endif

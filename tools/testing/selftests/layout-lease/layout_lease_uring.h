/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared parts of the tests of io_uring: rings with registered buffers in a
 * leased file, requests on them, and processes that play a part of a test.
 *
 * Most tests hold the lease themselves, and have somebody else break it.
 */
#ifndef LAYOUT_LEASE_URING_H
#define LAYOUT_LEASE_URING_H

#include <liburing.h>
#include <sys/mman.h>

#include "layout_lease_revoke.h"

#define LL_ENTRIES	64
#define LL_NO_CQE	(-ETIME)	/* instead of a result: none came */

/* A ring, and a mapping of the file whose pages are to be its buffers. */
struct ll_uring {
	struct io_uring ring;
	int fd;
	char *map;
	bool open;
};

/* A request. buf < 0: a buffer that is not registered. */
struct ll_io {
	int op;			/* IORING_OP_* */
	int fd;
	void *addr;
	unsigned int len;
	int buf;		/* index of a registered buffer */
	uint64_t off;
	unsigned int flags;	/* IOSQE_* */
	unsigned int op_flags;	/* of the operation */
	unsigned short ioprio;	/* flags of a send */
	long data;		/* comes back with the result */
};

/* A process with a part of its own, at the other end of a socket. */
struct ll_actor {
	pid_t pid;
	int sock;
};

int ll_uring_open(struct ll_uring *u, const char *path, unsigned int flags);
int ll_uring_unwilling(struct ll_env *env, struct ll_uring *u, const char *path,
		       unsigned int flags);
void ll_uring_close(struct ll_uring *u);
int ll_uring_table(struct ll_uring *u, off_t off, size_t len);
int ll_uring_update(struct ll_uring *u, int slot, void *addr, size_t len);
int ll_uring_clone(struct io_uring *to, struct io_uring *from);
void *ll_anon(size_t len);
int ll_loop(const char *file, char *dev);

int ll_io_submit(struct io_uring *ring, const struct ll_io *io);
int ll_io_result(struct io_uring *ring, int timeout_ms, long *data);
int ll_io_do(struct io_uring *ring, const struct ll_io *io);

#define ll_submit(r, ...) ll_io_submit(r, &(struct ll_io){ __VA_ARGS__ })
#define ll_do(r, ...) ll_io_do(r, &(struct ll_io){ __VA_ARGS__ })

int ll_in_child(int (*part)(void *arg), void *arg);
int ll_actor_start(struct ll_actor *a, void (*part)(int sock, void *arg),
		   void *arg);
int ll_say_int(int sock, int value);
int ll_hear_int(int sock, int timeout_ms);
void ll_actor_end(struct ll_actor *a);

int ll_uring_leave(struct ll_uring *u, int slot, const char *path);
int ll_pins_gone(const char *path, int timeout_ms);
int ll_finish(struct ll_breaker *b, int timeout_ms);
int64_t ll_time_truncate(struct ll_breaker *b, const char *path);
void ll_say_uring(struct ll_said *s, const struct ll_id *id, uint64_t start,
		  uint64_t end);

#endif /* LAYOUT_LEASE_URING_H */

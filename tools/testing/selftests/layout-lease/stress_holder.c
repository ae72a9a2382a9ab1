// SPDX-License-Identifier: GPL-2.0
/*
 * A holder of the stress test: takes a lease, pins ranges for RDMA or as buffers
 * of a ring, has them written to, and lets go when it is told, or does not.
 * Every one ends sooner or later, by itself or killed, and is followed by the
 * next.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

#define MRS		3
#define WRITE_LEN	(64 * LL_KIB)

struct holder {
	struct st_role *role;
	struct ll_rdma rdma;
	struct ll_qp qp;
	struct ll_peer peer;
	struct ibv_mr *mr[MRS];
	struct ll_uring ring;
	char *source;		/* what goes into buffers of the ring */
	int source_fd;
	char *map;
	int fd;
	uint32_t tag;
	bool deaf, buffers;
};

static int told;

static void on_told(int sig)
{
	(void)sig;
	__atomic_store_n(&told, 1, __ATOMIC_RELAXED);
}

static void fill(char *buf, size_t len, uint32_t tag, uint32_t n)
{
	uint64_t *word = (uint64_t *)buf;
	size_t i;

	for (i = 0; i < len / sizeof(*word); i++)
		word[i] = st_word(tag, n);
}

/* A registration or its refusal; anything else is a violation. */
static void count_pin(struct holder *h, enum st_count what, int ret)
{
	switch (ret) {
	case 0:
		st_did(h->role, what);
		break;
	case -EAGAIN: case -EFAULT: case -EOPNOTSUPP: case -EIO: case -ENOMEM: case -EINTR:
		st_did(h->role, ST_PINS_REFUSED);
		break;
	default:
		st_violation(h->role, "a registration returned %d", ret);
	}
}

static off_t random_range(struct holder *h, size_t *len)
{
	size_t pages = 1 + st_random(h->role, st_chance(h->role, 30) ? 1024 : 32);
	off_t off = st_random(h->role, ST_FILE_SIZE / LL_PAGE - 1) * LL_PAGE;

	*len = pages * LL_PAGE;
	if (off + *len > (size_t)ST_FILE_SIZE)
		*len = ST_FILE_SIZE - off;
	return off;
}

static void pin_some(struct holder *h)
{
	size_t len;
	off_t off;
	int i, ret;

	for (i = 0; i < MRS; i++) {
		if (h->mr[i])
			continue;
		off = random_range(h, &len);
		ret = ll_reg(&h->rdma, h->map + off, len, &h->mr[i]);
		count_pin(h, ST_PINS, ret);
	}
	if (!h->ring.open || h->buffers)
		return;
	off = random_range(h, &len);
	h->ring.map = h->map;
	ret = ll_uring_table(&h->ring, off, len);
	h->buffers = !ret;
	count_pin(h, ST_BUFFERS, ret);
	if (h->buffers)
		ll_do(&h->ring.ring, .op = IORING_OP_READ_FIXED, .fd = h->source_fd,
		      .addr = h->map + off, .len = len < WRITE_LEN ? len : WRITE_LEN);
}

static void unpin_all(struct holder *h)
{
	int i;

	for (i = 0; i < MRS; i++)
		ll_dereg(&h->mr[i]);
	if (h->buffers)
		io_uring_unregister_buffers(&h->ring.ring);
	h->buffers = false;
}

/* One RDMA WRITE into one of the registrations. */
static bool write_once(struct holder *h, uint32_t n)
{
	struct ibv_mr *mr = h->mr[st_random(h->role, MRS)];
	struct ll_peer *p = &h->peer;
	size_t len;

	if (!mr) {
		ll_sleep_ms(2);
		return true;
	}
	len = mr->length < WRITE_LEN ? mr->length : WRITE_LEN;
	fill(p->buf, len, h->tag, n);
	if (ll_rdma_write(&p->q, p->mr, (uintptr_t)mr->addr, mr->rkey, len, &p->stop)) {
		st_did(h->role, ST_WRITES_REFUSED);
		return false;
	}
	st_did(h->role, ST_WRITES);
	return true;
}

/* Somebody who merely has the context and the ring for a while: nobody may kill it. */
static void leave_behind(struct holder *h)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return;
	st_did(h->role, ST_LEFT);
	if (pid) {
		*h->role->agreed = 1;
		_exit(0);
	}
	/* of its own, so that how it ends can be seen */
	pid = fork();
	if (pid < 0)
		_exit(0);
	if (!pid) {
		ll_sleep_ms(st_random(h->role, 4000));
		_exit(0);
	}
	if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		st_violation(h->role, "an innocent was killed by signal %d", WTERMSIG(status));
	_exit(0);
}

static int set_up(struct holder *h)
{
	struct st_role *r = h->role;
	int file = st_random(r, ST_FILES);
	int ret;

	h->tag = st_tag(r->mount, file);
	h->deaf = st_chance(r, 30);
	h->fd = ll_open(r->mount->path[file], O_RDWR);
	if (h->fd < 0)
		return h->fd;
	/* The size may be smaller at the moment: what lies beyond is EFAULT. */
	h->map = mmap(NULL, ST_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd, 0);
	if (h->map == MAP_FAILED)
		return -errno;
	ret = ll_rdma_open(&h->rdma) ?: ll_qp_create(&h->rdma, &h->qp) ?:
	      ll_peer_open(&h->peer, &h->rdma, &h->qp);
	if (ret)
		return ret;
	h->source_fd = memfd_create("source", MFD_CLOEXEC);
	h->source = malloc(WRITE_LEN);
	if (h->source_fd < 0 || !h->source)
		return -errno;
	fill(h->source, WRITE_LEN, h->tag, 0);
	if (pwrite(h->source_fd, h->source, WRITE_LEN, 0) != WRITE_LEN)
		return -errno;
	if (st_chance(r, 50))
		h->ring.open = !io_uring_queue_init(8, &h->ring.ring, 0);
	return 0;
}

/* Agrees, more or less, and takes the lease. */
static int take_lease(struct holder *h)
{
	struct st_role *r = h->role;
	int tell = st_chance(r, 25) ? SIGKILL : LL_SIG;
	bool consent = !st_chance(r, 10);	/* without: refused, unless "deny" */
	int ret;

	__atomic_store_n(r->agreed, consent, __ATOMIC_SEQ_CST);
	ret = ll_take(h->fd, consent, consent ? tell : LL_SIG);
	if (!ret)
		st_did(r, ST_LEASES);
	else if (ret != -EAGAIN && ret != -EPERM && ret != -EOPNOTSUPP)
		st_violation(r, "F_SETLEASE returned %d", ret);
	return ret;
}

static void live(struct holder *h)
{
	struct st_role *r = h->role;
	int64_t end = ll_now_ms() + 200 + st_random(r, 4000);
	uint32_t n = 1;

	while (ll_now_ms() < end && !st_stopped(r)) {
		if (!h->deaf && __atomic_exchange_n(&told, 0, __ATOMIC_RELAXED)) {
			unpin_all(h);
			st_did(r, ST_LET_GO);
			ll_sleep_ms(st_random(r, 200));
		}
		pin_some(h);
		if (!write_once(h, n++))
			return;
		if (st_chance(r, 5))
			ll_sleep_ms(st_random(r, 50));
		if (st_chance(r, 2))
			munmap(h->map + st_random(r, 4) * 2 * LL_MIB, LL_PAGE);
	}
}

/* Does not return. */
void st_holder(struct st_role *r)
{
	struct holder h = { .role = r };

	signal(LL_SIG, on_told);
	signal(SIGIO, SIG_IGN);
	if (set_up(&h))
		_exit(2);
	if (take_lease(&h)) {
		ll_sleep_ms(20);
		_exit(0);
	}
	live(&h);
	if (st_chance(r, 30))
		leave_behind(&h);
	if (st_chance(r, 50)) {
		unpin_all(&h);
		if (!ll_setlease(h.fd, F_UNLCK) && st_chance(r, 50))
			ll_qp_destroy(&h.qp);
	}
	_exit(0);
}

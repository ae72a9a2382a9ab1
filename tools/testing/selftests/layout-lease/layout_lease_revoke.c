// SPDX-License-Identifier: GPL-2.0
/*
 * Pins whose holder is gone, processes that merely keep a context, and a peer
 * that writes through one.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layout_lease_revoke.h"

#define PATTERN 0xa5

struct leaver {
	int ret;
	struct ll_left left;
};

static int pin_and_go(struct ll_rdma *r, const char *path, off_t off,
		      size_t len, int count, struct ll_left *left)
{
	int fd = ll_open(path, O_RDWR), ret, i;
	struct ibv_mr *mr;
	char *map;

	if (fd < 0)
		return fd;
	map = ll_map_fd(fd, off + len, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (!map)
		return -errno;
	ret = ll_take(fd, true, SIGKILL);
	for (i = 0; i < count && !ret; i++) {
		ret = ll_reg(r, map + off, len, &mr);
		if (!ret && !i) {
			left->handle = mr->handle;
			left->rkey = mr->rkey;
			left->addr = (uintptr_t)mr->addr;
		}
	}
	return ret;
}

/*
 * Has a process take a lease on the file, register a range of it so many times
 * with this context, which is the caller's, and exit. What it has registered
 * stays, and its pins with it.
 */
int ll_leave(struct ll_rdma *r, const char *path, off_t off, size_t len,
	     int count, struct ll_left *left)
{
	struct leaver *l;
	int status, ret;
	pid_t pid;

	l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l == MAP_FAILED)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		l->ret = pin_and_go(r, path, off, len, count, &l->left);
		_exit(0);
	}
	ret = ll_wait_exit(pid, 3 * LL_SOON, &status) ?: status ?: l->ret;
	if (left)
		*left = l->left;
	munmap(l, sizeof(*l));
	return ret;
}

/* How many pins, or leases, of this file there are; it need not be there any more. */
int ll_listed_id(const struct ll_id *id, bool pins)
{
	char line[2 * LL_PATH + 128];
	struct ll_row row;
	int count = 0;
	FILE *f;

	f = fopen("/proc/layout_leases", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!ll_scan_row(line, &row))
			count = -EBADMSG;
		else if (count >= 0)
			count += row.pin == pins && row.id.ino == id->ino &&
				 row.id.major == id->major &&
				 row.id.minor == id->minor;
	}
	fclose(f);
	return count;
}

/* How many there are of the file with this name. */
int ll_listed(const char *path, bool pins)
{
	struct ll_id id;

	return ll_identify(path, &id) ? -errno : ll_listed_id(&id, pins);
}

/* The same, once there are as many as wanted, or after a while. */
int ll_comes_to_list(const char *path, bool pins, int want)
{
	int64_t end = ll_now_ms() + LL_SOON;
	int have;

	while ((have = ll_listed(path, pins)) >= 0 && have != want &&
	       ll_now_ms() < end)
		ll_sleep_ms(20);
	return have;
}

/* A holder that never agreed: it took its lease when that was not asked. */
int ll_unwilling(struct ll_env *env, struct ll_holder *h, const char *path, int tell)
{
	return ll_policy(env, "deny") ?: ll_holder_pin(h, path, false, tell) ?:
	       ll_policy(env, "break");
}

/* Grandchildren whose parent ends become children of the caller. */
int ll_adopt(void)
{
	return ll_ret(prctl(PR_SET_CHILD_SUBREAPER, 1));
}

/* A child of the holder that has all its files, and does nothing with them. */
int ll_share(struct ll_holder *h, pid_t *pid)
{
	struct ll_rsp rsp;
	int ret = ll_ask(h, &rsp, .op = H_FORK_STAY);

	*pid = ret ? 0 : rsp.pid;
	return ret;
}

/* It lives: a zombie does not. */
bool ll_stays(pid_t pid)
{
	char text[512], *state;

	if (pid <= 0 || ll_read(text, sizeof(text), "/proc/%d/stat", pid) < 0)
		return false;
	state = strrchr(text, ')');
	return state && !strchr("ZX", state[2]);
}

void ll_stay_end(pid_t pid)
{
	int status;

	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	ll_wait_exit(pid, LL_SOON, &status);
}

/* One descriptor, with one byte. */
int ll_send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte = 0;
	struct iovec io = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return ll_ret(sendmsg(sock, &msg, 0)) < 0 ? -errno : 0;
}

int ll_recv_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte;
	struct iovec io = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(sock, &msg, 0) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

/* A descriptor of another process, which does not have to agree. */
int ll_steal_fd(pid_t pid, int fd)
{
	int pidfd = ll_ret(syscall(SYS_pidfd_open, pid, 0)), ret;

	if (pidfd < 0)
		return pidfd;
	ret = ll_ret(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
	close(pidfd);
	return ret;
}

/* With a queue pair and memory to write from. */
int ll_peer_create(struct ll_peer *p)
{
	int ret = ll_rdma_open(&p->r) ?: ll_qp_create(&p->r, &p->q);

	if (ret)
		return ret;
	p->buf = mmap(NULL, LL_PIN_LEN, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return ll_reg(&p->r, p->buf, LL_PIN_LEN, &p->mr);
}

/* Connects to a queue pair that the holder makes, for its registration 0. */
int ll_peer_connect(struct ll_peer *p, struct ll_holder *h)
{
	struct ll_rsp rsp;
	int ret;

	ret = ll_ask(h, &rsp, .op = H_LISTEN) ?:
	      ll_qp_connect(&p->r, &p->q, rsp.qpn) ?:
	      ll_hold(h, .op = H_CONNECT, .a = p->q.qp->qp_num);
	p->addr = rsp.addr;
	p->rkey = rsp.rkey;
	p->qpn = rsp.qpn;
	return ret;
}

/* Connects a queue pair of its own to one of the caller's. */
int ll_peer_open(struct ll_peer *p, struct ll_rdma *r, struct ll_qp *q)
{
	return ll_peer_create(p) ?:
	       ll_qp_connect(&p->r, &p->q, q->qp->qp_num) ?:
	       ll_qp_connect(r, q, p->q.qp->qp_num);
}

int ll_peer_write(struct ll_peer *p, off_t off, size_t len, char byte)
{
	memset(p->buf, byte, len);
	return ll_rdma_write(&p->q, p->mr, p->addr + off, p->rkey, len,
			     &p->stop);
}

static void *hammer(void *arg)
{
	struct ll_peer *p = arg;
	size_t len = p->len ? p->len : LL_PIN_LEN;
	off_t off = 0;

	while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
		if (ll_peer_write(p, off, len, 'd'))
			break;
		off = p->span ? (off + len) % p->span : 0;
		__atomic_add_fetch(&p->done, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Writes on and on, as long as its writes are taken. */
int ll_peer_start(struct ll_peer *p)
{
	int64_t end = ll_now_ms() + LL_SOON;

	if (pthread_create(&p->thread, NULL, hammer, p))
		return -EAGAIN;
	while (__atomic_load_n(&p->done, __ATOMIC_RELAXED) < 3)
		if (ll_now_ms() > end)
			return -ETIMEDOUT;
	return 0;
}

void ll_peer_stop(struct ll_peer *p)
{
	struct ibv_wc wc;

	if (!p->thread)
		return;
	__atomic_store_n(&p->stop, 1, __ATOMIC_RELAXED);
	pthread_join(p->thread, NULL);
	p->thread = 0;
	p->stop = 0;
	/* the completion that it did not wait for */
	ll_sleep_ms(100);
	while (ibv_poll_cq(p->q.cq, 1, &wc) > 0)
		;
}

void ll_peer_close(struct ll_peer *p)
{
	ll_peer_stop(p);
	ll_qp_destroy(&p->q);
	ll_dereg(&p->mr);
	ll_rdma_close(&p->r);
}

/* So that blocks which are freed from here on are all that there are. */
int ll_take_all_space(struct ll_env *env)
{
	char filler[LL_PATH];

	ll_name(env, "filler", filler);
	return ll_prefill(env->root, filler);
}

/*
 * The freed blocks are given to another file, and keep what that one wrote.
 * After ll_take_all_space().
 */
int ll_watch_blocks(struct ll_env *env, int64_t block)
{
	char thief[LL_PATH], filler[LL_PATH];
	int64_t end, off;
	int ret;

	ll_name(env, "thief", thief);
	ll_name(env, "filler", filler);
	off = ll_reallocate(thief, LL_FILE_SIZE, block, LL_FILE_SIZE);
	if (off < 0)
		return off;
	/* writing needs some space besides */
	ret = ll_ret(unlink(filler)) ?:
	      ll_write_fill(thief, 0, ll_size(thief), PATTERN);
	if (ret)
		return ret;
	for (end = ll_now_ms() + 700; ll_now_ms() < end; )
		if (ll_filled(thief, 0, ll_size(thief), PATTERN) != 1)
			return -EILSEQ;
	return 0;
}

/* With an address, it takes the place of what is mapped there. */
int ll_stuck_open(struct ll_stuck *s, void *at, int pages)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	s->mem = mmap(at, pages * LL_PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
	if (s->mem == MAP_FAILED)
		return -errno;
	s->uffd = ll_ret(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
	if (s->uffd < 0)
		return s->uffd;
	reg.range.start = (uintptr_t)s->mem;
	reg.range.len = pages * LL_PAGE;
	return ll_ret(ioctl(s->uffd, UFFDIO_API, &api)) ?:
	       ll_ret(ioctl(s->uffd, UFFDIO_REGISTER, &reg));
}

/* Whoever is stuck goes on. */
void ll_stuck_close(struct ll_stuck *s, int pages)
{
	if (s->mem)
		munmap(s->mem, pages * LL_PAGE);
	if (s->uffd > 0)
		close(s->uffd);
	memset(s, 0, sizeof(*s));
}

int ll_stuck_wait(struct ll_stuck *s)
{
	struct pollfd p = { .fd = s->uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&p, 1, LL_SOON) <= 0)
		return -ETIMEDOUT;
	return read(s->uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

int ll_stuck_resolve(struct ll_stuck *s, int page)
{
	struct uffdio_zeropage z = {
		.range = {
			.start = (uintptr_t)s->mem + page * LL_PAGE,
			.len = LL_PAGE,
		},
	};

	return ll_ret(ioctl(s->uffd, UFFDIO_ZEROPAGE, &z));
}

/* A context of any device, without an address to connect queue pairs by. */
int ll_rdma_open_dev(struct ll_rdma *r, const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	int i;

	memset(r, 0, sizeof(*r));
	for (i = 0; list && list[i] && !r->ctx; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			r->ctx = ibv_open_device(list[i]);
	if (list)
		ibv_free_device_list(list);
	if (!r->ctx)
		return -ENODEV;
	r->pd = ibv_alloc_pd(r->ctx);
	return r->pd ? 0 : -errno;
}

/*
 * The next asynchronous event of a context, -ETIMEDOUT if there is none, or
 * never will be.
 */
int ll_next_event(struct ibv_context *ctx, int timeout_ms)
{
	struct pollfd p = { .fd = ctx->async_fd, .events = POLLIN };
	struct ibv_async_event event;

	if (poll(&p, 1, timeout_ms) <= 0 || !(p.revents & POLLIN))
		return -ETIMEDOUT;
	if (ibv_get_async_event(ctx, &event))
		return -errno;
	ibv_ack_async_event(&event);
	return event.event_type;
}

/* A revocation that is under way keeps what it destroys busy for a moment. */
int ll_until_idle(int (*destroy)(void *object), void *object)
{
	int64_t end = ll_now_ms() + LL_SOON;
	int ret;

	while ((ret = destroy(object)) == EBUSY && ll_now_ms() < end)
		ll_sleep_ms(5);
	return -ret;
}

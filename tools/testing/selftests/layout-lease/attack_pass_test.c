// SPDX-License-Identifier: GPL-2.0
/*
 * Attackers who pass their context or ring on, to where it outlives them or
 * cannot be found: the pins go with the attacker, and whoever was given it, or
 * has it lying in a queue, lives on.
 */
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_attack.h"
#include "layout_lease_uring.h"

#define ROUNDS		25
#define RING_OFF	(2 * LL_MIB)	/* the ring's buffer, in the file */

FIXTURE(pass)
{
	struct ll_attack a;
	int sock[2];
};

FIXTURE_VARIANT(pass)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(pass, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(pass, xfs) {
	.fs = LL_XFS,
};

/* Of a holder and of the keeper each: a process of its own. */
static struct io_uring ring, taken;
static struct io_uring_params *params;	/* of the attacker's ring, for the keeper */
static int kept = -1;

FIXTURE_SETUP(pass)
{
	params = mmap(NULL, sizeof(*params), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, params);
	ASSERT_EQ(0, ll_ret(socketpair(AF_UNIX, SOCK_STREAM, 0, self->sock)));
	ASSERT_EQ(0, ll_attack_setup(&self->a, variant->fs));
}

FIXTURE_TEARDOWN(pass)
{
	EXPECT_EQ(0, ll_attack_end(&self->a));
}

static int send_context(struct ll_inside *in, long sock)
{
	return ll_send_fd(sock, in->rdma->ctx->cmd_fd);
}

static int drop_context(struct ll_inside *in, long arg)
{
	(void)arg;
	return ll_ret(close(in->rdma->ctx->cmd_fd));
}

static int keep(struct ll_inside *in, long sock)
{
	(void)in;
	kept = ll_recv_fd(sock);
	return kept < 0 ? kept : 0;
}

/* Of what the keeper has, only a ring of its own knows. */
static int hide_in_ring(struct ll_inside *in, long sock)
{
	int ret = keep(in, sock) ?: io_uring_queue_init(4, &ring, 0) ?:
		  io_uring_register_files(&ring, &kept, 1);

	return ret ?: ll_ret(close(kept));
}

static int nop(struct io_uring *r)
{
	return ll_do(r, .op = IORING_OP_NOP);
}

static int ring_works(struct ll_inside *in, long arg)
{
	(void)in;
	(void)arg;
	return nop(&ring);
}

/* The attacker's ring, with a buffer at RING_OFF. */
static int make_ring(struct ll_inside *in, long arg)
{
	struct iovec v = { .iov_base = in->map[0] + RING_OFF, .iov_len = LL_PIN_LEN };

	(void)arg;
	memset(params, 0, sizeof(*params));
	return io_uring_queue_init_params(LL_ENTRIES, &ring, params) ?:
	       io_uring_register_buffers(&ring, &v, 1) ?: ring.ring_fd;
}

/* Tries to leave the ring in a socket's queue. */
static int send_ring(struct ll_inside *in, long sock)
{
	(void)in;
	return ll_send_fd(sock, ring.ring_fd);
}

/* Tries to leave it in another ring. */
static int ring_in_ring(struct ll_inside *in, long arg)
{
	struct io_uring outer;
	int ret = io_uring_queue_init(4, &outer, 0);

	(void)in;
	(void)arg;
	return ret ?: io_uring_register_files(&outer, &ring.ring_fd, 1);
}

/* What arg is made of: a process and a descriptor of it. */
static long whose(pid_t pid, int fd)
{
	return (long)pid << 16 | fd;
}

static int steal(struct ll_inside *in, long what)
{
	(void)in;
	kept = ll_steal_fd(what >> 16, what & 0xffff);
	return kept < 0 ? kept : 0;
}

static int steal_ring(struct ll_inside *in, long what)
{
	return steal(in, what) ?: io_uring_queue_mmap(kept, params, &taken) ?:
	       nop(&taken);
}

/* A fixed read through the stolen ring, to where the attacker has its buffer. */
static int use_stolen_ring(struct ll_inside *in, long addr)
{
	int zero = ll_open("/dev/zero", O_RDONLY), ret;

	(void)in;
	ret = ll_do(&taken, .op = IORING_OP_READ_FIXED, .fd = zero,
		    .addr = (void *)addr, .len = 10, .buf = 0);
	close(zero);
	return ret;
}

static int leave_only_the_context(struct ll_holder *h)
{
	return ll_hold(h, .op = H_UNMAP) ?: ll_hold(h, .op = H_CLOSE);
}

/* The attacker has traffic, and sends its context away. */
static int pin_and_send(struct ll_attack *a, int sock)
{
	return ll_holder_pin(&a->h, a->path, true, LL_SIG) ?:
	       ll_attack_traffic(a) ?: ll_call(&a->h, send_context, sock);
}

/* The truncate kills the attacker, and takes from the keeper what that had left. */
static int falls(struct ll_attack *a)
{
	int64_t took = ll_attack_truncate(a);
	int ret;

	if (took < 0)
		return took;
	ret = ll_holder_wait(&a->h, LL_SOON);
	if (ret != SIGKILL)
		return ret < 0 ? ret : -ECHILD;
	return ll_listed(a->path, true) ? -EBUSY : 0;
}

/* Unmapped and closed all but the context; what it was written to is watched. */
static int falls_with_all_but_the_context(struct ll_attack *a)
{
	int ret = leave_only_the_context(&a->h);

	if (!ret && ll_listed(a->path, true) != 1)
		ret = -ENOENT;
	return ret ?: ll_take_all_space(&a->env) ?: falls(a) ?: ll_attack_watch(a);
}

TEST_F_TIMEOUT(pass, context_that_an_innocent_has_received, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, pin_and_send(a, self->sock[0]));
	ASSERT_EQ(0, ll_call(&a->keeper, keep, self->sock[1]));
	EXPECT_EQ(0, falls_with_all_but_the_context(a));
}

TEST_F_TIMEOUT(pass, context_in_a_queue_that_nobody_reads, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, pin_and_send(a, self->sock[0]));
	ASSERT_EQ(0, ll_call(&a->h, drop_context, 0));
	EXPECT_EQ(0, falls_with_all_but_the_context(a));
}

TEST_F_TIMEOUT(pass, context_that_only_a_ring_of_an_innocent_has, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, pin_and_send(a, self->sock[0]));
	ASSERT_EQ(0, ll_call(&a->keeper, hide_in_ring, self->sock[1]));
	ASSERT_EQ(0, ll_call(&a->h, drop_context, 0));
	EXPECT_EQ(0, falls_with_all_but_the_context(a));
	EXPECT_EQ(0, ll_call(&a->keeper, ring_works, 0));
}

/* Both taken without the attacker's help, which has nothing left itself. */
TEST_F_TIMEOUT(pass, context_and_ring_that_an_innocent_has_taken, 90)
{
	struct ll_attack *a = &self->a;
	struct ll_rsp rsp;
	int fd;

	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	fd = ll_holder_fd(&a->h, LL_UVERBS);
	ASSERT_LT(0, fd);
	ASSERT_EQ(0, ll_ask(&a->h, &rsp, .op = H_LISTEN));
	ASSERT_EQ(0, ll_call(&a->keeper, steal, whose(a->h.pid, fd)));
	fd = ll_call(&a->h, make_ring, 0);
	ASSERT_LT(0, fd);
	ASSERT_EQ(0, ll_call(&a->keeper, steal_ring, whose(a->h.pid, fd)));
	ASSERT_EQ(0, leave_only_the_context(&a->h));
	EXPECT_EQ(2, ll_listed(a->path, true));
	EXPECT_EQ(10, ll_call(&a->keeper, use_stolen_ring, rsp.addr + RING_OFF));
	EXPECT_EQ(0, falls(a));
	EXPECT_EQ(-EFAULT, ll_call(&a->keeper, use_stolen_ring,
				   rsp.addr + RING_OFF));
}

/* There is no way to leave a ring in a socket or in another ring. */
TEST_F_TIMEOUT(pass, ring_that_cannot_be_hidden, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_holder_start(&a->h));
	ASSERT_EQ(0, ll_holder_open(&a->h, 0, a->path));
	ASSERT_EQ(0, ll_holder_lease(&a->h, 0, true, LL_SIG));
	ASSERT_LT(0, ll_call(&a->h, make_ring, 0));
	EXPECT_EQ(-EINVAL, ll_call(&a->h, send_ring, self->sock[0]));
	EXPECT_EQ(-EBADF, ll_call(&a->h, ring_in_ring, 0));
	EXPECT_EQ(0, falls(a));
}

/* Opened anew, they are something else: without pins, lease or consent. */
static int reopen(struct ll_inside *in, long what)
{
	char path[LL_PATH];

	(void)in;
	snprintf(path, sizeof(path), "/proc/%ld/fd/%ld", what >> 16, what & 0xffff);
	return ll_open(path, O_RDWR);
}

static int reopen_and_unlock(struct ll_inside *in, long what)
{
	int fd = reopen(in, what), ret;

	if (fd < 0)
		return fd;
	ret = ll_setlease(fd, F_UNLCK);
	close(fd);
	return ret;
}

static int reopen_and_register(struct ll_inside *in, long what)
{
	int fd = reopen(in, what), ret;
	struct ll_rdma r;
	struct ibv_mr *mr;
	char *map;

	if (fd < 0)
		return fd;
	map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ret = map ? ll_rdma_open(&r) ?: ll_reg(&r, map, LL_PAGE, &mr) : -errno;
	munmap(map, LL_FILE_SIZE);
	close(fd);
	return ret;
}

TEST_F_TIMEOUT(pass, reopening_by_proc_helps_nobody, 90)
{
	struct ll_attack *a = &self->a;
	int fd, ctx, made;

	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	fd = ll_holder_fd(&a->h, 0);
	ctx = ll_holder_fd(&a->h, LL_UVERBS);
	made = ll_call(&a->h, make_ring, 0);
	ASSERT_LT(0, made);
	EXPECT_EQ(-EAGAIN, ll_call(&a->keeper, reopen_and_unlock,
				   whose(a->h.pid, fd)));
	EXPECT_EQ(-EOPNOTSUPP, ll_call(&a->keeper, reopen_and_register,
				       whose(a->h.pid, fd)));
	EXPECT_EQ(-ENXIO, ll_call(&a->keeper, reopen, whose(a->h.pid, made)));
	/* a context that has no pin does not keep one */
	EXPECT_LT(0, ll_call(&a->keeper, reopen, whose(a->h.pid, ctx)));
	EXPECT_EQ(0, falls(a));
}

/*
 * Two sockets, each in the queue of the other, and the context beside: closed,
 * they are nobody's, and go when the kernel looks for such.
 */
static int send_cycle(struct ll_inside *in, long arg)
{
	int s[2], ret;

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
		return -errno;
	ret = ll_send_fd(s[0], s[0]) ?: ll_send_fd(s[1], s[1]) ?:
	      ll_send_fd(s[0], in->rdma->ctx->cmd_fd);
	close(s[0]);
	close(s[1]);
	close(in->rdma->ctx->cmd_fd);
	return ret;
}

/* It looks when a socket is closed for good. */
static int collect(void)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
		return -errno;
	return ll_ret(close(s[0])) ?: ll_ret(close(s[1]));
}

TEST_F_TIMEOUT(pass, context_in_queues_that_nobody_can_reach, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	ASSERT_EQ(0, ll_call(&a->h, send_cycle, 0));
	EXPECT_EQ(1, ll_listed(a->path, true));
	EXPECT_EQ(0, falls(a));
	/* what is found now was revoked, and then something that was not */
	ASSERT_EQ(0, collect());
	ASSERT_EQ(0, ll_ret(truncate(a->path, LL_FILE_SIZE)));
	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	ASSERT_EQ(0, ll_call(&a->h, send_cycle, 0));
	ASSERT_EQ(0, collect());
	EXPECT_EQ(0, ll_comes_to_list(a->path, true, 0));
	EXPECT_LE(0, ll_attack_truncate(a));
	EXPECT_TRUE(ll_holder_alive(&a->h));
}

/* A process of its own: pins, leaves its context in the queue, and is gone. */
static pid_t pass_and_go(struct ll_attack *a, int sock, int wait)
{
	struct ll_rdma r;
	struct ibv_mr *mr;
	pid_t pid = fork();
	char *map;
	int fd;

	if (pid)
		return pid;
	fd = ll_open(a->path, O_RDWR);
	map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (!map || ll_rdma_open(&r) || ll_take(fd, true, SIGKILL) ||
	    ll_reg(&r, map, LL_PIN_LEN, &mr) || ll_say_int(sock, 1))
		_exit(1);
	usleep(wait);
	_exit(ll_send_fd(sock, r.ctx->cmd_fd) ? 2 : 0);
}

/* It is gone before, while or after the truncate comes, which it may be killed by. */
TEST_F_TIMEOUT(pass, attacker_that_exits_right_after_passing, 120)
{
	struct ll_attack *a = &self->a;
	int i, fd, status;
	pid_t pid;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, ll_ret(truncate(a->path, LL_FILE_SIZE)));
		pid = pass_and_go(a, self->sock[0], rand() % 4000);
		ASSERT_LT(0, pid);
		ASSERT_EQ(1, ll_hear_int(self->sock[1], LL_SOON));
		usleep(rand() % 4000);
		ASSERT_LE(0, ll_attack_truncate(a));
		EXPECT_EQ(0, ll_listed(a->path, true));
		ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
		EXPECT_TRUE(status == 0 || status == SIGKILL) {
			TH_LOG("round %d: status %x", i, status);
		}
		ASSERT_EQ(0, ll_ret(fcntl(self->sock[1], F_SETFL, O_NONBLOCK)));
		fd = ll_recv_fd(self->sock[1]);
		if (fd >= 0)
			close(fd);
		ASSERT_EQ(0, ll_ret(fcntl(self->sock[1], F_SETFL, 0)));
	}
}

TEST_HARNESS_MAIN

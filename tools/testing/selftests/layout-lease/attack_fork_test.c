// SPDX-License-Identifier: GPL-2.0
/*
 * Attackers who multiply: crowds of short-lived holders with children that
 * inherit their rings, while truncates go on; and processes that share memory or
 * descriptors with a holder without being threads of it.
 */
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_attack.h"
#include "layout_lease_uring.h"

#define SPAWNERS	3
#define HOLDERS		60		/* of each */
#define STACK		(256 * LL_KIB)

/* Counters of all processes of a crowd. */
struct crowd {
	int spawners;			/* at work */
	int pinned, refused, wrong;	/* registrations */
	int killed, exited;		/* holders */
	int born, lived;		/* children, to their own end */
};

/* How to share with a process what threads share, and not to be one. */
static const int sharing[] = {
	CLONE_VM, CLONE_FILES, CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND,
};

/* What such a process says. */
struct sharer {
	pid_t pid;
	int ret, done;
};

static struct sharer *sharer;	/* of each, seen by all processes */

FIXTURE(crowd)
{
	struct ll_attack a;
	struct crowd *c;
	struct ll_holder h[LL_ARRAY_SIZE(sharing)];
};

FIXTURE_VARIANT(crowd)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(crowd, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(crowd, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(crowd)
{
	ASSERT_EQ(0, ll_adopt());
	self->c = mmap(NULL, LL_PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->c);
	sharer = (void *)(self->c + 1);
	ASSERT_EQ(0, ll_attack_setup(&self->a, variant->fs));
}

FIXTURE_TEARDOWN(crowd)
{
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(sharing); i++) {
		/* they have the mapping, or the descriptors */
		ll_stay_end(sharer[i].pid);
		if (self->h[i].pid > 0)
			kill(self->h[i].pid, SIGKILL);
		ll_holder_wait(&self->h[i], LL_SOON);
	}
	EXPECT_EQ(0, ll_attack_end(&self->a));
}

static void count(int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

/* Registers with a ring or with the device, mostly with a ring: that is faster. */
static int pin_somehow(char *map, int n)
{
	struct iovec v = {
		.iov_base = map + n % 4 * LL_MIB, .iov_len = LL_PIN_LEN,
	};
	struct io_uring ring;
	struct ll_rdma r;
	struct ibv_mr *mr;

	if (n % 16 == 0)
		return ll_rdma_open(&r) ?: ll_reg(&r, v.iov_base, v.iov_len, &mr);
	return io_uring_queue_init(4, &ring, 0) ?:
	       io_uring_register_buffers(&ring, &v, 1);
}

/* Takes a lease, pins, has a child, and goes; anybody's truncate may kill it. */
static void short_life(struct crowd *c, const char *path, int n)
{
	int fd = ll_open(path, O_RDWR), ret;
	char *map;

	map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ret = map ? ll_take(fd, true, n % 2 ? SIGKILL : 0) : -errno;
	if (!ret) {
		signal(SIGIO, SIG_IGN);
		ret = pin_somehow(map, n);
	}
	if (!ret)
		count(&c->pinned);
	else if (ret == -EAGAIN || ret == -EFAULT)
		count(&c->refused);
	else
		count(&c->wrong);
	if (ret && ret != -EAGAIN && ret != -EFAULT)
		ll_log("holder %d: %d", n, ret);
	if (!fork()) {
		count(&c->born);
		usleep(rand() % 20000);
		count(&c->lived);
		_exit(0);
	}
	usleep(rand() % 5000);
	if (n % 3 == 0)
		kill(getpid(), SIGKILL);
	_exit(0);
}

static void spawn(struct crowd *c, const char *path, int seed)
{
	int n, status;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	srand(seed);
	for (n = 0; n < HOLDERS; n++) {
		pid = fork();
		if (!pid) {
			srand(seed + n);
			short_life(c, path, n);
		}
		waitpid(pid, &status, 0);
		count(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ?
		      &c->killed : &c->exited);
	}
	__atomic_sub_fetch(&c->spawners, 1, __ATOMIC_SEQ_CST);
	_exit(0);
}

static int busy(struct crowd *c)
{
	return __atomic_load_n(&c->spawners, __ATOMIC_SEQ_CST);
}

TEST_F_TIMEOUT(crowd, truncates_get_through_and_only_holders_are_killed, 120)
{
	struct ll_attack *a = &self->a;
	struct crowd *c = self->c;
	int i, truncates = 0;

	c->spawners = SPAWNERS;
	for (i = 0; i < SPAWNERS; i++)
		if (!fork())
			spawn(c, a->path, 1000 * i);
	while (busy(c)) {
		ASSERT_EQ(0, ll_ret(truncate(a->path, LL_FILE_SIZE)));
		usleep(rand() % 100000);
		ASSERT_LE(0, ll_attack_truncate(a));
		truncates++;
	}
	for (i = 0; c->lived != c->born && i < LL_SOON / 10; i++)
		ll_sleep_ms(10);
	TH_LOG("%d pinned, %d refused; %d killed, %d exited; %d truncates",
	       c->pinned, c->refused, c->killed, c->exited, truncates);
	EXPECT_EQ(SPAWNERS * HOLDERS, c->killed + c->exited);
	EXPECT_EQ(c->born, c->lived);
	EXPECT_EQ(0, c->wrong);
	EXPECT_LT(10, c->pinned);
	EXPECT_LT(5, truncates);
}

/* Not a thread of the holder, though it has all that the holder has. */
static struct ll_inside *inside;

static int pin_as_sharer(void *arg)
{
	struct sharer *s = arg;
	struct ibv_mr *mr;

	s->ret = ll_reg(inside->rdma, inside->map[0], LL_PAGE, &mr);
	__atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return 0;
}

static int share(struct ll_inside *in, long i)
{
	struct sharer *s = &sharer[i];
	char *stack = ll_anon(STACK);

	inside = in;
	s->pid = clone(pin_as_sharer, stack + STACK, sharing[i] | SIGCHLD, s);
	if (s->pid < 0)
		return -errno;
	while (!__atomic_load_n(&s->done, __ATOMIC_ACQUIRE))
		ll_sleep_ms(5);
	return s->ret;
}

TEST_F_TIMEOUT(crowd, processes_that_share_what_threads_share_cannot_pin_and_live, 90)
{
	struct ll_attack *a = &self->a;
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(sharing); i++) {
		ASSERT_EQ(0, ll_holder_pin(&self->h[i], a->path, true, LL_SIG));
		EXPECT_EQ(-EOPNOTSUPP, ll_call(&self->h[i], share, i));
	}
	EXPECT_EQ((int)LL_ARRAY_SIZE(sharing), ll_listed(a->path, true));
	EXPECT_LE(0, ll_attack_truncate(a));
	for (i = 0; i < LL_ARRAY_SIZE(sharing); i++) {
		EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h[i], LL_SOON));
		EXPECT_TRUE(ll_stays(sharer[i].pid));
	}
}

TEST_HARNESS_MAIN

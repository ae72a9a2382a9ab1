// SPDX-License-Identifier: GPL-2.0
/*
 * Life of a process that never agreed to be killed, after its pins were revoked:
 * which leases and contexts it has lost, and that it can begin again. The test
 * itself is that process.
 */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

#define RW	(PROT_READ | PROT_WRITE)
#define TRACES	"/sys/kernel/tracing/instances/layout-revoke"

/* A file with an exclusive lease and a mapping. */
struct held {
	char path[LL_PATH];
	char *map;
	int fd;
};

FIXTURE(after)
{
	struct ll_env env, env2;	/* the other filesystem */
	struct held f, g;		/* one file on each */
	struct ll_rdma r, r2, r3;
	struct ibv_mr *mr, *mr2;
	pid_t pid;
};

FIXTURE_VARIANT(after)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(after, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(after, xfs) {
	.fs = LL_XFS,
};

/* Takes a lease that says nothing of SIGKILL, as only "deny" allows. */
static int hold(struct ll_env *env, struct held *held)
{
	int ret = ll_policy(env, "deny");

	held->fd = ll_open(held->path, O_RDWR);
	if (held->fd < 0)
		return held->fd;
	held->map = ll_map_fd(held->fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	if (!held->map)
		return -errno;
	return ret ?: ll_take(held->fd, false, 0) ?: ll_policy(env, "break");
}

FIXTURE_SETUP(after)
{
	self->f.fd = -1;
	self->g.fd = -1;
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_setup(&self->env2,
			      variant->fs == LL_XFS ? LL_EXT4 : LL_XFS, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->f.path));
	ASSERT_EQ(0, ll_file(&self->env2, "g", LL_FILE_SIZE, self->g.path));
	ASSERT_EQ(0, hold(&self->env, &self->f));
	ASSERT_EQ(0, hold(&self->env2, &self->g));
	ASSERT_EQ(0, ll_rdma_open(&self->r));
	ASSERT_EQ(0, ll_rdma_open(&self->r2));
	ASSERT_EQ(0, ll_rdma_open(&self->r3));
}

FIXTURE_TEARDOWN(after)
{
	if (self->pid > 0) {
		kill(self->pid, SIGKILL);
		waitpid(self->pid, NULL, 0);
	}
	ll_rdma_close(&self->r);
	ll_rdma_close(&self->r2);
	ll_rdma_close(&self->r3);
	if (self->f.fd >= 0)
		close(self->f.fd);
	if (self->g.fd >= 0)
		close(self->g.fd);
	if (self->f.map)
		munmap(self->f.map, LL_FILE_SIZE);
	if (self->g.map)
		munmap(self->g.map, LL_FILE_SIZE);
	ll_teardown(&self->env);
	ll_teardown(&self->env2);
}

/* By another process, which waits for the deadline, a second from now. */
static int broken_by(enum ll_op op, const char *path, off_t off, off_t len)
{
	struct ll_breaker b;
	int ret = ll_breaker_start(&b, op, path, off, len), result;

	ret = ret ?: ll_breaker_wait(&b, LL_SOON, &result);
	if (ret == -ETIMEDOUT)
		ll_breaker_end(&b);
	return ret ?: result;
}

static int getlease(int fd)
{
	return ll_ret(fcntl(fd, F_GETLEASE));
}

TEST_F(after, new_context_and_new_lease_work)
{
	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, broken_by(OP_TRUNCATE, self->f.path, 0, 0));
	EXPECT_EQ(F_UNLCK, getlease(self->f.fd));
	EXPECT_EQ(0, ll_listed(self->f.path, false));
	ASSERT_EQ(0, ll_ret(truncate(self->f.path, LL_FILE_SIZE)));
	/* the lease is gone, so is the context: each by itself is not enough */
	EXPECT_EQ(-EOPNOTSUPP, ll_reg(&self->r2, self->f.map, LL_PIN_LEN,
				      &self->mr2));
	EXPECT_EQ(-EPERM, ll_setlease(self->f.fd, LL_EXCL));
	ASSERT_EQ(0, ll_take(self->f.fd, true, LL_SIG));
	EXPECT_EQ(LL_EXCL, getlease(self->f.fd));
	EXPECT_EQ(-EIO, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr2));
	EXPECT_EQ(0, ll_reg(&self->r2, self->f.map, LL_PIN_LEN, &self->mr2));
	EXPECT_EQ(1, ll_listed(self->f.path, true));
	EXPECT_EQ(0, ll_dereg(&self->mr2));
}

/* Nothing but the context is lost where the pins are given back in time. */
TEST_F(after, context_that_let_go_goes_on)
{
	struct ll_breaker b;
	int ret;

	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->f.path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&b, 300, &ret));
	EXPECT_EQ(0, ll_dereg(&self->mr));
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	ll_sleep_ms(1500);
	ASSERT_EQ(0, ll_ret(truncate(self->f.path, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	EXPECT_EQ(0, ll_dereg(&self->mr));
}

/* The range decides which contexts are revoked, not the lease. */
TEST_F(after, lease_with_pins_elsewhere_goes_with_the_last_of_them)
{
	struct ibv_mr *mr;

	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, ll_reg(&self->r2, self->f.map + LL_FAR, LL_PIN_LEN,
			    &self->mr2));
	ASSERT_EQ(0, broken_by(OP_PUNCH, self->f.path, 0, LL_PAGE));
	EXPECT_EQ(1, ll_listed(self->f.path, true));
	EXPECT_EQ(1, ll_listed(self->f.path, false));
	EXPECT_EQ(F_UNLCK, getlease(self->f.fd));
	/* it allows no more */
	EXPECT_EQ(-EOPNOTSUPP, ll_reg(&self->r2, self->f.map, LL_PAGE, &mr));
	EXPECT_EQ(-EOPNOTSUPP, ll_reg(&self->r3, self->f.map + LL_FAR, LL_PAGE,
				      &mr));
	/* the context is as good as before */
	EXPECT_EQ(0, ll_reg(&self->r2, self->g.map, LL_PAGE, &mr));
	EXPECT_EQ(0, ll_dereg(&mr));
	EXPECT_EQ(0, ll_dereg(&self->mr2));
	EXPECT_EQ(0, ll_listed(self->f.path, false));
	EXPECT_EQ(0, ll_take(self->f.fd, true, LL_SIG));
	EXPECT_EQ(0, ll_reg(&self->r2, self->f.map, LL_PAGE, &mr));
	EXPECT_EQ(0, ll_dereg(&mr));
}

/* Still in the way of others, until it goes. */
TEST_F(after, pins_elsewhere_are_broken_by_who_wants_them)
{
	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, ll_reg(&self->r2, self->f.map + LL_FAR, LL_PIN_LEN,
			    &self->mr2));
	ASSERT_EQ(0, broken_by(OP_PUNCH, self->f.path, 0, LL_PAGE));
	EXPECT_EQ(1, ll_listed(self->f.path, true));
	ASSERT_EQ(0, broken_by(OP_TRUNCATE, self->f.path, 0, 0));
	EXPECT_EQ(0, ll_listed(self->f.path, true));
	EXPECT_EQ(0, ll_listed(self->f.path, false));
	EXPECT_EQ(-EIO, ll_reg(&self->r2, self->g.map, LL_PAGE, &self->mr2));
}

TEST_F(after, pins_on_another_filesystem_go_and_their_lease_with_them)
{
	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, ll_reg(&self->r, self->g.map, LL_PIN_LEN, &self->mr2));
	EXPECT_EQ(1, ll_listed(self->g.path, true));
	ASSERT_EQ(0, broken_by(OP_TRUNCATE, self->f.path, 0, 0));
	EXPECT_EQ(0, ll_comes_to_list(self->g.path, true, 0));
	EXPECT_EQ(0, ll_listed(self->g.path, false));
	EXPECT_EQ(F_UNLCK, getlease(self->g.fd));
	EXPECT_EQ(-EOPNOTSUPP, ll_reg(&self->r2, self->g.map, LL_PAGE,
				      &self->mr2));
}

/* Who shares a context loses all with it, without being told. */
TEST_F(after, lease_of_another_holder_goes_with_its_pins_in_a_shared_context)
{
	ASSERT_EQ(0, ll_reg(&self->r, self->f.map + LL_FAR, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, ll_leave(&self->r, self->f.path, 0, LL_PIN_LEN, 1, NULL));
	ASSERT_EQ(0, broken_by(OP_PUNCH, self->f.path, 0, LL_PAGE));
	EXPECT_EQ(0, ll_comes_to_list(self->f.path, true, 0));
	EXPECT_EQ(0, ll_listed(self->f.path, false));
	EXPECT_EQ(F_UNLCK, getlease(self->f.fd));
	EXPECT_EQ(-EOPNOTSUPP, ll_reg(&self->r2, self->f.map + LL_FAR, LL_PAGE,
				      &self->mr2));
}

/* A lease of the same process that lost nothing stands. */
TEST_F(after, leases_without_a_pin_of_the_context_stand)
{
	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, ll_reg(&self->r2, self->g.map, LL_PIN_LEN, &self->mr2));
	ASSERT_EQ(0, broken_by(OP_TRUNCATE, self->f.path, 0, 0));
	ll_sleep_ms(300);
	EXPECT_EQ(1, ll_listed(self->g.path, true));
	EXPECT_EQ(LL_EXCL, getlease(self->g.fd));
	EXPECT_EQ(0, ll_dereg(&self->mr2));
	EXPECT_EQ(0, ll_reg(&self->r2, self->g.map, LL_PIN_LEN, &self->mr2));
}

/* Unlinked files too: what they keep is given back. */
TEST_F(after, filesystems_can_be_unmounted)
{
	int64_t end = ll_now_ms() + LL_SOON;
	int ret;

	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, ll_reg(&self->r, self->g.map, LL_PIN_LEN, &self->mr2));
	ASSERT_EQ(0, ll_ret(unlink(self->g.path)));
	munmap(self->g.map, LL_FILE_SIZE);
	close(self->g.fd);
	self->g.fd = -1;
	self->g.map = NULL;
	ASSERT_EQ(0, broken_by(OP_TRUNCATE, self->f.path, 0, 0));
	ASSERT_EQ(0, ll_shell("findmnt -no SOURCE %s >%s/source", self->env2.root,
			      self->env.dir));
	while ((ret = ll_shell("umount %s 2>&1", self->env2.root)) &&
	       ll_now_ms() < end)
		ll_sleep_ms(50);
	EXPECT_EQ(0, ret);
	ASSERT_EQ(0, ll_shell("mountpoint -q %s || mount -o %s $(cat %s/source) %s",
			      self->env2.root, "dax=always,layout_lease=break",
			      self->env.dir, self->env2.root));
}

TEST_F(after, revocation_is_traced_and_logged)
{
	struct ll_breaker b;
	char want[256];
	struct ll_id id;
	int ret;

	ASSERT_EQ(0, ll_identify(self->f.path, &id));
	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PIN_LEN, &self->mr));
	ASSERT_EQ(0, ll_reg(&self->r, self->f.map, LL_PAGE, &self->mr2));
	ASSERT_EQ(0, ll_shell("mkdir -p %s && echo 1 >%s/events/%s/enable", TRACES,
			      TRACES, "layout_lease/break_revoke"));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_PUNCH, self->f.path, 0, LL_PAGE));
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	snprintf(want, sizeof(want),
		 "break_revoke: dev=%u:%u ino=%llu %s breaker=%d uid=0 %s=%d %s:%s$",
		 id.major, id.minor, id.ino, "reason=punch_hole range=0x0-0x1000",
		 b.pid, "holder", getpid(), "owner=rdma", getenv("RDMA_DEV"));
	EXPECT_EQ(0, ll_shell("grep -q '%s' %s/trace", want, TRACES));
	/* once for the two of them */
	EXPECT_EQ(0, ll_shell("[ $(grep -c break_revoke: %s/trace) = 1 ]", TRACES));
	snprintf(want, sizeof(want),
		 "revoked rdma:%s of holder %d for breaker %d (revoke_.*): %s %llu, %s",
		 getenv("RDMA_DEV"), getpid(), b.pid,
		 "punch_hole of f, pmem. inode", id.ino, "range 0x0-0x1000$");
	EXPECT_EQ(0, ll_shell("[ $(dmesg | grep -c '%s%s') = 1 ]",
			      "layout_lease: ", want));
	ll_shell("rmdir %s", TRACES);
}

/* A window keeps its registration busy, and is older: it goes first all the same. */
TEST_F(after, memory_window_does_not_hold_it_up)
{
	struct ibv_mw_bind bind = {
		.bind_info = {
			.addr = (uintptr_t)self->f.map, .length = LL_PAGE,
			.mw_access_flags = IBV_ACCESS_REMOTE_WRITE,
		},
		.send_flags = IBV_SEND_SIGNALED,
	};
	int64_t start, end = ll_now_ms() + LL_SOON;
	struct ll_peer peer = { .stop = 0 };
	struct ibv_mw *mw;
	struct ibv_wc wc;
	struct ll_qp q;
	int done = 0;

	mw = ibv_alloc_mw(self->r.pd, IBV_MW_TYPE_1);
	ASSERT_NE(NULL, mw);
	ASSERT_EQ(0, ll_qp_create(&self->r, &q));
	ASSERT_EQ(0, ll_peer_open(&peer, &self->r, &q));
	ASSERT_EQ(0, ll_reg_access(&self->r, self->f.map, LL_PIN_LEN,
				   IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND |
				   IBV_ACCESS_REMOTE_WRITE, &self->mr));
	bind.bind_info.mr = self->mr;
	ASSERT_EQ(0, ibv_bind_mw(q.qp, mw, &bind));
	while (!done && ll_now_ms() < end)
		done = ibv_poll_cq(q.cq, 1, &wc);
	ASSERT_EQ(1, done);
	ASSERT_EQ(IBV_WC_SUCCESS, (int)wc.status);
	peer.addr = (uintptr_t)self->f.map;
	peer.rkey = mw->rkey;
	peer.len = LL_PAGE;
	ASSERT_EQ(0, ll_peer_start(&peer));
	start = ll_now_ms();
	EXPECT_EQ(0, broken_by(OP_TRUNCATE, self->f.path, 0, 0));
	EXPECT_GT(4000, ll_now_ms() - start);
	done = __atomic_load_n(&peer.done, __ATOMIC_RELAXED);
	ll_sleep_ms(300);
	EXPECT_GE(done + 1, __atomic_load_n(&peer.done, __ATOMIC_RELAXED));
	ll_peer_stop(&peer);
	ibv_dealloc_mw(mw);
	ll_qp_destroy(&q);
	ll_peer_close(&peer);
}

static void *linger(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

/* A holder that agreed, and whose first thread ends. */
static void lose_first_thread(struct ll_rdma *r, const char *path)
{
	int fd = open(path, O_RDWR);
	struct ibv_mr *mr;
	pthread_t thread;
	char *map;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(LL_SIG, SIG_IGN);
	map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	if (!map || ll_take(fd, true, LL_SIG) || ll_reg(r, map, LL_PIN_LEN, &mr) ||
	    pthread_create(&thread, NULL, linger, NULL))
		_exit(2);
	pthread_exit(NULL);
}

TEST_F(after, holder_whose_first_thread_has_ended_is_not_gone)
{
	char file[LL_PATH];
	int64_t start;
	int status;

	ASSERT_EQ(0, ll_file(&self->env, "h", LL_FILE_SIZE, file));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	self->pid = fork();
	if (!self->pid)
		lose_first_thread(&self->r, file);
	ASSERT_EQ(1, ll_comes_to_list(file, true, 1));
	ll_sleep_ms(300);
	start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(file, 0)));
	/* told, killed, and 1 s after that revoked: the context is the test's */
	EXPECT_LE(2900, ll_now_ms() - start);
	EXPECT_GT(6000, ll_now_ms() - start);
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, WNOHANG));
	self->pid = 0;
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

/*
 * A holder that agreed, and then became somebody whom it could not have killed
 * itself: a program that is setuid root, and makes itself root altogether.
 */
static void become_root(const char *program, const char *path)
{
	struct ll_rdma r;
	struct ibv_mr *mr;
	char *map;
	int fd;

	if (ll_rdma_open(&r) || setresgid(LL_UID, LL_UID, LL_UID) ||
	    setresuid(LL_UID, LL_UID, LL_UID))
		_exit(1);
	fd = open(path, O_RDWR);
	map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	if (!map || ll_take(fd, true, LL_SIG) || ll_reg(&r, map, LL_PIN_LEN, &mr))
		_exit(2);
	signal(LL_SIG, SIG_IGN);
	fcntl(r.ctx->cmd_fd, F_SETFD, 0);
	execl(program, program, "--reuid=0", "--clear-groups", "sleep", "60", NULL);
	_exit(3);
}

static bool sleeps(pid_t pid)
{
	int64_t end = ll_now_ms() + LL_SOON;
	char comm[32] = "";

	while (strcmp(comm, "sleep\n") && ll_now_ms() < end &&
	       ll_read(comm, sizeof(comm), "/proc/%d/comm", pid) >= 0)
		ll_sleep_ms(20);
	return !strcmp(comm, "sleep\n");
}

TEST_F(after, holder_that_has_become_root_is_revoked_at_the_deadline_and_lives)
{
	char program[LL_PATH], file[LL_PATH];
	int64_t start;

	ll_name(&self->env, "setuid", program);
	ASSERT_EQ(0, ll_file(&self->env, "h", LL_FILE_SIZE, file));
	ASSERT_EQ(0, ll_ret(chown(file, LL_UID, LL_UID)));
	ASSERT_EQ(0, ll_shell("cp $(command -v setpriv) %s && chmod 4755 %s",
			      program, program));
	self->pid = fork();
	if (!self->pid)
		become_root(program, file);
	ASSERT_TRUE(sleeps(self->pid));
	EXPECT_EQ(1, ll_listed(file, true));
	start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(file, 0)));
	EXPECT_LE(900, ll_now_ms() - start);
	EXPECT_GT(3000, ll_now_ms() - start);
	EXPECT_EQ(0, waitpid(self->pid, NULL, WNOHANG));
	EXPECT_EQ(0, ll_listed(file, false));
}

TEST_HARNESS_MAIN

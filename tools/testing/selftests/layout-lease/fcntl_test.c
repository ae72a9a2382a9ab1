// SPDX-License-Identifier: GPL-2.0
/*
 * fcntl(F_SETLEASE) and fcntl(F_GETLEASE) with layout leases: each case of the
 * contract, and which error wins where two apply. The order is: EINVAL for the
 * argument, EACCES, EINVAL for the file, EBADF, EOPNOTSUPP, EBUSY for what the
 * open file carries, EPERM, EAGAIN, EBUSY for pins.
 */
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

FIXTURE(lease)
{
	struct ll_env env;
	char path[LL_PATH];
	int fd;
};

FIXTURE_VARIANT(lease)
{
	enum ll_fs fs;
	const char *policy;
	bool deny;
};

FIXTURE_VARIANT_ADD(lease, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(lease, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny", .deny = true,
};

FIXTURE_VARIANT_ADD(lease, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(lease, xfs_deny) {
	.fs = LL_XFS, .policy = "deny", .deny = true,
};

FIXTURE_SETUP(lease)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	self->fd = ll_open(self->path, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(lease)
{
	close(self->fd);
	ll_teardown(&self->env);
}

/* F_SETLEASE by somebody who is neither the owner nor has CAP_LEASE. */
static int stranger_sets(int fd, int arg)
{
	int ret;

	if (seteuid(LL_UID))
		return -errno;
	ret = ll_setlease(fd, arg);
	if (seteuid(0))
		return -errno;
	return ret;
}

/* A break stays pending: a plain holder ignores it for the whole break time. */
static int begin_break(struct ll_holder *h, struct ll_breaker *b,
		       const char *path)
{
	struct ll_rsp rsp;
	int ret;

	ret = ll_sysctl("lease-break-time", 20) ?: ll_holder_start(h) ?:
	      ll_holder_open(h, 0, path) ?:
	      ll_hold(h, .op = H_SETLEASE, .a = F_LAYOUT) ?:
	      ll_breaker_start(b, OP_TRUNCATE, path, 0, 0);
	if (ret)
		return ret;
	ret = ll_holder_send(h, &(struct ll_cmd){ .op = H_SIGWAIT, .a = LL_SOON });
	return ret ?: ll_holder_recv(h, LL_SOON, &rsp);
}

static int end_break(struct ll_holder *h, struct ll_breaker *b)
{
	int ret, end;

	ret = ll_hold(h, .op = H_SETLEASE, .a = F_UNLCK) ?:
	      ll_breaker_wait(b, LL_SOON, &end);
	return ret ?: end ?: ll_holder_end(h);
}

TEST_F(lease, plain_lease_is_granted_and_reported)
{
	EXPECT_EQ(F_UNLCK, fcntl(self->fd, F_GETLEASE));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	EXPECT_EQ(F_LAYOUT, fcntl(self->fd, F_GETLEASE));
	EXPECT_EQ(0, ll_setlease(self->fd, F_UNLCK));
	EXPECT_EQ(F_UNLCK, fcntl(self->fd, F_GETLEASE));
}

TEST_F(lease, exclusive_lease_is_granted_and_reported)
{
	EXPECT_EQ(0, ll_take(self->fd, true, SIGKILL));
	EXPECT_EQ(LL_EXCL, fcntl(self->fd, F_GETLEASE));
	EXPECT_EQ(0, ll_setlease(self->fd, F_UNLCK));
	EXPECT_EQ(F_UNLCK, fcntl(self->fd, F_GETLEASE));
}

TEST_F(lease, unknown_arguments_are_EINVAL)
{
	ASSERT_EQ(0, ll_ret(fcntl(self->fd, F_SETSIG, SIGKILL)));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, F_EXCLUSIVE));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, F_EXCLUSIVE | F_WRLCK));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, F_LAYOUT | F_WRLCK));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, F_LAYOUT | F_UNLCK));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, F_LAYOUT | 8));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, F_LAYOUT | 64));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, LL_EXCL | F_WRLCK));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, LL_EXCL | (1 << 30)));
	EXPECT_EQ(0, ll_setlease(self->fd, LL_EXCL));
}

TEST_F(lease, stranger_is_EACCES_owner_and_root_are_granted)
{
	EXPECT_EQ(-EACCES, stranger_sets(self->fd, F_LAYOUT));
	ASSERT_EQ(0, chown(self->path, LL_UID, LL_UID));
	EXPECT_EQ(0, stranger_sets(self->fd, F_LAYOUT));
	EXPECT_EQ(0, ll_setlease(self->fd, F_UNLCK));
	/* no longer the owner, but with CAP_LEASE */
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
}

TEST_F(lease, other_than_regular_file_is_EINVAL)
{
	int dir = ll_open(self->env.dir, O_RDONLY | O_DIRECTORY);
	int null = ll_open("/dev/null", O_RDWR);

	EXPECT_EQ(-EINVAL, ll_setlease(dir, F_LAYOUT));
	EXPECT_EQ(-EINVAL, ll_setlease(null, F_LAYOUT));
	EXPECT_EQ(-EINVAL, ll_setlease(null, LL_EXCL));
	close(dir);
	close(null);
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
}

TEST_F(lease, leases_disabled_is_EINVAL)
{
	ASSERT_EQ(0, ll_sysctl("leases-enable", 0));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, F_LAYOUT));
	ASSERT_EQ(0, ll_sysctl("leases-enable", 1));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
}

TEST_F(lease, exclusive_needs_a_writable_file)
{
	int ro = ll_open(self->path, O_RDONLY), wo = ll_open(self->path, O_WRONLY);

	EXPECT_EQ(-EBADF, ll_take(ro, true, SIGKILL));
	EXPECT_EQ(0, ll_setlease(ro, F_LAYOUT));
	EXPECT_EQ(-EBADF, ll_setlease(ro, LL_EXCL));
	EXPECT_EQ(0, ll_take(wo, true, SIGKILL));
	close(ro);
	close(wo);
}

TEST_F(lease, open_file_with_ordinary_lease_is_EBUSY)
{
	EXPECT_EQ(0, ll_setlease(self->fd, F_WRLCK));
	EXPECT_EQ(-EBUSY, ll_setlease(self->fd, F_LAYOUT));
	EXPECT_EQ(-EBUSY, ll_take(self->fd, true, SIGKILL));
	EXPECT_EQ(F_WRLCK, fcntl(self->fd, F_GETLEASE));
	EXPECT_EQ(0, ll_setlease(self->fd, F_UNLCK));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
}

TEST_F(lease, ordinary_lease_on_leased_open_file_is_EBUSY)
{
	int ro = ll_open(self->path, O_RDONLY);

	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	/* refused already for the writers, with EAGAIN, were it not for that */
	EXPECT_EQ(-EBUSY, ll_setlease(self->fd, F_RDLCK));
	EXPECT_EQ(-EBUSY, ll_setlease(self->fd, F_WRLCK));
	EXPECT_EQ(-EAGAIN, ll_setlease(ro, F_RDLCK));
	EXPECT_EQ(F_LAYOUT, fcntl(self->fd, F_GETLEASE));
	close(ro);
}

TEST_F(lease, ordinary_and_layout_lease_coexist_on_two_open_files)
{
	int ro = ll_open(self->path, O_RDONLY), ro2 = ll_open(self->path, O_RDONLY);

	close(self->fd);
	EXPECT_EQ(0, ll_setlease(ro, F_RDLCK));
	EXPECT_EQ(0, ll_setlease(ro2, F_LAYOUT));
	EXPECT_EQ(F_RDLCK, fcntl(ro, F_GETLEASE));
	EXPECT_EQ(F_LAYOUT, fcntl(ro2, F_GETLEASE));
	EXPECT_EQ(0, ll_setlease(ro, F_UNLCK));
	EXPECT_EQ(F_LAYOUT, fcntl(ro2, F_GETLEASE));
	close(ro);
	close(ro2);
}

TEST_F(lease, open_file_leased_by_another_process_is_EBUSY)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	pid = fork();
	if (!pid)
		_exit(-ll_setlease(self->fd, F_LAYOUT));
	ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EBUSY, WEXITSTATUS(status));
	EXPECT_EQ(F_LAYOUT, fcntl(self->fd, F_GETLEASE));
}

TEST_F(lease, exclusive_needs_consent_only_under_break)
{
	int expected = variant->deny ? 0 : -EPERM;

	EXPECT_EQ(expected, ll_setlease(self->fd, LL_EXCL));
	ll_setlease(self->fd, F_UNLCK);
	ASSERT_EQ(0, ll_ret(fcntl(self->fd, F_SETSIG, SIGTERM)));
	EXPECT_EQ(expected, ll_setlease(self->fd, LL_EXCL));
	ll_setlease(self->fd, F_UNLCK);
	ASSERT_EQ(0, ll_ret(fcntl(self->fd, F_SETSIG, SIGKILL)));
	EXPECT_EQ(0, ll_setlease(self->fd, LL_EXCL));
}

TEST_F(lease, plain_lease_becomes_exclusive_and_back)
{
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	EXPECT_EQ(0, ll_take(self->fd, true, SIGKILL));
	EXPECT_EQ(0, ll_setlease(self->fd, LL_EXCL));
	EXPECT_EQ(LL_EXCL, fcntl(self->fd, F_GETLEASE));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	EXPECT_EQ(F_LAYOUT, fcntl(self->fd, F_GETLEASE));
}

TEST_F(lease, pin_keeps_the_exclusive_lease)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	EXPECT_EQ(-EBUSY, ll_hold(&h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(-EBUSY, ll_hold(&h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(0, ll_hold(&h, .op = H_SETLEASE, .a = LL_EXCL));
	EXPECT_EQ(LL_EXCL, ll_hold(&h, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(0, ll_hold(&h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(0, ll_hold(&h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(lease, many_processes_hold_exclusive_leases)
{
	struct ll_holder h[3];
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(h); i++) {
		ASSERT_EQ(0, ll_holder_start(&h[i]));
		ASSERT_EQ(0, ll_holder_open(&h[i], 0, self->path));
		EXPECT_EQ(0, ll_holder_lease(&h[i], 0, true, SIGKILL));
	}
	for (i = 0; i < LL_ARRAY_SIZE(h); i++) {
		EXPECT_EQ(LL_EXCL, ll_hold(&h[i], .op = H_GETLEASE));
		EXPECT_EQ(0, ll_holder_end(&h[i]));
	}
}

TEST_F(lease, unlock_without_lease_is_EAGAIN)
{
	EXPECT_EQ(-EAGAIN, ll_setlease(self->fd, F_UNLCK));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	EXPECT_EQ(0, ll_setlease(self->fd, F_UNLCK));
	EXPECT_EQ(-EAGAIN, ll_setlease(self->fd, F_UNLCK));
}

TEST_F(lease, unlock_needs_no_ownership_and_resets_signal_and_owner)
{
	ASSERT_EQ(0, chown(self->path, LL_UID, LL_UID));
	ASSERT_EQ(0, seteuid(LL_UID));
	EXPECT_EQ(0, ll_take(self->fd, true, LL_SIG));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, ll_ret(fcntl(self->fd, F_SETOWN, getppid())));
	ASSERT_EQ(0, chown(self->path, 0, 0));
	EXPECT_EQ(0, stranger_sets(self->fd, F_UNLCK));
	EXPECT_EQ(0, fcntl(self->fd, F_GETSIG));
	EXPECT_EQ(0, fcntl(self->fd, F_GETOWN));
}

TEST_F(lease, child_of_fork_may_unlock)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_holder_start(&h));
	ASSERT_EQ(0, ll_holder_open(&h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&h, 0, true, SIGKILL));
	EXPECT_EQ(0, ll_hold(&h, .op = H_FORK_UNLCK));
	EXPECT_EQ(F_UNLCK, ll_hold(&h, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(lease, pending_break_is_EAGAIN_except_for_unlock)
{
	struct ll_breaker b;
	struct ll_holder h;

	ASSERT_EQ(0, begin_break(&h, &b, self->path));
	EXPECT_EQ(F_UNLCK, ll_hold(&h, .op = H_GETLEASE));
	EXPECT_EQ(-EAGAIN, ll_hold(&h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(-EAGAIN, ll_setlease(self->fd, F_LAYOUT));
	EXPECT_EQ(-EAGAIN, ll_take(self->fd, true, SIGKILL));
	EXPECT_EQ(0, end_break(&h, &b));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
}

TEST_F(lease, locks_do_not_meet_layout_leases)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct ll_holder h;
	int fd2 = ll_open(self->path, O_RDWR);

	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	EXPECT_EQ(0, ll_ret(fcntl(self->fd, F_OFD_SETLK, &lock)));
	EXPECT_EQ(-EAGAIN, ll_ret(fcntl(fd2, F_OFD_SETLK, &lock)));
	lock.l_type = F_UNLCK;
	EXPECT_EQ(0, ll_ret(fcntl(self->fd, F_OFD_SETLK, &lock)));
	lock.l_type = F_WRLCK;
	EXPECT_EQ(0, ll_ret(fcntl(fd2, F_SETLK, &lock)));
	EXPECT_EQ(0, ll_ret(flock(self->fd, LOCK_EX | LOCK_NB)));
	EXPECT_EQ(-EAGAIN, ll_ret(flock(fd2, LOCK_EX | LOCK_NB)));
	EXPECT_EQ(F_LAYOUT, fcntl(self->fd, F_GETLEASE));
	close(fd2);
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(lease, ordinary_lease_breaks_as_before)
{
	struct ll_holder h;
	int ro, flags = O_RDWR | O_NONBLOCK;

	close(self->fd);
	ro = ll_open(self->path, O_RDONLY);
	ASSERT_EQ(0, ll_setlease(ro, F_RDLCK));
	ASSERT_EQ(0, ll_ret(fcntl(ro, F_SETSIG, SIGURG)));
	EXPECT_EQ(-EWOULDBLOCK, ll_open(self->path, flags));
	EXPECT_EQ(0, ll_setlease(ro, F_UNLCK));
	self->fd = ll_open(self->path, flags);
	EXPECT_LE(0, self->fd);
	/* and a layout lease does not break on open or on write */
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	EXPECT_EQ(0, ll_write_fill(self->path, 0, LL_PAGE, 'w'));
	EXPECT_TRUE(ll_holder_alive(&h));
	EXPECT_EQ(0, ll_holder_end(&h));
	close(ro);
}

/*
 * Which error wins, for each adjacent pair of the contract's table.
 */
TEST_F(lease, checks_ordering_EINVAL_argument_before_EACCES)
{
	EXPECT_EQ(-EACCES, stranger_sets(self->fd, F_LAYOUT));
	EXPECT_EQ(-EINVAL, stranger_sets(self->fd, F_EXCLUSIVE));
	EXPECT_EQ(-EINVAL, stranger_sets(self->fd, F_LAYOUT | F_WRLCK));
}

TEST_F(lease, checks_ordering_EACCES_before_EINVAL_file)
{
	int dir = ll_open(self->env.dir, O_RDONLY | O_DIRECTORY);

	EXPECT_EQ(-EACCES, stranger_sets(dir, F_LAYOUT));
	EXPECT_EQ(-EINVAL, ll_setlease(dir, F_LAYOUT));
	ASSERT_EQ(0, ll_sysctl("leases-enable", 0));
	EXPECT_EQ(-EACCES, stranger_sets(self->fd, F_LAYOUT));
	EXPECT_EQ(-EINVAL, ll_setlease(self->fd, F_LAYOUT));
	ASSERT_EQ(0, ll_sysctl("leases-enable", 1));
	EXPECT_EQ(0, ll_setlease(self->fd, F_LAYOUT));
	close(dir);
}

TEST_F(lease, checks_ordering_EINVAL_file_before_EBADF)
{
	int ro = ll_open(self->path, O_RDONLY);

	ASSERT_EQ(0, ll_sysctl("leases-enable", 0));
	EXPECT_EQ(-EINVAL, ll_setlease(ro, LL_EXCL));
	ASSERT_EQ(0, ll_sysctl("leases-enable", 1));
	EXPECT_EQ(-EBADF, ll_setlease(ro, LL_EXCL));
	EXPECT_EQ(0, ll_setlease(ro, F_LAYOUT));
	close(ro);
}

TEST_F(lease, checks_ordering_EBADF_before_EOPNOTSUPP)
{
	int ro = ll_open(self->path, O_RDONLY);

	ASSERT_EQ(0, ll_policy(&self->env, "off"));
	EXPECT_EQ(-EBADF, ll_setlease(ro, LL_EXCL));
	EXPECT_EQ(-EOPNOTSUPP, ll_setlease(ro, F_LAYOUT));
	EXPECT_EQ(-EOPNOTSUPP, ll_setlease(self->fd, LL_EXCL));
	close(ro);
}

TEST_F(lease, checks_ordering_EOPNOTSUPP_before_EBUSY)
{
	ASSERT_EQ(0, ll_setlease(self->fd, F_WRLCK));
	EXPECT_EQ(-EBUSY, ll_setlease(self->fd, F_LAYOUT));
	ASSERT_EQ(0, ll_policy(&self->env, "off"));
	EXPECT_EQ(-EOPNOTSUPP, ll_setlease(self->fd, F_LAYOUT));
}

TEST_F(lease, checks_ordering_EBUSY_before_EPERM)
{
	ASSERT_EQ(0, ll_setlease(self->fd, F_WRLCK));
	EXPECT_EQ(-EBUSY, ll_setlease(self->fd, LL_EXCL));
	EXPECT_EQ(0, ll_setlease(self->fd, F_UNLCK));
	EXPECT_EQ(variant->deny ? 0 : -EPERM, ll_setlease(self->fd, LL_EXCL));
}

TEST_F(lease, checks_ordering_EPERM_before_EAGAIN)
{
	struct ll_breaker b;
	struct ll_holder h;

	ASSERT_EQ(0, begin_break(&h, &b, self->path));
	EXPECT_EQ(variant->deny ? -EAGAIN : -EPERM, ll_setlease(self->fd, LL_EXCL));
	ASSERT_EQ(0, ll_ret(fcntl(self->fd, F_SETSIG, SIGKILL)));
	EXPECT_EQ(-EAGAIN, ll_setlease(self->fd, LL_EXCL));
	EXPECT_EQ(0, end_break(&h, &b));
}

TEST_F(lease, checks_ordering_EAGAIN_before_EBUSY_of_pins)
{
	struct ll_holder plain, pin;
	struct ll_breaker b;

	ASSERT_EQ(0, ll_holder_pin(&pin, self->path, true, LL_SIG));
	EXPECT_EQ(-EBUSY, ll_hold(&pin, .op = H_SETLEASE, .a = F_LAYOUT));
	/* a break of the plain lease, far from the pin: allowed in both modes */
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	ASSERT_EQ(0, ll_holder_start(&plain));
	ASSERT_EQ(0, ll_holder_open(&plain, 0, self->path));
	ASSERT_EQ(0, ll_hold(&plain, .op = H_SETLEASE, .a = F_LAYOUT));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, LL_FAR, 0));
	ASSERT_EQ(0, ll_hold(&plain, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(-EAGAIN, ll_hold(&pin, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(-EBUSY, ll_hold(&pin, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(0, end_break(&plain, &b));
	EXPECT_EQ(0, ll_holder_end(&pin));
}

TEST_HARNESS_MAIN

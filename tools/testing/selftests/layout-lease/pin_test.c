// SPDX-License-Identifier: GPL-2.0
/*
 * Who may pin an FS-DAX file with ibv_reg_mr(), and what everybody else gets:
 * each case of the contract, and which error wins where two apply. The order is:
 * ENOMEM for RLIMIT_MEMLOCK, EOPNOTSUPP, EAGAIN, EFAULT.
 */
#include <linux/types.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

/* As in the kernel's mm/gup_test.h. */
#define PIN_LONGTERM_TEST_START	_IOW('g', 7, struct pin_longterm_test)
#define PIN_LONGTERM_TEST_STOP	_IO('g', 8)

struct pin_longterm_test {
	__u64 addr;
	__u64 size;
	__u32 flags;	/* 1: for writing */
};

TEST(control_anonymous_memory_needs_no_lease)
{
	struct ll_rdma r;
	struct ibv_mr *mr;
	void *mem;

	mem = mmap(NULL, LL_MIB, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, ll_rdma_open(&r));
	EXPECT_EQ(0, ll_reg(&r, mem, LL_MIB, &mr));
	EXPECT_EQ(0, ll_dereg(&mr));
	ll_rdma_close(&r);
}

FIXTURE(control)
{
	struct ll_env env;
	char path[LL_PATH];
};

FIXTURE_VARIANT(control)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(control, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(control, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(control)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, NULL));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
}

FIXTURE_TEARDOWN(control)
{
	ll_teardown(&self->env);
}

TEST_F(control, reg_without_lease_is_EOPNOTSUPP)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_holder_start(&h));
	ASSERT_EQ(0, ll_holder_open(&h, 0, self->path));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(control, memlock_is_ENOMEM_before_EOPNOTSUPP)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_holder_start(&h));
	ASSERT_EQ(0, ll_holder_open(&h, 0, self->path));
	ASSERT_EQ(0, ll_hold(&h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, ll_hold(&h, .op = H_MEMLOCK, .a = LL_PAGE));
	EXPECT_EQ(-ENOMEM, ll_holder_reg(&h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&h, 0, 0, 0, LL_PAGE));
	EXPECT_EQ(0, ll_holder_end(&h));
}

FIXTURE(pin)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
};

FIXTURE_VARIANT(pin)
{
	enum ll_fs fs;
	const char *policy;
};

FIXTURE_VARIANT_ADD(pin, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(pin, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny",
};

FIXTURE_VARIANT_ADD(pin, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(pin, xfs_deny) {
	.fs = LL_XFS, .policy = "deny",
};

FIXTURE_SETUP(pin)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
}

FIXTURE_TEARDOWN(pin)
{
	EXPECT_EQ(0, ll_holder_end(&self->h));
	ll_teardown(&self->env);
}

TEST_F(pin, reg_under_exclusive_lease_succeeds)
{
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_FILE_SIZE));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 1, 0, LL_PAGE));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 2, LL_FAR + 123, 5000));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 1));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 2));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
}

TEST_F(pin, plain_lease_is_EOPNOTSUPP)
{
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
}

TEST_F(pin, lease_of_another_process_is_EOPNOTSUPP)
{
	int fd = ll_open(self->path, O_RDWR);

	ASSERT_EQ(0, ll_take(fd, true, SIGKILL));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	close(fd);
}

TEST_F(pin, lease_on_another_file_is_EOPNOTSUPP)
{
	char other[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, other));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 1, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
}

TEST_F(pin, child_of_fork_is_EOPNOTSUPP)
{
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	EXPECT_EQ(-EOPNOTSUPP, ll_hold(&self->h, .op = H_FORK_REG, .b = LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
}

TEST_F(pin, another_thread_and_another_open_file_succeed)
{
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, self->path));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 1, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_THREAD_REG, .slot = 1, .mr = 1,
			     .b = LL_PIN_LEN));
}

/* No owner file and no way to revoke: not converted. */
TEST_F(pin, unconverted_subsystem_is_EOPNOTSUPP)
{
	struct pin_longterm_test req = { .size = LL_PIN_LEN, .flags = 1 };
	int gup = ll_open("/sys/kernel/debug/gup_test", O_RDWR);
	int fd = ll_open(self->path, O_RDWR);
	struct ll_rdma r;
	struct ibv_mr *mr;
	void *map;

	ASSERT_LE(0, gup);
	map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, ll_take(fd, true, SIGKILL));
	req.addr = (uintptr_t)map;
	EXPECT_EQ(-EOPNOTSUPP, ll_ret(ioctl(gup, PIN_LONGTERM_TEST_START, &req)));
	ioctl(gup, PIN_LONGTERM_TEST_STOP);
	ASSERT_EQ(0, ll_rdma_open(&r));
	EXPECT_EQ(0, ll_reg(&r, map, LL_PIN_LEN, &mr));
	EXPECT_EQ(-EOPNOTSUPP, ll_ret(ioctl(gup, PIN_LONGTERM_TEST_START, &req)));
	ioctl(gup, PIN_LONGTERM_TEST_STOP);
	EXPECT_EQ(0, ll_dereg(&mr));
	ll_rdma_close(&r);
	close(fd);
	close(gup);
}

static int unpend(struct ll_holder *plain, struct ll_breaker *b)
{
	int ret, result = 0;

	ret = ll_hold(plain, .op = H_SETLEASE, .a = F_UNLCK) ?:
	      ll_breaker_wait(b, LL_SOON, &result) ?: ll_holder_end(plain);
	return ret ?: result;
}

TEST_F(pin, pending_break_is_EAGAIN_in_its_range_only)
{
	struct ll_holder plain;
	struct ll_breaker b;

	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_pend_plain(&plain, &b, self->path));
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->h, 0, 0, LL_FAR, LL_PAGE));
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->h, 0, 0, 0, LL_FILE_SIZE));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, unpend(&plain, &b));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 1, LL_FAR, LL_PAGE));
}

TEST_F(pin, read_only_mapping_is_EFAULT)
{
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ,
			     .b = MAP_SHARED, .c = LL_FILE_SIZE));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
}

TEST_F(pin, beyond_end_of_file_is_EFAULT_and_leaves_no_pin)
{
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ | PROT_WRITE,
			     .b = MAP_SHARED, .c = 2 * LL_FILE_SIZE));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, LL_FILE_SIZE, LL_PAGE));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, 0, LL_FILE_SIZE + LL_PAGE));
	EXPECT_EQ(0, ll_ret(truncate(self->path, LL_PAGE)));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

/* Takes all the space there is, in ever smaller pieces. */
static int fill_filesystem(struct ll_env *env)
{
	size_t piece = 64 * LL_MIB;
	char path[LL_PATH];
	off_t off = 0;
	int fd, ret;

	ret = ll_sparse(env, "filler", 0, path);
	if (ret)
		return ret;
	fd = ll_open(path, O_RDWR);
	while (piece >= LL_PAGE) {
		if (fallocate(fd, 0, off, piece))
			piece /= 2;
		else
			off += piece;
	}
	ret = errno == ENOSPC ? 0 : -errno;
	close(fd);
	return ret;
}

TEST_F(pin, hole_on_a_full_filesystem_is_EFAULT)
{
	char sparse[LL_PATH], filler[LL_PATH];

	ASSERT_EQ(0, ll_sparse(&self->env, "sparse", LL_FILE_SIZE, sparse));
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, sparse));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 1, true, SIGKILL));
	ASSERT_EQ(0, fill_filesystem(&self->env));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 1, 0, 0, LL_MIB));
	ll_name(&self->env, "filler", filler);
	ASSERT_EQ(0, ll_ret(unlink(filler)));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 1, 0, 0, LL_MIB));
}

TEST_F(pin, over_memlock_is_ENOMEM)
{
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MEMLOCK, .a = LL_PIN_LEN));
	EXPECT_EQ(-ENOMEM, ll_holder_reg(&self->h, 0, 0, 0, 2 * LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(-ENOMEM, ll_holder_reg(&self->h, 0, 1, 0, LL_PAGE));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 1, 0, LL_PAGE));
}

TEST_F(pin, private_mapping_pins_copies_and_refuses_the_rest)
{
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ | PROT_WRITE,
			     .b = MAP_PRIVATE, .c = LL_FILE_SIZE));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_STORE, .a = 0, .b = 'p'));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PAGE));
	/* that one is no pin of the file */
	EXPECT_EQ(0, ll_ret(truncate(self->path, LL_FAR)));
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, 0, LL_PAGE));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(pin, private_mapping_read_before_is_EOPNOTSUPP)
{
	char *map;
	int fd = ll_open(self->path, O_RDWR);
	struct ll_rdma r;
	struct ibv_mr *mr = NULL;

	ASSERT_EQ(0, ll_rdma_open(&r));
	ASSERT_EQ(0, ll_take(fd, true, SIGKILL));
	map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ, MAP_PRIVATE, 0);
	ASSERT_NE(NULL, map);
	EXPECT_EQ('f', map[0]);
	EXPECT_EQ(-EOPNOTSUPP, ll_reg_access(&r, map, LL_PAGE, 0, &mr));
	ll_rdma_close(&r);
	close(fd);
}

TEST_F(pin, checks_ordering_EOPNOTSUPP_before_EAGAIN)
{
	struct ll_holder plain;
	struct ll_breaker b;

	ASSERT_EQ(0, ll_pend_plain(&plain, &b, self->path));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 0, 0, LL_FAR, LL_PAGE));
	EXPECT_EQ(0, unpend(&plain, &b));
}

TEST_F(pin, checks_ordering_EAGAIN_before_EFAULT)
{
	struct ll_holder plain;
	struct ll_breaker b;

	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ,
			     .b = MAP_SHARED, .c = LL_FILE_SIZE));
	ASSERT_EQ(0, ll_pend_plain(&plain, &b, self->path));
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->h, 0, 0, LL_FAR, LL_PAGE));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, 0, LL_PAGE));
	EXPECT_EQ(0, unpend(&plain, &b));
}

TEST_F(pin, checks_ordering_EOPNOTSUPP_before_EFAULT)
{
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ,
			     .b = MAP_SHARED, .c = LL_FILE_SIZE));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 0, 0, 0, LL_PAGE));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, 0, LL_PAGE));
}

TEST_F(pin, checks_ordering_ENOMEM_of_memlock_before_the_rest)
{
	struct ll_holder plain;
	struct ll_breaker b;

	ASSERT_EQ(0, ll_pend_plain(&plain, &b, self->path));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ,
			     .b = MAP_SHARED, .c = LL_FILE_SIZE));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MEMLOCK, .a = 1));
	EXPECT_EQ(-ENOMEM, ll_holder_reg(&self->h, 0, 0, LL_FAR, LL_PAGE));
	EXPECT_EQ(0, unpend(&plain, &b));
}

TEST_HARNESS_MAIN

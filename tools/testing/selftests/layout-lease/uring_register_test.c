// SPDX-License-Identifier: GPL-2.0
/*
 * Who may register memory of an FS-DAX file as buffers of an io_uring, and what
 * everybody else gets. The order of the errors is: EOPNOTSUPP, EAGAIN, EFAULT,
 * ENOMEM for RLIMIT_MEMLOCK.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

FIXTURE(uring_register)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_uring u;
	struct ll_holder plain;
	struct ll_breaker b;
};

FIXTURE_VARIANT(uring_register)
{
	enum ll_fs fs;
	const char *policy;
};

FIXTURE_VARIANT_ADD(uring_register, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(uring_register, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny",
};

FIXTURE_VARIANT_ADD(uring_register, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(uring_register, xfs_deny) {
	.fs = LL_XFS, .policy = "deny",
};

FIXTURE_SETUP(uring_register)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_uring_open(&self->u, self->path, 0));
}

FIXTURE_TEARDOWN(uring_register)
{
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_holder_end(&self->plain);
	ll_uring_close(&self->u);
	ll_teardown(&self->env);
}

static int take(struct ll_uring *u)
{
	return ll_take(u->fd, true, LL_SIG);
}

/* Registered, and unregistered at once. */
static int try_table(struct ll_uring *u, off_t off, size_t len)
{
	return ll_uring_table(u, off, len) ?:
	       io_uring_unregister_buffers(&u->ring);
}

static int unpend(struct ll_holder *plain, struct ll_breaker *b)
{
	return ll_hold(plain, .op = H_SETLEASE, .a = F_UNLCK) ?:
	       ll_finish(b, LL_SOON);
}

/* The file is mapped again, like this. */
static int remap(struct ll_uring *u, size_t len, int prot, int flags)
{
	u->map = ll_map_fd(u->fd, len, prot, flags, 0);
	return u->map ? 0 : -errno;
}

TEST_F(uring_register, table_under_exclusive_lease_succeeds)
{
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	ASSERT_EQ(0, take(&self->u));
	EXPECT_EQ(0, try_table(&self->u, 0, LL_FILE_SIZE));
	EXPECT_EQ(0, try_table(&self->u, 0, LL_PAGE));
	EXPECT_EQ(0, ll_uring_table(&self->u, LL_FAR + 123, 5000));
	EXPECT_EQ(-EBUSY, ll_uring_table(&self->u, 0, LL_PAGE));
	EXPECT_EQ(-EBUSY, ll_setlease(self->u.fd, F_UNLCK));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, 0, LL_PIN_LEN));
}

TEST_F(uring_register, table_with_tags_succeeds_and_hands_them_back)
{
	struct iovec v[2] = {
		{ .iov_base = self->u.map, .iov_len = LL_PIN_LEN },
		{ .iov_base = self->u.map + LL_FAR, .iov_len = LL_PIN_LEN },
	};
	__u64 tags[2] = { 77, 78 };
	long data;

	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, io_uring_register_buffers_tags(&self->u.ring, v, tags, 2));
	EXPECT_EQ(2, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_uring_update(&self->u, 1, NULL, 0));
	EXPECT_EQ(0, ll_io_result(&self->u.ring, LL_SOON, &data));
	EXPECT_EQ(78, data);
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_listed(self->path, true));
}

TEST_F(uring_register, slots_of_a_sparse_table_are_filled_and_emptied)
{
	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, io_uring_register_buffers_sparse(&self->u.ring, 8));
	EXPECT_EQ(0, ll_uring_update(&self->u, 3, self->u.map, LL_PIN_LEN));
	EXPECT_EQ(0, ll_uring_update(&self->u, 4, self->u.map, LL_PIN_LEN));
	EXPECT_EQ(2, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_uring_update(&self->u, 3, NULL, 0));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(-EBUSY, ll_setlease(self->u.fd, F_UNLCK));
	EXPECT_EQ(0, ll_uring_update(&self->u, 4, ll_anon(LL_PAGE), LL_PAGE));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
	EXPECT_EQ(-EOPNOTSUPP,
		  ll_uring_update(&self->u, 3, self->u.map, LL_PIN_LEN));
}

TEST_F(uring_register, plain_lease_is_EOPNOTSUPP)
{
	ASSERT_EQ(0, ll_setlease(self->u.fd, F_LAYOUT));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	ASSERT_EQ(0, take(&self->u));
	EXPECT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
}

TEST_F(uring_register, lease_of_another_process_is_EOPNOTSUPP)
{
	ASSERT_EQ(0, ll_holder_start(&self->plain));
	ASSERT_EQ(0, ll_holder_open(&self->plain, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->plain, 0, true, LL_SIG));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, 0, LL_PIN_LEN));
}

static int register_in_child(void *arg)
{
	return ll_uring_table(arg, 0, LL_PIN_LEN);
}

static int register_in_own_ring(void *arg)
{
	struct ll_uring *u = arg, own = *u;

	return io_uring_queue_init(LL_ENTRIES, &own.ring, 0) ?:
	       ll_uring_table(&own, 0, LL_PIN_LEN);
}

TEST_F(uring_register, child_of_fork_is_EOPNOTSUPP)
{
	ASSERT_EQ(0, take(&self->u));
	EXPECT_EQ(-EOPNOTSUPP, ll_in_child(register_in_child, &self->u));
	EXPECT_EQ(-EOPNOTSUPP, ll_in_child(register_in_own_ring, &self->u));
	EXPECT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
}

TEST_F(uring_register, mount_off_is_EOPNOTSUPP)
{
	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(-EBUSY, ll_remount(self->env.root, "layout_lease=off"));
	ASSERT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	ASSERT_EQ(0, ll_remount(self->env.root, "layout_lease=off"));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, 0, LL_PIN_LEN));
}

TEST_F(uring_register, pending_break_is_EAGAIN_in_its_range_only)
{
	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, ll_pend_plain(&self->plain, &self->b, self->path));
	EXPECT_EQ(-EAGAIN, ll_uring_table(&self->u, LL_FAR, LL_PAGE));
	EXPECT_EQ(-EAGAIN, ll_uring_table(&self->u, 0, LL_FILE_SIZE));
	EXPECT_EQ(0, try_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(0, unpend(&self->plain, &self->b));
	EXPECT_EQ(0, ll_uring_table(&self->u, LL_FAR, LL_PAGE));
}

TEST_F(uring_register, read_only_mapping_is_EFAULT)
{
	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, remap(&self->u, LL_FILE_SIZE, PROT_READ, MAP_SHARED));
	EXPECT_EQ(-EFAULT, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

TEST_F(uring_register, beyond_end_of_file_is_EFAULT_and_leaves_no_pin)
{
	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, remap(&self->u, 2 * LL_FILE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED));
	EXPECT_EQ(-EFAULT, ll_uring_table(&self->u, LL_FILE_SIZE, LL_PAGE));
	EXPECT_EQ(-EFAULT, ll_uring_table(&self->u, 0, LL_FILE_SIZE + LL_PAGE));
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

/* Unlike a hole within the file, which is given blocks. */
TEST_F(uring_register, hole_is_allocated)
{
	char sparse[LL_PATH];
	struct ll_uring u = { .fd = -1 };

	ASSERT_EQ(0, ll_sparse(&self->env, "sparse", LL_FILE_SIZE, sparse));
	ASSERT_EQ(0, ll_uring_open(&u, sparse, 0));
	ASSERT_EQ(0, take(&u));
	EXPECT_EQ(0, ll_blocks(sparse));
	EXPECT_EQ(0, ll_uring_table(&u, 0, LL_MIB));
	EXPECT_LE(LL_MIB / 512, ll_blocks(sparse));
	ll_uring_close(&u);
}

TEST_F(uring_register, private_mapping_registers_copies_and_refuses_the_rest)
{
	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, remap(&self->u, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE));
	self->u.map[0] = 'p';
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, 0, 2 * LL_PAGE));
	EXPECT_EQ(0, ll_uring_table(&self->u, 0, LL_PAGE));
	/* that one is no pin of the file */
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
}

TEST_F(uring_register, anonymous_and_leased_buffers_share_a_table)
{
	struct iovec v[3] = {
		{ .iov_base = ll_anon(LL_PIN_LEN), .iov_len = LL_PIN_LEN },
		{ .iov_base = self->u.map, .iov_len = LL_PIN_LEN },
		{ .iov_base = ll_anon(LL_PIN_LEN), .iov_len = LL_PIN_LEN },
	};

	EXPECT_EQ(-EOPNOTSUPP, io_uring_register_buffers(&self->u.ring, v, 3));
	ASSERT_EQ(0, take(&self->u));
	EXPECT_EQ(0, io_uring_register_buffers(&self->u.ring, v, 3));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_listed(self->path, true));
}

TEST_F(uring_register, buffer_across_anonymous_and_leased_memory_succeeds)
{
	char *mem = ll_anon(LL_MIB), *file = mem + LL_PIN_LEN;

	ASSERT_NE(NULL, mem);
	ASSERT_EQ(file, mmap(file, LL_PIN_LEN, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, self->u.fd, LL_PAGE));
	self->u.map = mem;
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, 0, LL_MIB));
	ASSERT_EQ(0, take(&self->u));
	EXPECT_EQ(0, ll_uring_table(&self->u, 0, LL_MIB));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

TEST_F(uring_register, one_bad_buffer_of_several_leaves_no_pin)
{
	struct iovec v[3] = {
		{ .iov_base = self->u.map, .iov_len = LL_PIN_LEN },
		{ .iov_base = self->u.map + LL_FAR, .iov_len = LL_PIN_LEN },
	};
	char path[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, path));
	v[2].iov_base = ll_map_path(path, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
				    MAP_SHARED);
	v[2].iov_len = LL_PIN_LEN;
	ASSERT_NE(NULL, v[2].iov_base);
	ASSERT_EQ(0, take(&self->u));
	EXPECT_EQ(-EOPNOTSUPP, io_uring_register_buffers(&self->u.ring, v, 3));
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

TEST_F(uring_register, update_keeps_what_came_before_the_bad_buffer)
{
	struct iovec v[2] = {
		{ .iov_base = self->u.map, .iov_len = LL_PIN_LEN },
		{ .iov_base = self->u.map + LL_FILE_SIZE, .iov_len = LL_PAGE },
	};
	__u64 tags[2] = { 0, 0 };

	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, io_uring_register_buffers_sparse(&self->u.ring, 2));
	EXPECT_EQ(1, io_uring_register_buffers_update_tag(&self->u.ring, 0, v,
							  tags, 2));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_listed(self->path, true));
}

/* The ring of somebody whose locked memory is limited. */
static int limit(struct ll_uring *u, size_t memlock)
{
	struct rlimit l = { .rlim_cur = memlock, .rlim_max = RLIM_INFINITY };
	int ret;

	io_uring_queue_exit(&u->ring);
	u->open = false;
	ret = ll_ret(setrlimit(RLIMIT_MEMLOCK, &l)) ?:
	      ll_ret(setresuid(LL_UID, LL_UID, 0)) ?:
	      io_uring_queue_init(LL_ENTRIES, &u->ring, 0);
	u->open = !ret;
	return ll_ret(setresuid(0, 0, 0)) ?: ret;
}

TEST_F(uring_register, over_memlock_is_ENOMEM_and_leaves_no_pin)
{
	struct iovec v[2] = {
		{ .iov_base = self->u.map, .iov_len = LL_PIN_LEN },
		{ .iov_base = self->u.map + LL_FAR, .iov_len = LL_PAGE },
	};

	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, limit(&self->u, LL_PIN_LEN));
	EXPECT_EQ(-ENOMEM, ll_uring_table(&self->u, 0, 2 * LL_PIN_LEN));
	EXPECT_EQ(-ENOMEM, io_uring_register_buffers(&self->u.ring, v, 2));
	EXPECT_EQ(0, ll_listed(self->path, true));
	/* what was counted is given back */
	EXPECT_EQ(0, try_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(0, try_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(-ENOMEM, ll_uring_table(&self->u, 0, 2 * LL_PIN_LEN));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

TEST_F(uring_register, checks_ordering_ENOMEM_of_memlock_comes_last)
{
	ASSERT_EQ(0, limit(&self->u, LL_PAGE));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, LL_FAR, LL_PIN_LEN));
	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, ll_pend_plain(&self->plain, &self->b, self->path));
	EXPECT_EQ(-EAGAIN, ll_uring_table(&self->u, LL_FAR, LL_PIN_LEN));
	EXPECT_EQ(0, unpend(&self->plain, &self->b));
	EXPECT_EQ(-ENOMEM, ll_uring_table(&self->u, LL_FAR, LL_PIN_LEN));
	ASSERT_EQ(0, remap(&self->u, LL_FILE_SIZE, PROT_READ, MAP_SHARED));
	EXPECT_EQ(-EFAULT, ll_uring_table(&self->u, LL_FAR, LL_PIN_LEN));
	EXPECT_EQ(0, ll_listed(self->path, true));
}

TEST_F(uring_register, checks_ordering_EOPNOTSUPP_EAGAIN_EFAULT)
{
	ASSERT_EQ(0, remap(&self->u, LL_FILE_SIZE, PROT_READ, MAP_SHARED));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_table(&self->u, LL_FAR, LL_PAGE));
	ASSERT_EQ(0, take(&self->u));
	ASSERT_EQ(0, ll_pend_plain(&self->plain, &self->b, self->path));
	EXPECT_EQ(-EAGAIN, ll_uring_table(&self->u, LL_FAR, LL_PAGE));
	EXPECT_EQ(-EFAULT, ll_uring_table(&self->u, 0, LL_PAGE));
	EXPECT_EQ(0, unpend(&self->plain, &self->b));
	EXPECT_EQ(-EFAULT, ll_uring_table(&self->u, LL_FAR, LL_PAGE));
}

TEST_HARNESS_MAIN

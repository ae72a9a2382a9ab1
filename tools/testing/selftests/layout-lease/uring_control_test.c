// SPDX-License-Identifier: GPL-2.0
/*
 * What layout leases do not change: registered buffers in memory that is not of
 * a leased file. Passes on a kernel without layout leases as well.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define SIZE	(LL_MIB)

FIXTURE(control)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_uring u;
	char *mem;
	int pipe[2];
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
	ASSERT_EQ(0, ll_uring_open(&self->u, self->path, 0));
	ASSERT_EQ(0, ll_ret(pipe(self->pipe)));
	self->mem = ll_anon(SIZE);
	ASSERT_NE(NULL, self->mem);
}

FIXTURE_TEARDOWN(control)
{
	ll_uring_close(&self->u);
	ll_teardown(&self->env);
}

static int table(struct ll_uring *u, void *addr, size_t len)
{
	struct iovec v = { .iov_base = addr, .iov_len = len };

	return io_uring_register_buffers(&u->ring, &v, 1);
}

TEST_F(control, anonymous_memory_needs_no_lease)
{
	EXPECT_EQ(-ENXIO, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, table(&self->u, self->mem, SIZE));
	EXPECT_EQ(-EBUSY, table(&self->u, self->mem, SIZE));
	EXPECT_EQ(0, ll_uring_update(&self->u, 0, self->mem + 5, 10));
	EXPECT_EQ(0, ll_uring_update(&self->u, 0, NULL, 0));
	EXPECT_EQ(-EINVAL, ll_uring_update(&self->u, 1, self->mem, SIZE));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(-ENXIO, io_uring_unregister_buffers(&self->u.ring));
}

TEST_F(control, shared_memory_needs_no_lease)
{
	char *shm = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	EXPECT_EQ(0, table(&self->u, shm, SIZE));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
}

TEST_F(control, bad_buffers_fail_as_ever)
{
	EXPECT_EQ(-EFAULT, table(&self->u, NULL, SIZE));
	EXPECT_EQ(-EFAULT, table(&self->u, self->mem, 0));
	EXPECT_EQ(-EFAULT, table(&self->u, self->mem, 2UL << 30));
	munmap(self->mem + SIZE / 2, SIZE / 2);
	EXPECT_EQ(-EFAULT, table(&self->u, self->mem, SIZE));
	EXPECT_EQ(0, ll_ret(mprotect(self->mem, LL_PAGE, PROT_READ)));
	EXPECT_EQ(-EFAULT, table(&self->u, self->mem, SIZE / 2));
	EXPECT_EQ(0, table(&self->u, self->mem + LL_PAGE, SIZE / 4));
}

TEST_F(control, file_without_lease_is_EOPNOTSUPP)
{
	EXPECT_EQ(-EOPNOTSUPP, table(&self->u, self->u.map, LL_PIN_LEN));
	ASSERT_EQ(0, table(&self->u, self->mem, SIZE));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_update(&self->u, 0, self->u.map, 4096));
	memset(self->mem, 'a', LL_PAGE);
	/* the slot is as it was */
	EXPECT_EQ(4, ll_do(&self->u.ring, .op = IORING_OP_WRITE_FIXED,
			   .fd = self->pipe[1], .addr = self->mem, .len = 4));
}

TEST_F(control, copies_in_a_private_mapping_are_registered)
{
	char *map = ll_map_fd(self->u.fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE, 0);

	ASSERT_NE(NULL, map);
	map[0] = 'p';
	EXPECT_EQ(-EOPNOTSUPP, table(&self->u, map + LL_PAGE, LL_PAGE));
	EXPECT_EQ(0, table(&self->u, map, LL_PAGE));
}

TEST_F(control, bytes_move_by_fixed_requests)
{
	ASSERT_EQ(0, table(&self->u, self->mem, SIZE));
	memset(self->mem, 'a', LL_PAGE);
	EXPECT_EQ(LL_PAGE, ll_do(&self->u.ring, .op = IORING_OP_WRITE_FIXED,
				 .fd = self->pipe[1], .addr = self->mem,
				 .len = LL_PAGE));
	EXPECT_EQ(100, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
			     .fd = self->pipe[0], .addr = self->mem + 8192,
			     .len = 100));
	EXPECT_EQ('a', self->mem[8192 + 99]);
	EXPECT_EQ(0, self->mem[8192 + 100]);
	/* FS-DAX files may be on the other side, as ever */
	EXPECT_EQ(LL_PAGE, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
				 .fd = self->u.fd, .addr = self->mem,
				 .len = LL_PAGE));
	EXPECT_EQ('f', self->mem[LL_PAGE - 1]);
}

TEST_F(control, requests_outside_a_buffer_are_EFAULT)
{
	ASSERT_EQ(0, io_uring_register_buffers_sparse(&self->u.ring, 2));
	ASSERT_EQ(0, ll_uring_update(&self->u, 0, self->mem, LL_PAGE));
	EXPECT_EQ(-EFAULT, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
				 .fd = self->u.fd, .addr = self->mem + 1,
				 .len = LL_PAGE));
	EXPECT_EQ(-EFAULT, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
				 .fd = self->u.fd, .addr = self->mem,
				 .len = LL_PAGE, .buf = 1));
	EXPECT_EQ(-EFAULT, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
				 .fd = self->u.fd, .addr = self->mem,
				 .len = LL_PAGE, .buf = 2));
}

TEST_F(control, tags_come_back)
{
	struct iovec v = { .iov_base = self->mem, .iov_len = SIZE };
	__u64 tag = 77;
	long data;

	ASSERT_EQ(0, io_uring_register_buffers_tags(&self->u.ring, &v, &tag, 1));
	EXPECT_EQ(0, ll_uring_update(&self->u, 0, self->mem, LL_PAGE));
	EXPECT_EQ(0, ll_io_result(&self->u.ring, LL_SOON, &data));
	EXPECT_EQ(77, data);
	/* the buffer that has replaced it has none */
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(LL_NO_CQE, ll_io_result(&self->u.ring, 100, &data));
}

TEST_F(control, table_is_cloned)
{
	struct io_uring to;

	ASSERT_EQ(0, io_uring_queue_init(LL_ENTRIES, &to, 0));
	EXPECT_EQ(-ENXIO, ll_uring_clone(&to, &self->u.ring));
	ASSERT_EQ(0, table(&self->u, self->mem, SIZE));
	EXPECT_EQ(0, ll_uring_clone(&to, &self->u.ring));
	EXPECT_EQ(-EBUSY, ll_uring_clone(&to, &self->u.ring));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(LL_PAGE, ll_do(&to, .op = IORING_OP_READ_FIXED, .fd = self->u.fd,
				 .addr = self->mem, .len = LL_PAGE));
	EXPECT_EQ('f', self->mem[0]);
	io_uring_queue_exit(&to);
}

static int udp(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int s = ll_ret(socket(AF_INET, SOCK_DGRAM, 0));

	if (s < 0)
		return s;
	return ll_ret(connect(s, (struct sockaddr *)&to, sizeof(to))) ?: s;
}

TEST_F(control, fixed_buffer_is_sent_without_a_copy)
{
	int s = udp();

	ASSERT_LE(0, s);
	ASSERT_EQ(0, table(&self->u, self->mem, SIZE));
	EXPECT_EQ(100, ll_do(&self->u.ring, .op = IORING_OP_SEND_ZC, .fd = s,
			     .addr = self->mem, .len = 100,
			     .ioprio = IORING_RECVSEND_FIXED_BUF));
	/* the notification that the pages are free */
	EXPECT_EQ(0, ll_io_result(&self->u.ring, LL_SOON, NULL));
}

TEST_F(control, memlock_limits_what_is_registered)
{
	struct rlimit l = { .rlim_cur = LL_PIN_LEN, .rlim_max = RLIM_INFINITY };

	io_uring_queue_exit(&self->u.ring);
	self->u.open = false;
	ASSERT_EQ(0, ll_ret(setrlimit(RLIMIT_MEMLOCK, &l)));
	ASSERT_EQ(0, ll_ret(setresuid(LL_UID, LL_UID, 0)));
	ASSERT_EQ(0, io_uring_queue_init(LL_ENTRIES, &self->u.ring, 0));
	self->u.open = true;
	ASSERT_EQ(0, ll_ret(setresuid(0, 0, 0)));
	EXPECT_EQ(-ENOMEM, table(&self->u, self->mem, 2 * LL_PIN_LEN));
	EXPECT_EQ(0, table(&self->u, self->mem, LL_PIN_LEN));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, table(&self->u, self->mem, LL_PIN_LEN));
	/* no lease comes first, as ever */
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(-EOPNOTSUPP, table(&self->u, self->u.map, 2 * LL_PIN_LEN));
}

TEST_HARNESS_MAIN

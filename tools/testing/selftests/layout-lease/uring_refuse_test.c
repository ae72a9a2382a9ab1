// SPDX-License-Identifier: GPL-2.0
/*
 * What does not take buffers in a leased file, because nobody could say when it
 * has done with them: another table, a peer on the network, a driver. And what
 * never takes pages of such files.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define URING_CMD		46	/* older headers: no name, no flag */
#define URING_CMD_FIXED		1
#define SIOCINQ_OF_SOCKET	0

FIXTURE(uring_refuse)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_uring u;
	char *mem;
};

FIXTURE_VARIANT(uring_refuse)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(uring_refuse, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(uring_refuse, xfs) {
	.fs = LL_XFS,
};

/* Slot 0: anonymous memory, slot 1: the leased file, slot 2: empty. */
FIXTURE_SETUP(uring_refuse)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_uring_open(&self->u, self->path, 0));
	ASSERT_EQ(0, ll_take(self->u.fd, true, LL_SIG));
	self->mem = ll_anon(LL_PIN_LEN);
	ASSERT_EQ(0, io_uring_register_buffers_sparse(&self->u.ring, 3));
	ASSERT_EQ(0, ll_uring_update(&self->u, 0, self->mem, LL_PIN_LEN));
	ASSERT_EQ(0, ll_uring_update(&self->u, 1, self->u.map, LL_PIN_LEN));
}

FIXTURE_TEARDOWN(uring_refuse)
{
	ll_uring_close(&self->u);
	ll_teardown(&self->env);
}

/* There is a notification, too, that the pages are free: also after an error. */
static int send_zc(struct ll_uring *u, int s, char *addr, int slot)
{
	int ret = ll_do(&u->ring, .op = IORING_OP_SEND_ZC, .fd = s,
			.addr = addr, .len = 100, .buf = slot,
			.ioprio = IORING_RECVSEND_FIXED_BUF);

	return ll_io_result(&u->ring, LL_SOON, NULL) ?: ret;
}

static int command(struct ll_uring *u, int s, int slot)
{
	return ll_do(&u->ring, .op = URING_CMD, .fd = s, .buf = slot,
		     .off = SIOCINQ_OF_SOCKET, .op_flags = URING_CMD_FIXED);
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

TEST_F(uring_refuse, clone_of_a_table_with_a_leased_buffer_is_EOPNOTSUPP)
{
	struct io_uring to;

	ASSERT_EQ(0, io_uring_queue_init(LL_ENTRIES, &to, 0));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_clone(&to, &self->u.ring));
	EXPECT_EQ(-ENXIO, io_uring_unregister_buffers(&to));
	EXPECT_EQ(1, ll_listed(self->path, true));
	/* without that buffer it is any table */
	ASSERT_EQ(0, ll_uring_update(&self->u, 1, NULL, 0));
	EXPECT_EQ(0, ll_uring_clone(&to, &self->u.ring));
	EXPECT_EQ(0, io_uring_unregister_buffers(&to));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
	io_uring_queue_exit(&to);
}

TEST_F(uring_refuse, zero_copy_send_of_a_leased_buffer_is_EOPNOTSUPP)
{
	int s = udp();

	ASSERT_LE(0, s);
	EXPECT_EQ(-EOPNOTSUPP, send_zc(&self->u, s, self->u.map, 1));
	EXPECT_EQ(100, send_zc(&self->u, s, self->mem, 0));
	EXPECT_EQ(-EFAULT, send_zc(&self->u, s, self->mem, 2));
	EXPECT_EQ(-EFAULT, send_zc(&self->u, s, self->mem, 3));
	EXPECT_EQ(LL_NO_CQE, ll_io_result(&self->u.ring, 100, NULL));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

TEST_F(uring_refuse, zero_copy_send_of_the_file_without_a_slot_is_not_concerned)
{
	int s = udp();

	ASSERT_LE(0, s);
	EXPECT_EQ(100, ll_do(&self->u.ring, .op = IORING_OP_SEND_ZC, .fd = s,
			     .addr = self->u.map, .len = 100));
	EXPECT_EQ(0, ll_io_result(&self->u.ring, LL_SOON, NULL));
}

TEST_F(uring_refuse, command_with_a_leased_buffer_is_EOPNOTSUPP)
{
	int s = udp();

	ASSERT_LE(0, s);
	EXPECT_EQ(0, command(&self->u, s, 0));
	EXPECT_EQ(-EOPNOTSUPP, command(&self->u, s, 1));
	EXPECT_EQ(0, ll_uring_update(&self->u, 1, NULL, 0));
	EXPECT_EQ(0, command(&self->u, s, 1));
}

TEST_F(uring_refuse, rings_cannot_live_in_a_leased_file)
{
	struct io_uring_buf_reg reg = {
		.ring_addr = (uintptr_t)self->u.map + LL_FAR,
		.ring_entries = 16,
	};

	EXPECT_EQ(-EOPNOTSUPP, io_uring_register_buf_ring(&self->u.ring, &reg, 0));
	reg.ring_addr = (uintptr_t)self->mem;
	EXPECT_EQ(0, io_uring_register_buf_ring(&self->u.ring, &reg, 0));
}

TEST_HARNESS_MAIN

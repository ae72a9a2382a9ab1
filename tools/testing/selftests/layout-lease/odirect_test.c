// SPDX-License-Identifier: GPL-2.0
/*
 * Short-term pins: I/O from or into a mapping of the file, for example an
 * O_DIRECT read of another file. Layout leases have nothing to do with these: an
 * operation on their range waits for the I/O and succeeds, under every policy,
 * and one elsewhere in the file does not wait.
 *
 * The other file lies on a FUSE filesystem served by the test, so that the read
 * takes exactly as long as the test wants it to.
 *
 *   reader:   read(fuse file, DAX mapping) ------ pages held ------ done
 *   server:             gets READ ... waits for the test ... replies
 *   breaker:                 truncate(DAX file) ---- waits -------- done
 */
#include <linux/falloc.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_fuse.h"

struct scene {
	struct ll_env env;
	char path[LL_PATH];
	struct ll_fuse fuse;
	char *map;
	int fd;
	pid_t reader;
};

FIXTURE(shortterm)
{
	struct scene s;
};

FIXTURE_VARIANT(shortterm)
{
	enum ll_fs fs;
	const char *policy;
};

FIXTURE_VARIANT_ADD(shortterm, ext4_off) {
	.fs = LL_EXT4, .policy = "off",
};

FIXTURE_VARIANT_ADD(shortterm, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(shortterm, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny",
};

FIXTURE_VARIANT_ADD(shortterm, xfs_off) {
	.fs = LL_XFS, .policy = "off",
};

FIXTURE_VARIANT_ADD(shortterm, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(shortterm, xfs_deny) {
	.fs = LL_XFS, .policy = "deny",
};

FIXTURE_SETUP(shortterm)
{
	char mnt[LL_PATH];

	ASSERT_EQ(0, ll_setup(&self->s.env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&self->s.env, "f", LL_FILE_SIZE, self->s.path));
	ll_name(&self->s.env, "mnt", mnt);
	ASSERT_EQ(0, ll_fuse_mount(&self->s.fuse, mnt));
	self->s.fd = ll_open(self->s.path, O_RDWR);
	self->s.map = ll_map_fd(self->s.fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
				MAP_SHARED, 0);
	ASSERT_NE(NULL, self->s.map);
}

FIXTURE_TEARDOWN(shortterm)
{
	ll_fuse_end(&self->s.fuse);
	close(self->s.fd);
	ll_teardown(&self->s.env);
}

/* Begins an O_DIRECT read of one page into the mapping at this offset. */
static int begin_read(struct scene *s, off_t off)
{
	s->reader = fork();
	if (!s->reader) {
		int fd = ll_open(s->fuse.file, O_RDONLY | O_DIRECT);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(read(fd, s->map + off, LL_PAGE) == LL_PAGE ? 0 : 1);
	}
	return ll_fuse_got_read(&s->fuse);
}

static int end_read(struct scene *s)
{
	int status, ret;

	ret = ll_fuse_reply(&s->fuse) ?: ll_wait_exit(s->reader, LL_SOON, &status);
	return ret ?: status;
}

/* The operation waits for the read, and then succeeds. */
static int waits(struct scene *s, enum ll_op op, off_t len)
{
	struct ll_breaker b;
	int ret, result;

	ret = begin_read(s, 0) ?: ll_breaker_start(&b, op, s->path, 0, len);
	if (ret)
		return ret;
	ret = ll_breaker_wait(&b, 400, &result);
	if (ret != -ETIMEDOUT)
		return ret ?: result ?: -EALREADY;
	ret = end_read(s) ?: ll_breaker_wait(&b, LL_SOON, &result);
	return ret ?: result;
}

TEST_F(shortterm, read_lands_in_the_file)
{
	ASSERT_EQ(0, begin_read(&self->s, 0));
	EXPECT_EQ(0, end_read(&self->s));
	EXPECT_EQ(1, ll_filled(self->s.path, 0, LL_PAGE, LL_FUSE_BYTE));
	EXPECT_EQ(1, ll_filled(self->s.path, LL_PAGE, LL_PAGE, 'f'));
}

TEST_F(shortterm, truncate_waits_and_succeeds)
{
	EXPECT_EQ(0, waits(&self->s, OP_TRUNCATE, 0));
	EXPECT_EQ(0, ll_size(self->s.path));
}

TEST_F(shortterm, punch_waits_and_succeeds)
{
	EXPECT_EQ(0, waits(&self->s, OP_PUNCH, LL_PAGE));
	EXPECT_EQ(1, ll_filled(self->s.path, 0, LL_PAGE, 0));
}

TEST_F(shortterm, collapse_waits_and_succeeds)
{
	EXPECT_EQ(0, waits(&self->s, OP_COLLAPSE, LL_PAGE));
	EXPECT_EQ(LL_FILE_SIZE - LL_PAGE, ll_size(self->s.path));
}

TEST_F(shortterm, operations_elsewhere_do_not_wait)
{
	struct ll_breaker b;
	int ret = -1;

	ASSERT_EQ(0, begin_read(&self->s, 0));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_PUNCH, self->s.path, LL_FAR, LL_MIB));
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->s.path, LL_FAR, 0));
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, end_read(&self->s));
	EXPECT_EQ(1, ll_filled(self->s.path, 0, LL_PAGE, LL_FUSE_BYTE));
}

TEST_F(shortterm, operations_that_take_nothing_away_do_not_wait)
{
	struct ll_breaker b;
	int ret = -1;

	ASSERT_EQ(0, begin_read(&self->s, 0));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->s.path,
				      2 * LL_FILE_SIZE, 0));
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_ret(fallocate(self->s.fd, 0, 0, 2 * LL_FILE_SIZE)));
	EXPECT_EQ(0, end_read(&self->s));
}

/* Under deny: the operation is refused, with the read still going on. */
static int long_pin_wins(struct scene *s, struct ll_holder *h,
			 struct ll_breaker *b)
{
	int ret, result;

	ret = ll_breaker_wait(b, LL_SOON, &result);
	if (ret || result != -ETXTBSY)
		return ret ?: result ?: -EALREADY;
	return end_read(s) ?: ll_holder_end(h);
}

/* Under break: the holder is killed, and then the read is waited for. */
static int short_pin_is_waited_for(struct scene *s, struct ll_holder *h,
				   struct ll_breaker *b)
{
	int ret, result;

	if (ll_holder_wait(h, LL_SOON) != SIGKILL)
		return -ESRCH;
	ret = ll_breaker_wait(b, 400, &result);
	if (ret != -ETIMEDOUT)
		return ret ?: result ?: -EALREADY;
	ret = end_read(s) ?: ll_breaker_wait(b, LL_SOON, &result);
	return ret ?: result;
}

/* Both kinds of pin: the lease's is broken or refused, the other waited for. */
TEST_F(shortterm, short_and_long_pin_in_one_range)
{
	bool deny = !strcmp(variant->policy, "deny");
	struct ll_holder h;
	struct ll_breaker b;

	if (!strcmp(variant->policy, "off"))
		ASSERT_EQ(0, ll_policy(&self->s.env, "break"));
	ASSERT_EQ(0, ll_holder_pin(&h, self->s.path, true, SIGKILL));
	ASSERT_EQ(0, begin_read(&self->s, 0));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->s.path, 0, 0));
	EXPECT_EQ(0, deny ? long_pin_wins(&self->s, &h, &b) :
			    short_pin_is_waited_for(&self->s, &h, &b));
}

/*
 * An operation waits for the read, with no lease on the file. The first one comes,
 * and a pin of the very page: waiting on would be for ever.
 */
TEST_F(shortterm, pin_that_comes_during_the_wait_is_seen)
{
	bool deny = !strcmp(variant->policy, "deny");
	struct ll_holder h;
	struct ll_breaker b;
	int ret;

	if (!strcmp(variant->policy, "off"))
		ASSERT_EQ(0, ll_policy(&self->s.env, "break"));
	ASSERT_EQ(0, begin_read(&self->s, 0));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->s.path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&b, 400, &ret));
	ret = ll_holder_pin(&h, self->s.path, true, SIGKILL);
	/* it may be killed before it can say that it has the pin */
	if (deny || ret != -EPIPE)
		ASSERT_EQ(0, ret);
	EXPECT_EQ(0, deny ? long_pin_wins(&self->s, &h, &b) :
			    short_pin_is_waited_for(&self->s, &h, &b));
}

TEST_HARNESS_MAIN

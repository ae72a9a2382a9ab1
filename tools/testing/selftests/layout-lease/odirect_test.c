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
#include <linux/fuse.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

#define FILE_NODE	2
#define FILE_BYTE	's'

/* One end of a pipe pair each: the server says "got READ", hears "reply". */
struct fuse_server {
	pid_t pid;
	int got_read, go;
};

static int reply(int dev, uint64_t unique, int error, const void *data,
		 size_t len)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + len, .error = error, .unique = unique,
	};
	struct iovec iov[2] = {
		{ .iov_base = &out, .iov_len = sizeof(out) },
		{ .iov_base = (void *)data, .iov_len = len },
	};

	return writev(dev, iov, 2) < 0 ? -errno : 0;
}

static void fill_attr(struct fuse_attr *attr, uint64_t node)
{
	attr->ino = node;
	attr->mode = node == FILE_NODE ? S_IFREG | 0644 : S_IFDIR | 0755;
	attr->nlink = 1;
	attr->size = node == FILE_NODE ? LL_MIB : 0;
}

static void answer_read(int dev, const struct fuse_in_header *in, int got,
			int go)
{
	const struct fuse_read_in *arg = (const void *)(in + 1);
	char *data = malloc(arg->size), byte;

	if (!data || write(got, "", 1) != 1 || read(go, &byte, 1) != 1)
		_exit(1);
	memset(data, FILE_BYTE, arg->size);
	reply(dev, in->unique, 0, data, arg->size);
	free(data);
}

static void answer(int dev, const struct fuse_in_header *in, int got, int go)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = 65536,
		.max_write = 65536,
		.max_background = 8,
		.congestion_threshold = 6,
	};
	struct fuse_entry_out entry = { .nodeid = FILE_NODE, .attr_valid = 60 };
	struct fuse_attr_out attr = { .attr_valid = 60 };
	struct fuse_open_out open = { .open_flags = FOPEN_DIRECT_IO };

	switch (in->opcode) {
	case FUSE_INIT:
		reply(dev, in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		fill_attr(&entry.attr, FILE_NODE);
		reply(dev, in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		fill_attr(&attr.attr, in->nodeid);
		reply(dev, in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		reply(dev, in->unique, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		answer_read(dev, in, got, go);
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		reply(dev, in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(dev, in->unique, -EOPNOTSUPP, NULL, 0);
	}
}

static void serve(int dev, int got, int go)
{
	static char buf[FUSE_MIN_READ_BUFFER + 65536];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(dev, buf, sizeof(buf)) > 0)
		answer(dev, (const void *)buf, got, go);
	_exit(0);
}

static int fuse_mount(struct fuse_server *s, const char *mnt)
{
	int dev = ll_open("/dev/fuse", O_RDWR), got[2], go[2], ret;
	char options[128];

	if (dev < 0)
		return dev;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	ret = ll_ret(mount("layout", mnt, "fuse", 0, options));
	if (ret || pipe2(got, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		return ret ?: -errno;
	s->pid = fork();
	if (!s->pid)
		serve(dev, got[1], go[0]);
	close(dev);
	close(got[1]);
	close(go[0]);
	s->got_read = got[0];
	s->go = go[1];
	return 0;
}

struct scene {
	struct ll_env env;
	char path[LL_PATH], mnt[LL_PATH], source[LL_PATH];
	struct fuse_server server;
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
	ASSERT_EQ(0, ll_setup(&self->s.env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&self->s.env, "f", LL_FILE_SIZE, self->s.path));
	ll_name(&self->s.env, "mnt", self->s.mnt);
	snprintf(self->s.source, sizeof(self->s.source), "%.120s/source", self->s.mnt);
	ASSERT_EQ(0, ll_ret(mkdir(self->s.mnt, 0755)));
	ASSERT_EQ(0, fuse_mount(&self->s.server, self->s.mnt));
	self->s.fd = ll_open(self->s.path, O_RDWR);
	self->s.map = ll_map_fd(self->s.fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
				MAP_SHARED, 0);
	ASSERT_NE(NULL, self->s.map);
}

FIXTURE_TEARDOWN(shortterm)
{
	umount2(self->s.mnt, MNT_DETACH);
	kill(self->s.server.pid, SIGKILL);
	close(self->s.fd);
	ll_teardown(&self->s.env);
}

/* Begins an O_DIRECT read of one page into the mapping at this offset. */
static int begin_read(struct scene *s, off_t off)
{
	struct pollfd p = { .fd = s->server.got_read, .events = POLLIN };

	s->reader = fork();
	if (!s->reader) {
		int fd = ll_open(s->source, O_RDONLY | O_DIRECT);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(read(fd, s->map + off, LL_PAGE) == LL_PAGE ? 0 : 1);
	}
	return poll(&p, 1, LL_SOON) == 1 ? 0 : -ETIMEDOUT;
}

static int end_read(struct scene *s)
{
	int status, ret;

	if (write(s->server.go, "", 1) != 1)
		return -errno;
	ret = ll_wait_exit(s->reader, LL_SOON, &status);
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
	EXPECT_EQ(1, ll_filled(self->s.path, 0, LL_PAGE, FILE_BYTE));
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
	EXPECT_EQ(1, ll_filled(self->s.path, 0, LL_PAGE, FILE_BYTE));
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

// SPDX-License-Identifier: GPL-2.0
/*
 * What is left of a call after one of its allocations has failed: what was there
 * before it. The same call is made again and again, with the first allocation
 * failing, the second, and so on until there are no more of them.
 *
 * What the worker of a revocation allocates does not fail here.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_fail.h"
#include "layout_lease_uring.h"

#define LEVER	"/proc/layout_revoke"

struct world {
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;	/* of the file */
	bool sparse;		/* the file is a hole */
	size_t size;
	int fd;
	char *map;
	struct ll_rdma r;
	struct ibv_mr *mr;
	struct ll_uring u;
	struct ll_holder h;
	const char *file;	/* to be read, and what it is to read like */
	char want[4096], have[4096];
	int failed;
};

FIXTURE(fail_nth) { struct world w; };
FIXTURE_VARIANT(fail_nth) { enum ll_fs fs; };
FIXTURE_VARIANT_ADD(fail_nth, ext4) { .fs = LL_EXT4 };
FIXTURE_VARIANT_ADD(fail_nth, xfs) { .fs = LL_XFS };

static int drop_file(struct world *w)
{
	if (w->map)
		munmap(w->map, LL_FILE_SIZE);
	w->map = NULL;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	return ll_ret(unlink(w->path));
}

/* A file that nothing is known of yet, open and mapped. */
static int make_file(struct world *w)
{
	int ret = (w->sparse ? ll_sparse : ll_file)(&w->env, "f", w->size,
						    w->path);

	if (ret)
		return ret;
	w->fd = ll_open(w->path, O_RDWR);
	if (w->fd < 0)
		return w->fd;
	ret = ll_identify(w->path, &w->id);
	if (ret)
		return ret;
	w->map = ll_map_fd(w->fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED, 0);
	return w->map ? 0 : -errno;
}

static int make_leased_file(struct world *w)
{
	return make_file(w) ?: ll_take(w->fd, true, LL_SIG);
}

/* Nobody has a lease or a pin, and no break is pending. */
static int nothing_is_listed(struct world *w)
{
	struct ll_pending p;

	if (ll_comes_to_list(w->path, true, 0) ||
	    ll_comes_to_list(w->path, false, 0))
		return -EBUSY;
	return ll_breaks(&p, 1) ? -EINPROGRESS : 0;
}

/* The file has a lease, and no pin, which it may have. */
static int lease_stands(struct world *w)
{
	if (ll_ret(fcntl(w->fd, F_GETLEASE)) != LL_EXCL)
		return -ENOLCK;
	if (ll_listed(w->path, true))
		return -EBUSY;
	return ll_reg(&w->r, w->map, LL_PIN_LEN, &w->mr) ?: ll_dereg(&w->mr);
}

static int give_back(struct world *w)
{
	return ll_setlease(w->fd, F_UNLCK) ?: nothing_is_listed(w) ?: drop_file(w);
}

/* Free blocks, once the filesystem has freed what was removed. */
static int64_t settled_blocks(struct world *w)
{
	int64_t end = ll_now_ms() + LL_SOON, have = -1, before;

	do {
		before = have;
		ll_sleep_ms(200);
		have = ll_free_blocks(w->env.root);
	} while (have != before && ll_now_ms() < end);
	return have;
}

/* Files without leases work as ever. */
static int ordinary_file_works(struct world *w)
{
	char path[LL_PATH];
	int ret = ll_file(&w->env, "ordinary", LL_FILE_SIZE, path);

	if (ret)
		return ret;
	if (ll_filled(path, 0, LL_FILE_SIZE, 'f') != 1)
		return -EIO;
	return ll_break(OP_PUNCH, path, 0, LL_MIB) ?:
	       ll_break(OP_TRUNCATE, path, 0, 0) ?: ll_ret(unlink(path));
}

/* Once without a failure, for what is allocated once; then with all of them. */
static int fail_each(struct world *w, const struct ll_fail *f)
{
	int64_t before, after;
	int ret = f->prepare(w) ?: f->call(w) ?: f->check(w, 0) ?:
		  ordinary_file_works(w);

	if (ret)
		return ret;
	before = settled_blocks(w);
	ret = ll_fail_each(f, w, &w->failed) ?: ordinary_file_works(w);
	after = settled_blocks(w);
	if (ret || after >= before)
		return ret;
	ll_log("%lld blocks are lost", (long long)(before - after));
	return -ENOSPC;
}

FIXTURE_SETUP(fail_nth)
{
	self->w.size = LL_FILE_SIZE;
	self->w.fd = -1;
	self->w.u.fd = -1;
	ASSERT_EQ(0, ll_setup(&self->w.env, variant->fs, "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_fail_setup());
	ASSERT_EQ(0, ll_rdma_open(&self->w.r));
}

FIXTURE_TEARDOWN(fail_nth)
{
	ll_holder_end(&self->w.h);
	ll_uring_close(&self->w.u);
	if (self->w.mr)
		ll_dereg(&self->w.mr);
	ll_rdma_close(&self->w.r);
	ll_policy(&self->w.env, "break");
	ll_teardown(&self->w.env);
}

static int prepare_file(void *arg)
{
	return make_file(arg);
}

static int call_take(void *arg)
{
	struct world *w = arg;

	return ll_take(w->fd, true, LL_SIG);
}

static int check_take(void *arg, int ret)
{
	struct world *w = arg;

	if (!ret)
		return lease_stands(w) ?: give_back(w);
	if (ll_ret(fcntl(w->fd, F_GETLEASE)) != F_UNLCK)
		return -ENOLCK;
	return ll_take(w->fd, true, LL_SIG) ?: lease_stands(w) ?: give_back(w);
}

TEST_F(fail_nth, lease_is_granted_or_there_is_none)
{
	static const struct ll_fail f = {
		.prepare = prepare_file, .call = call_take, .check = check_take,
	};

	EXPECT_EQ(0, fail_each(&self->w, &f));
	EXPECT_LE(3, self->w.failed);
}

static int prepare_plain(void *arg)
{
	struct world *w = arg;

	return make_file(w) ?: ll_setlease(w->fd, F_LAYOUT);
}

static int check_upgrade(void *arg, int ret)
{
	struct world *w = arg;

	if (ret && ll_ret(fcntl(w->fd, F_GETLEASE)) != F_LAYOUT)
		return -ENOLCK;
	if (ret)
		ret = ll_take(w->fd, true, LL_SIG);
	return ret ?: lease_stands(w) ?: give_back(w);
}

TEST_F(fail_nth, lease_becomes_exclusive_or_stays_plain)
{
	static const struct ll_fail f = {
		.prepare = prepare_plain, .call = call_take,
		.check = check_upgrade,
	};

	EXPECT_EQ(0, fail_each(&self->w, &f));
	EXPECT_LE(1, self->w.failed);
}

static int prepare_lease(void *arg)
{
	return make_leased_file(arg);
}

static int call_reg(void *arg)
{
	struct world *w = arg;

	return ll_reg(&w->r, w->map, LL_FILE_SIZE, &w->mr);
}

static int check_reg(void *arg, int ret)
{
	struct world *w = arg;

	if (!ret)
		ret = ll_listed(w->path, true) == 1 ? ll_dereg(&w->mr) : -EBUSY;
	else
		ret = 0;
	return ret ?: lease_stands(w) ?: give_back(w);
}

/* A write fault for which ext4 cannot begin a transaction is a SIGBUS. */
static const int fault_errnos[] = { EFAULT, 0 };

static const struct ll_fail fail_reg = {
	.prepare = prepare_lease, .call = call_reg, .check = check_reg,
	.errnos = fault_errnos,
};

TEST_F(fail_nth, memory_is_registered_or_no_pin_is_left)
{
	EXPECT_EQ(0, fail_each(&self->w, &fail_reg));
	EXPECT_LE(4, self->w.failed);
}

TEST_F(fail_nth, hole_is_registered_or_no_pin_is_left)
{
	self->w.sparse = true;
	EXPECT_EQ(0, fail_each(&self->w, &fail_reg));
	EXPECT_LE(4, self->w.failed);
}

static int prepare_ring(void *arg)
{
	struct world *w = arg;

	return make_leased_file(w) ?: ll_uring_open(&w->u, w->path, 0);
}

static int call_table(void *arg)
{
	struct world *w = arg;
	struct iovec v[2] = {
		{ .iov_base = w->map, .iov_len = 2 * LL_MIB },
		{ .iov_base = w->map + LL_FAR, .iov_len = LL_PIN_LEN },
	};

	return io_uring_register_buffers(&w->u.ring, v, 2);
}

static int end_ring(struct world *w)
{
	munmap(w->u.map, LL_FILE_SIZE);
	ll_uring_close(&w->u);
	return ll_comes_to_list(w->path, true, 0) ? -EBUSY : 0;
}

static int check_table(void *arg, int ret)
{
	struct world *w = arg;

	if (ret)
		ret = ll_listed(w->path, true) ? -EBUSY : call_table(w);
	if (!ret)
		ret = ll_listed(w->path, true) == 2 ?
		      io_uring_unregister_buffers(&w->u.ring) : -EBUSY;
	return ret ?: end_ring(w) ?: lease_stands(w) ?: give_back(w);
}

TEST_F(fail_nth, buffers_are_registered_or_no_pin_is_left)
{
	static const struct ll_fail f = {
		.prepare = prepare_ring, .call = call_table,
		.check = check_table, .errnos = fault_errnos,
	};

	EXPECT_EQ(0, fail_each(&self->w, &f));
	EXPECT_LE(4, self->w.failed);
}

static int prepare_table(void *arg)
{
	return prepare_ring(arg) ?: call_table(arg);
}

static int call_update(void *arg)
{
	struct world *w = arg;

	return ll_uring_update(&w->u, 0, w->map + 2 * LL_MIB, LL_MIB);
}

/*
 * The slot has the old buffer, the new one, or none: the old one is let go of
 * before the new one is pinned.
 */
static int check_update(void *arg, int ret)
{
	struct world *w = arg;
	int pins = ll_listed(w->path, true);

	if (pins != 2 && !(ret && pins == 1))
		return -EBUSY;
	ret = ret ? call_update(w) : 0;
	if (!ret && ll_comes_to_list(w->path, true, 2) != 2)
		ret = -EBUSY;
	return ret ?: end_ring(w) ?: lease_stands(w) ?: give_back(w);
}

TEST_F(fail_nth, buffer_is_updated_or_no_pin_is_left)
{
	static const struct ll_fail f = {
		.prepare = prepare_table, .call = call_update,
		.check = check_update, .errnos = fault_errnos,
	};

	EXPECT_EQ(0, fail_each(&self->w, &f));
	/* Of those of a kernel with its checkers, fewer are missed. */
	EXPECT_LE(getenv("LL_SLOW") ? 3 : 4, self->w.failed);
}

/*
 * Behind the end of the file, in its last page, which is pinned: no filesystem
 * does anything then, and so none can run out of memory in the middle of it.
 */
static int call_punch(void *arg)
{
	struct world *w = arg;

	return ll_break(OP_PUNCH, w->path, w->size + 1, 1);
}

/* A holder whose signal is SIGKILL: a break kills it at once. */
static int prepare_victim(void *arg)
{
	struct world *w = arg;

	return make_file(w) ?: ll_holder_pin(&w->h, w->path, true, SIGKILL);
}

/* Killed, or as before. */
static int check_victim(void *arg, int ret)
{
	struct world *w = arg;
	struct ll_pending p;
	int pins = ll_listed(w->path, true);

	if (ll_breaks(&p, 1) || pins != !!ret)
		return -EBUSY;
	if (ret ? !ll_holder_alive(&w->h) :
		  ll_holder_wait(&w->h, LL_SOON) != SIGKILL)
		return -ECHILD;
	if (ll_filled(w->path, 0, w->size, 'f') != 1)
		return -EIO;
	ll_holder_end(&w->h);
	return nothing_is_listed(w) ?: drop_file(w);
}

TEST_F(fail_nth, punch_wins_or_changes_nothing)
{
	static const struct ll_fail f = {
		.prepare = prepare_victim, .call = call_punch,
		.check = check_victim,
	};

	self->w.size = LL_PIN_LEN - LL_PAGE / 2;
	EXPECT_EQ(0, fail_each(&self->w, &f));
	EXPECT_LE(2, self->w.failed);
}

/* A holder that is told, and does nothing. */
static int prepare_holder(void *arg)
{
	struct world *w = arg;

	return make_file(w) ?: ll_holder_pin(&w->h, w->path, true, LL_SIG);
}

static int call_nonblock(void *arg)
{
	struct world *w = arg;
	int ret = ll_break(OP_O_TRUNC_NONBLOCK, w->path, 0, 0);

	return ret == -EWOULDBLOCK ? 0 : ret ?: -EEXIST;
}

/*
 * Told, and the break is pending for a while; or as before. A signal that cannot
 * be queued is lost, which is what there is F_GETLAYOUTBREAK for.
 */
static int check_told(void *arg, int ret)
{
	struct world *w = arg;
	struct ll_pending p;
	int heard = ll_hold(&w->h, .op = H_SIGWAIT, .a = 200);
	int asked = ll_hold(&w->h, .op = H_GETBREAK);

	if ((ret && heard != -ETIMEDOUT) || ll_breaks(&p, 1) != !ret ||
	    asked != (ret ? -ENODATA : 0) || ll_listed(w->path, true) != 1)
		return -EBUSY;
	if (ll_filled(w->path, 0, w->size, 'f') != 1)
		return -EIO;
	ll_holder_end(&w->h);
	return drop_file(w);
}

TEST_F(fail_nth, truncate_tells_or_changes_nothing)
{
	static const struct ll_fail f = {
		.prepare = prepare_holder, .call = call_nonblock,
		.check = check_told,
	};

	EXPECT_EQ(0, fail_each(&self->w, &f));
	EXPECT_LE(2, self->w.failed);
}

/* Pins of a holder that is gone, in the context of the test. */
static int prepare_passed(void *arg)
{
	struct world *w = arg;

	ll_rdma_close(&w->r);
	return make_file(w) ?: ll_rdma_open(&w->r) ?:
	       ll_leave(&w->r, w->path, 0, LL_PIN_LEN, 1, NULL);
}

static int check_passed(void *arg, int ret)
{
	struct world *w = arg;
	int pins = ll_listed(w->path, true);
	int reg = ll_reg(&w->r, w->map, LL_PAGE, &w->mr);

	/* The context has been revoked, or the pin stands. */
	if (ret ? pins != (reg != -EIO) : pins || reg != -EIO)
		return -EBUSY;
	ll_rdma_close(&w->r);
	return nothing_is_listed(w) ?: drop_file(w);
}

TEST_F(fail_nth, passed_context_is_revoked_or_keeps_its_pins)
{
	static const struct ll_fail f = {
		.prepare = prepare_passed, .call = call_punch,
		.check = check_passed,
	};

	self->w.size = LL_PIN_LEN - LL_PAGE / 2;
	EXPECT_EQ(0, fail_each(&self->w, &f));
	EXPECT_LE(1, self->w.failed);
}

static int call_lever(void *arg)
{
	struct world *w = arg;
	char text[64];
	int len, ret, fd = ll_open(LEVER, O_WRONLY);

	if (fd < 0)
		return fd;
	len = snprintf(text, sizeof(text), "file %u:%u %llu\n", w->id.major,
		       w->id.minor, w->id.ino);
	ret = ll_ret(write(fd, text, len));
	close(fd);
	return ret == len ? 0 : ret;
}

static int check_lever(void *arg, int ret)
{
	struct world *w = arg;
	int want = ret ? 1 : 0;

	if (ll_comes_to_list(w->path, true, want) != want ||
	    ll_comes_to_list(w->path, false, want) != want ||
	    !ll_holder_alive(&w->h))
		return -EBUSY;
	ll_holder_end(&w->h);
	return nothing_is_listed(w) ?: drop_file(w);
}

TEST_F(fail_nth, lever_revokes_or_does_nothing)
{
	static const struct ll_fail f = {
		.prepare = prepare_holder, .call = call_lever,
		.check = check_lever,
	};

	EXPECT_EQ(0, fail_each(&self->w, &f));
	EXPECT_LE(2, self->w.failed);
}

static int prepare_nothing(void *arg)
{
	return 0;
}

static int call_read(void *arg)
{
	struct world *w = arg;
	int ret = ll_read(w->have, sizeof(w->have), "%s", w->file);

	return ret < 0 ? ret : 0;
}

/* All of it or an error, and all of it the next time. */
static int check_read(void *arg, int ret)
{
	struct world *w = arg;

	if (!ret && strcmp(w->want, w->have))
		return -EBADMSG;
	ret = call_read(w);
	return ret ?: strcmp(w->want, w->have) ? -EBADMSG : 0;
}

static const struct ll_fail fail_read = {
	.prepare = prepare_nothing, .call = call_read, .check = check_read,
};

/* 0 if the file has this word, and reads like that or not at all. */
static int read_fails(struct world *w, const char *word, const char *fmt, int nr)
{
	char file[64];
	int ret;

	snprintf(file, sizeof(file), fmt, nr);
	w->file = file;
	ret = ll_read(w->want, sizeof(w->want), "%s", file);
	if (ret < 0 || !strstr(w->want, word))
		return ret < 0 ? ret : -ENODATA;
	ret = fail_each(w, &fail_read);
	if (!ret && w->failed < 3)
		ret = -ENOTSUP;
	if (ret)
		ll_log("%s: %s", file, strerror(-ret));
	return ret;
}

TEST_F(fail_nth, reports_are_whole_or_fail)
{
	struct ll_breaker b;

	ASSERT_EQ(0, make_leased_file(&self->w));
	ASSERT_EQ(0, ll_reg(&self->w.r, self->w.map, LL_PIN_LEN, &self->w.mr));
	/* -1 is left, whenever that is read */
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 0));
	ASSERT_EQ(0, ll_holder_start(&self->w.h));
	ASSERT_EQ(0, ll_holder_open(&self->w.h, 0, self->w.path));
	ASSERT_EQ(0, ll_hold(&self->w.h, .op = H_SETLEASE, .a = F_LAYOUT));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_PUNCH, self->w.path, LL_FAR, LL_MIB));
	ASSERT_EQ(0, ll_hold(&self->w.h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(0, read_fails(&self->w, "pin ", "/proc/layout_leases", 0));
	EXPECT_EQ(0, read_fails(&self->w, "pin ", "/proc/self/file_pins", 0));
	EXPECT_EQ(0, read_fails(&self->w, "punch_hole", "/proc/layout_breaks", 0));
	EXPECT_EQ(0, read_fails(&self->w, "LAYOUT", "/proc/locks", 0));
	EXPECT_EQ(0, read_fails(&self->w, "layout_pins:\t1", "/proc/self/fdinfo/%d",
				self->w.fd));
	EXPECT_EQ(0, read_fails(&self->w, "layout_pin:", "/proc/self/fdinfo/%d",
				self->w.r.ctx->cmd_fd));
	ll_breaker_end(&b);
	EXPECT_EQ(0, ll_dereg(&self->w.mr));
}

static int prepare_idle(void *arg)
{
	struct world *w = arg;

	return make_leased_file(w);
}

static int call_off(void *arg)
{
	struct world *w = arg;

	return ll_remount(w->env.root, "layout_lease=off");
}

static int check_off(void *arg, int ret)
{
	struct world *w = arg;
	int lease = ll_ret(fcntl(w->fd, F_GETLEASE));

	if (ret && (lease != LL_EXCL ||
		    ll_mount_option(w->env.root, "layout_lease=break") != 1))
		return -ENOLCK;
	if (!ret && (lease != F_UNLCK ||
		     ll_mount_option(w->env.root, "layout_lease=break")))
		return -EBUSY;
	ret = ret ? 0 : ll_policy(&w->env, "break");
	if (!ret && lease == F_UNLCK)
		ret = ll_take(w->fd, true, LL_SIG);
	return ret ?: lease_stands(w) ?: give_back(w);
}

TEST_F(fail_nth, remount_changes_the_policy_or_nothing)
{
	static const struct ll_fail f = {
		.prepare = prepare_idle, .call = call_off, .check = check_off,
	};

	EXPECT_EQ(0, fail_each(&self->w, &f));
	EXPECT_LE(3, self->w.failed);
}

TEST_HARNESS_MAIN

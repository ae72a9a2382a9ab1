// SPDX-License-Identifier: GPL-2.0
/*
 * The filesystem is exported by nfsd, and a client changes a pinned file: its threads
 * work for others, so they never wait, and never break a lease. The client is
 * answered at once, with EIO, and need not try again for ever.
 *
 * Server and client are this machine. The server's threads are started for each
 * test and stopped at its end: only then does it close all files of its cache.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_audit.h"
#include "layout_lease_revoke.h"

#define BREAK_S	20		/* nobody waits for that long */
#define MNT	"/run/layout-nfs"
#define LOG	"/run/layout-nfs.log"
#define CLIENTS	"/run/nfsdcld"

FIXTURE(nfs)
{
	struct ll_env env;
	struct ll_audit audit;
	char path[LL_PATH];	/* at the server */
	char far[LL_PATH];	/* the same file at the client */
	struct ll_holder h;
	struct ll_breaker b;
};

FIXTURE_VARIANT(nfs)
{
	enum ll_fs fs;
	const char *version;
	const char *options;	/* of the export */
};

FIXTURE_VARIANT_ADD(nfs, ext4_v3) {
	.fs = LL_EXT4, .version = "3,nolock", .options = "fsid=7",
};

FIXTURE_VARIANT_ADD(nfs, xfs_v3) {
	.fs = LL_XFS, .version = "3,nolock", .options = "fsid=7",
};

FIXTURE_VARIANT_ADD(nfs, ext4_v4_0) {
	.fs = LL_EXT4, .version = "4.0", .options = "fsid=7",
};

FIXTURE_VARIANT_ADD(nfs, xfs_v4_0) {
	.fs = LL_XFS, .version = "4.0", .options = "fsid=7",
};

/* A client that may ask for the blocks of a file, to do its I/O by itself. */
FIXTURE_VARIANT_ADD(nfs, xfs_pnfs) {
	.fs = LL_XFS, .version = "4.1", .options = "fsid=7,pnfs",
};

/* What server and client need besides the server's threads; it stays. */
static int daemons(void)
{
	if (!ll_shell("mountpoint -q /proc/fs/nfsd"))
		return 0;
	return ll_shell("exec >%s 2>&1; mkdir -p %s %s && %s && %s && %s && %s", LOG, MNT,
			"/run/rpc_pipefs",
			"mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs",
			"mount -t nfsd none /proc/fs/nfsd",
			"rpcbind -w", "rpc.mountd");
}

/*
 * With a list of clients that is empty: there is none to reclaim anything, so there
 * is no grace period to wait for.
 */
static int serve(void)
{
	return daemons() ?:
	       ll_shell("rm -rf %s && mkdir %s && nfsdcld -p /run/rpc_pipefs -s %s >>%s 2>&1",
			CLIENTS, CLIENTS, CLIENTS, LOG) ?:
	       ll_shell("rpc.nfsd -H 127.0.0.1 2 >>%s 2>&1", LOG);
}

/* "soft": the client gives up, should the server not answer. */
static int export(struct ll_env *env, const char *options, const char *version)
{
	static const char * const both = "rw,no_root_squash,insecure,no_subtree_check";

	return ll_shell("exportfs -o %s,%s 127.0.0.1:%s >>%s 2>&1", both, options,
			env->dir, LOG) ?:
	       ll_shell("mount -t nfs -o soft,timeo=50,sec=sys,vers=%s 127.0.0.1:%s %s >>%s 2>&1",
			version, env->dir, MNT, LOG);
}

/* Also if the mount or the server is none. */
static void withdraw(void)
{
	int64_t end = ll_now_ms() + LL_SOON;

	/* Not lazily: what the client says last would have the server open files anew. */
	while (umount2(MNT, 0) && errno == EBUSY && ll_now_ms() < end)
		ll_sleep_ms(20);
	ll_shell("exportfs -ua; rpc.nfsd 0 >>%s 2>&1; pkill -x nfsdcld", LOG);
}

FIXTURE_SETUP(nfs)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, serve());
	ASSERT_EQ(0, ll_audit_begin(&self->audit, &self->env));
	ASSERT_LT(0, ll_audit_innocent(&self->audit));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", BREAK_S));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	snprintf(self->far, sizeof(self->far), MNT "/f");
	/* what is the case without the series is not looked at any further */
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, export(&self->env, variant->options, variant->version));
}

FIXTURE_TEARDOWN(nfs)
{
	ll_holder_end(&self->h);
	withdraw();
	EXPECT_EQ(0, ll_audit_end(&self->audit));
}

/* Through the client, in a process that could be killed if it did not return. */
static int by_client(struct ll_breaker *b, enum ll_op op, const char *path)
{
	int ret = ll_breaker_start(b, op, path, 0, 0), result;

	ret = ret ?: ll_breaker_wait(b, LL_SOON, &result);
	if (ret == -ETIMEDOUT)
		ll_breaker_end(b);
	return ret ?: result;
}

static const enum ll_op ops[] = {
	OP_TRUNCATE, OP_FTRUNCATE, OP_O_TRUNC,
};

/*
 * All of them by the client, on a file of full size each where they are to
 * succeed: 0 if each of them has ended with this.
 */
static int all_by_client(struct ll_breaker *b, const char *path, const char *far,
			 int want)
{
	size_t i;
	int ret;

	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		if (!want && truncate(path, LL_FILE_SIZE))
			return -errno;
		ret = by_client(b, ops[i], far);
		if (ret == want)
			continue;
		ll_log("operation %d by a client: %d", ops[i], ret);
		return ret ?: -EALREADY;
	}
	return 0;
}

static const char * const policies[] = { "break", "deny" };

TEST_F_TIMEOUT(nfs, what_takes_blocks_of_a_pinned_file_is_EIO_and_tells_nobody, 120)
{
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(policies); i++) {
		ASSERT_EQ(0, ll_policy(&self->env, policies[i]));
		EXPECT_EQ(0, all_by_client(&self->b, self->path, self->far, -EIO));
	}
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT, .a = 100));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_FILE_SIZE, 'f'));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	/* the lease alone is in nobody's way */
	EXPECT_EQ(0, all_by_client(&self->b, self->path, self->far, 0));
}

TEST_F_TIMEOUT(nfs, plain_lease_of_another_process_is_EIO_too, 120)
{
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(0, all_by_client(&self->b, self->path, self->far, -EIO));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT, .a = 100));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_FILE_SIZE, 'f'));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(0, all_by_client(&self->b, self->path, self->far, 0));
}

TEST_F_TIMEOUT(nfs, what_takes_nothing_away_goes_through, 120)
{
	EXPECT_EQ(0, ll_write_fill(self->far, 0, LL_PIN_LEN, 'n'));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'n'));
	EXPECT_EQ(0, ll_ret(truncate(self->far, 2 * LL_FILE_SIZE)));
	EXPECT_EQ(2 * LL_FILE_SIZE, ll_size(self->path));
	EXPECT_EQ(0, ll_ret(chmod(self->far, 0600)));
	EXPECT_EQ(0, ll_ret(rename(self->far, MNT "/g")));
	EXPECT_EQ(0, ll_ret(unlink(MNT "/g")));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT, .a = 100));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
}

/* How often the client has sent this operation. */
static int sent(const char *op)
{
	char line[512], name[64];
	FILE *f = fopen("/proc/self/mountstats", "re");
	int n, count = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " %63[A-Z0-9_]: %d", name, &n) == 2 && !strcmp(name, op))
			count += n;
	fclose(f);
	return count;
}

/* Warnings in the kernel log, from where it has been read to. */
static int warnings(int log)
{
	char text[1024];
	int count = 0;

	while (ll_kmsg_next(log, text, sizeof(text)))
		count += !!strstr(text, "WARNING: ");
	return count;
}

/* What is pinned stays dirty, and of such a file there is no pNFS layout. */
TEST_F_TIMEOUT(nfs, client_does_the_IO_of_a_pinned_file_through_the_server, 120)
{
	int log = ll_kmsg();

	ASSERT_LE(0, log);
	EXPECT_EQ(1, ll_filled(self->far, 0, LL_FILE_SIZE, 'f'));
	EXPECT_EQ(0, ll_write_fill(self->far, 0, LL_PIN_LEN, 'n'));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'n'));
	if (strstr(variant->options, "pnfs"))
		EXPECT_LT(0, sent("LAYOUTGET"));
	EXPECT_EQ(0, sent("GETDEVICEINFO"));
	EXPECT_EQ(0, warnings(log));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	close(log);
}

/* The client has it open, and the server's cache for it: no matter. */
TEST_F_TIMEOUT(nfs, local_truncate_wins_while_a_client_has_it_open, 120)
{
	int fd = ll_open(self->far, O_RDWR), ret = -1;

	ASSERT_LE(0, fd);
	EXPECT_EQ(1, ll_filled(self->far, 0, LL_FILE_SIZE, 'f'));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_LET_GO, .a = LL_SOON));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_size(self->path));
	close(fd);
}

/* Nobody is told by a client, and a client changes nothing of who was told. */
TEST_F_TIMEOUT(nfs, client_is_refused_while_a_local_break_waits, 120)
{
	int ret = -1;

	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(-EIO, ll_break(OP_TRUNCATE, self->far, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&self->b, 100, &ret));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * The mapping changes under a registration: while one thread registers memory,
 * another puts files with and without a lease, on two filesystems, anonymous and
 * huge memory, or nothing at the same addresses. What must hold each time: the
 * pins that are listed are exactly the pages of files which the device reaches,
 * and none of them is of a file without a lease.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_audit.h"
#include "layout_lease_uring.h"

/* For each way to register, on each filesystem: a minute on both. */
#define REMAP_MS	30000

#define RW		(PROT_READ | PROT_WRITE)
#define HUGE		(2 * LL_MIB)
#define AREA_LEN	(2 * HUGE)
/* Where the kernel would map nothing by itself, while it is empty. */
#define AREA		((char *)(1UL << 40))
#define FEW		(16 * LL_PAGE)
#define MANY		(3 * LL_MIB)	/* more than is pinned in one go */
#define PAGES		(LL_FILE_SIZE / LL_PAGE)

enum { LEASED, LEASED_OTHER, PLAIN, PLAIN_OTHER, FILES };
enum { ANON = FILES, HUGE_ANON, PRIVATE, READ_ONLY, NOTHING, KINDS };

struct file {
	char path[LL_PATH];
	struct ll_id id;
	int fd;
	char *view;		/* all of it, and it stays */
	bool pinned[PAGES];
};

struct remap {
	struct file file[FILES];
	struct ll_rdma r;
	struct ll_peer peer;
	struct ll_qp q;
	struct ibv_mr *mr, *stamps;
	struct ll_uring u;
	int source;		/* a file in memory with the stamps */
	char *addr, *buf;
	pthread_t swapper;
	int stop, swaps, failed;
	uint64_t stamp;
	int seen[FILES], mixed, none, refused;
};

/* A way to register memory, and to have the kernel or a device write to it. */
struct way {
	int (*reg)(struct remap *m, char *addr, size_t len);
	int (*write)(struct remap *m, size_t len);
	int (*dereg)(struct remap *m);
};

static unsigned int below(unsigned int *seed, unsigned int n)
{
	return rand_r(seed) % n;
}

static void *map_at(struct remap *m, int kind, char *addr, size_t len, int flags,
		    bool further)
{
	off_t off = addr - AREA + (further ? AREA_LEN : 0);

	switch (kind) {
	case ANON:
		return mmap(addr, len, RW, flags | MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	case HUGE_ANON:
		return mmap(addr, len, RW, flags | MAP_PRIVATE | MAP_ANONYMOUS |
			    MAP_HUGETLB, -1, 0);
	case PRIVATE:
		return mmap(addr, len, RW, flags | MAP_PRIVATE,
			    m->file[LEASED].fd, off);
	case READ_ONLY:
		return mmap(addr, len, PROT_READ, flags | MAP_SHARED,
			    m->file[LEASED].fd, off);
	default:
		return mmap(addr, len, RW, flags | MAP_SHARED, m->file[kind].fd,
			    off);
	}
}

/* Puts something else there: in one step, over a hole, or moved there. */
static void swap_once(struct remap *m, unsigned int *seed)
{
	int kind = below(seed, KINDS), part = below(seed, 3);
	char *addr = AREA + (part == 2 ? HUGE : 0), *map;
	size_t len = part ? HUGE : AREA_LEN, i;
	bool further = below(seed, 2);
	unsigned int how = below(seed, 3);

	if (kind == NOTHING || how == 1)
		munmap(addr, len);
	if (kind == NOTHING)
		return;
	if (how == 2 && kind < FILES) {
		map = mmap(NULL, len, RW, MAP_SHARED, m->file[kind].fd,
			   further ? AREA_LEN : 0);
		if (map != MAP_FAILED)
			mremap(map, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, addr);
		return;
	}
	map = map_at(m, kind, addr, len, MAP_FIXED, further);
	for (i = 0; map == addr && kind == PRIVATE && i < len; i += LL_PAGE)
		addr[i] = 1;
}

static void *swap_loop(void *arg)
{
	struct remap *m = arg;
	unsigned int seed = 1;

	while (!__atomic_load_n(&m->stop, __ATOMIC_RELAXED)) {
		swap_once(m, &seed);
		__atomic_add_fetch(&m->swaps, 1, __ATOMIC_RELAXED);
		if (below(&seed, 2))
			usleep(below(&seed, 500));
	}
	return NULL;
}

/* Which pages the kernel says are pinned; how many, or a negative errno. */
static int listed(struct remap *m)
{
	char text[4096], *line, *save;
	struct ll_row row;
	int count = 0, i;
	uint64_t page;

	for (i = 0; i < FILES; i++)
		memset(m->file[i].pinned, 0, sizeof(m->file[i].pinned));
	i = ll_read(text, sizeof(text), "/proc/self/file_pins");
	if (i < 0)
		return i;
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!ll_scan_row(line, &row))
			return -EBADMSG;
		if (!row.pin)
			continue;
		for (i = 0; i < FILES; i++)
			if (row.id.ino == m->file[i].id.ino &&
			    row.id.minor == m->file[i].id.minor &&
			    row.id.major == m->file[i].id.major)
				break;
		if (i == FILES || row.end > LL_FILE_SIZE)
			return -ESTALE;
		for (page = row.start / LL_PAGE; page < row.end / LL_PAGE; page++) {
			count += !m->file[i].pinned[page];
			m->file[i].pinned[page] = true;
		}
	}
	return count;
}

/* Each page of the registration gets a stamp: where has it gone to? */
static int compare(struct remap *m, size_t len)
{
	int reached[FILES] = {}, count = 0, kinds = 0, want, i, page;
	uint64_t stamp;
	bool hit;

	want = listed(m);
	for (i = 0; i < FILES && want >= 0; i++) {
		for (page = 0; page < PAGES; page++) {
			memcpy(&stamp, m->file[i].view + page * LL_PAGE,
			       sizeof(stamp));
			hit = stamp == m->stamp;
			reached[i] += hit;
			if (m->file[i].pinned[page] == hit)
				continue;
			ll_log("page %d of %s is %s, and is %s", page,
			       m->file[i].path, hit ? "written to" : "not reached",
			       m->file[i].pinned[page] ? "listed" : "not listed");
			return -EUCLEAN;
		}
		count += reached[i];
		kinds += reached[i] > 0;
		m->seen[i] += reached[i] > 0;
	}
	m->none += !count;
	m->mixed += kinds > 1 || (count && count < (int)(len / LL_PAGE));
	return want == count ? 0 : -EUCLEAN;
}

static int register_once(struct remap *m, const struct way *way,
			 unsigned int *seed)
{
	size_t len = below(seed, 8) ? FEW : MANY, i;
	int ret, err;

	m->addr = AREA + below(seed, (AREA_LEN - len) / LL_PAGE + 1) * LL_PAGE;
	if (len == FEW && !below(seed, 4))
		m->addr = AREA + HUGE - FEW / 2;
	ret = way->reg(m, m->addr, len);
	if (ret) {
		m->refused++;
		if (ret != -EOPNOTSUPP && ret != -EFAULT && ret != -EAGAIN)
			return ret;
	} else {
		m->stamp++;
		for (i = 0; i < len; i += LL_PAGE)
			memcpy(m->buf + i, &m->stamp, sizeof(m->stamp));
		ret = way->write(m, len) ?: compare(m, len);
		err = way->dereg(m);
		if (ret || err)
			return ret ?: err;
	}
	ret = listed(m);
	return ret > 0 ? -EBUSY : ret;
}

static int open_file(struct ll_env *env, const char *name, bool lease,
		     struct file *f)
{
	int ret = ll_file(env, name, LL_FILE_SIZE, f->path) ?:
		  ll_identify(f->path, &f->id);

	if (ret)
		return ret;
	f->fd = ll_open(f->path, O_RDWR);
	if (f->fd < 0)
		return f->fd;
	f->view = ll_map_fd(f->fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	if (!f->view)
		return -errno;
	return lease ? ll_take(f->fd, true, LL_SIG) : 0;
}

/* Over a queue pair, from a buffer of its own. */
static int rdma_open(struct remap *m)
{
	return ll_rdma_open(&m->r) ?: ll_qp_create(&m->r, &m->q) ?:
	       ll_peer_open(&m->peer, &m->r, &m->q) ?:
	       ll_reg(&m->peer.r, m->buf, MANY, &m->stamps);
}

static int rdma_reg(struct remap *m, char *addr, size_t len)
{
	return ll_reg(&m->r, addr, len, &m->mr);
}

static int rdma_write(struct remap *m, size_t len)
{
	static const int never;

	return ll_rdma_write(&m->peer.q, m->stamps, (uintptr_t)m->addr,
			     m->mr->rkey, len, &never);
}

static int rdma_dereg(struct remap *m)
{
	return ll_dereg(&m->mr);
}

static const struct way rdma = {
	.reg = rdma_reg, .write = rdma_write, .dereg = rdma_dereg,
};

static int uring_reg(struct remap *m, char *addr, size_t len)
{
	struct iovec v = { .iov_base = addr, .iov_len = len };

	return io_uring_register_buffers(&m->u.ring, &v, 1);
}

static int uring_write(struct remap *m, size_t len)
{
	int ret;

	if (pwrite(m->source, m->buf, len, 0) != (ssize_t)len)
		return -EIO;
	ret = ll_do(&m->u.ring, .op = IORING_OP_READ_FIXED, .fd = m->source,
		    .addr = m->addr, .len = len);
	return ret == (int)len ? 0 : ret < 0 ? ret : -EIO;
}

static int uring_dereg(struct remap *m)
{
	return io_uring_unregister_buffers(&m->u.ring);
}

static const struct way uring = {
	.reg = uring_reg, .write = uring_write, .dereg = uring_dereg,
};

FIXTURE(remap)
{
	struct ll_env env, env2;	/* the other filesystem */
	struct ll_audit audit, audit2;
	struct remap *m;
};

FIXTURE_VARIANT(remap)
{
	enum ll_fs fs, other;
};

FIXTURE_VARIANT_ADD(remap, ext4) {
	.fs = LL_EXT4, .other = LL_XFS,
};

FIXTURE_VARIANT_ADD(remap, xfs) {
	.fs = LL_XFS, .other = LL_EXT4,
};

FIXTURE_SETUP(remap)
{
	struct remap *m = calloc(1, sizeof(*m));

	ASSERT_NE(NULL, m);
	self->m = m;
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_setup(&self->env2, variant->other, "break"));
	ASSERT_EQ(0, ll_audit_begin(&self->audit, &self->env));
	ASSERT_EQ(0, ll_audit_begin(&self->audit2, &self->env2));
	ASSERT_LT(0, ll_audit_innocent(&self->audit));
	ASSERT_EQ(0, ll_shell("echo 8 >/proc/sys/vm/nr_hugepages"));
	m->buf = ll_anon(MANY);
	ASSERT_NE(NULL, m->buf);
	ASSERT_EQ(0, open_file(&self->env, "f", true, &m->file[LEASED]));
	ASSERT_EQ(0, open_file(&self->env2, "f", true, &m->file[LEASED_OTHER]));
	ASSERT_EQ(0, open_file(&self->env, "g", false, &m->file[PLAIN]));
	ASSERT_EQ(0, open_file(&self->env2, "g", false, &m->file[PLAIN_OTHER]));
}

static void close_files(struct remap *m)
{
	int i;

	munmap(AREA, AREA_LEN);
	for (i = 0; i < FILES; i++) {
		if (m->file[i].view)
			munmap(m->file[i].view, LL_FILE_SIZE);
		if (m->file[i].fd > 0)
			close(m->file[i].fd);
	}
}

FIXTURE_TEARDOWN(remap)
{
	close_files(self->m);
	ll_shell("echo 0 >/proc/sys/vm/nr_hugepages");
	EXPECT_EQ(0, ll_audit_end(&self->audit2));
	EXPECT_EQ(0, ll_audit_end(&self->audit));
	free(self->m);
}

static int run(struct remap *m, const struct way *way)
{
	int64_t end = ll_now_ms() + REMAP_MS;
	unsigned int seed = 2;
	int ret = 0, rounds;

	/* huge pages are there to be had, so that they are part of it */
	if (map_at(m, HUGE_ANON, AREA, AREA_LEN, MAP_FIXED_NOREPLACE, false) != AREA)
		return -errno;
	if (pthread_create(&m->swapper, NULL, swap_loop, m))
		return -EAGAIN;
	for (rounds = 0; !ret && ll_now_ms() < end; rounds++)
		ret = register_once(m, way, &seed);
	__atomic_store_n(&m->stop, 1, __ATOMIC_RELAXED);
	pthread_join(m->swapper, NULL);
	ll_log("%d swaps, %d registrations: %d refused, %d without files, %d and %d %s, %d mixed",
	       m->swaps, rounds, m->refused, m->none, m->seen[LEASED],
	       m->seen[LEASED_OTHER], "with the two leased files", m->mixed);
	return ret;
}

/* 0 if none of the kinds was left out, or always refused. */
static int all_kinds(struct remap *m)
{
	return m->seen[LEASED] && m->seen[LEASED_OTHER] && m->mixed && m->none &&
	       m->refused ? 0 : -ENODATA;
}

TEST_F_TIMEOUT(remap, rdma_reaches_what_is_listed_and_no_file_without_a_lease, 180)
{
	struct remap *m = self->m;

	ASSERT_EQ(0, rdma_open(m));
	EXPECT_EQ(0, run(m, &rdma));
	EXPECT_EQ(0, all_kinds(m));
	EXPECT_EQ(0, m->seen[PLAIN] + m->seen[PLAIN_OTHER]);
	ll_dereg(&m->stamps);
	ll_peer_close(&m->peer);
	EXPECT_EQ(0, ll_qp_destroy(&m->q));
	ll_rdma_close(&m->r);
}

TEST_F_TIMEOUT(remap, io_uring_reaches_what_is_listed_and_no_file_without_a_lease, 180)
{
	struct remap *m = self->m;

	ASSERT_EQ(0, io_uring_queue_init(LL_ENTRIES, &m->u.ring, 0));
	m->source = memfd_create("stamps", MFD_CLOEXEC);
	ASSERT_LE(0, m->source);
	EXPECT_EQ(0, run(m, &uring));
	EXPECT_EQ(0, all_kinds(m));
	EXPECT_EQ(0, m->seen[PLAIN] + m->seen[PLAIN_OTHER]);
	close(m->source);
	io_uring_queue_exit(&m->u.ring);
}

TEST_HARNESS_MAIN

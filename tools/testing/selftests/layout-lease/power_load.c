// SPDX-License-Identifier: GPL-2.0
/*
 * What a machine does while its power is cut, and the check afterwards. For
 * scripts/powerloss.sh, on one filesystem at a time:
 *
 *   power_load load NAME DIR SEED   works in DIR until it is killed
 *   power_load check NAME DIR SEQ   SEQ: the last number acknowledged, or 0
 *
 * One process writes ascending numbers into the pages of DIR/log by RDMA, in
 * turn, and says "ack NAME NUMBER" when fsync has returned. Another has a file
 * pinned which is truncated, punched and collapsed all the time, while new files
 * take what is freed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout_lease_revoke.h"

#define LOG_PAGES	64L
#define LOG_SIZE	(LOG_PAGES * LL_PAGE)
#define WORDS		(LL_PAGE / (long)sizeof(uint64_t))
#define CHURN_SIZE	(8 * LL_MIB)
#define NEW_FILES	8

static const char *name;

static int fail(const char *what, int error)
{
	printf("failed %s: %s: %s\n", name, what, strerror(-error));
	fflush(stdout);
	return 1;
}

static uint64_t *map_log(const char *dir, int *fd)
{
	char path[LL_PATH];

	snprintf(path, sizeof(path), "%s/log", dir);
	*fd = ll_open(path, O_RDWR | O_CREAT);
	if (*fd < 0 || ftruncate(*fd, LOG_SIZE))
		return NULL;
	return ll_map_fd(*fd, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

/* The number that page @page has at least, once @seq has been acknowledged. */
static uint64_t newest(uint64_t seq, uint64_t page)
{
	uint64_t back = (seq + LOG_PAGES - page) % LOG_PAGES;

	return seq > back ? seq - back : 0;
}

/*
 * Each page has its newest number, or a later one. The one that was being
 * written may have both.
 */
static int check(const char *dir, uint64_t seq)
{
	int fd, page, i, mixed = 0;
	uint64_t *log = map_log(dir, &fd), *word;

	if (!log)
		return fail("opening the log", -errno);
	for (page = 0; page < LOG_PAGES; page++) {
		word = log + page * WORDS;
		for (i = 0; i < WORDS; i++) {
			if (word[i] >= newest(seq, page) &&
			    (!word[i] || word[i] % LOG_PAGES == (uint64_t)page))
				continue;
			printf("failed %s: page %d has %llu, expected %llu or later\n",
			       name, page, (unsigned long long)word[i],
			       (unsigned long long)newest(seq, page));
			return 1;
		}
		mixed += memcmp(word, word + 1, LL_PAGE - sizeof(*word)) != 0;
	}
	if (mixed > 1)
		return fail("more than one page was being written", -EIO);
	printf("checked %s: %llu numbers acknowledged\n", name, (unsigned long long)seq);
	return 0;
}

static int write_log(const char *dir)
{
	struct ll_peer peer = {};
	struct ll_rdma r;
	struct ll_qp q;
	struct ibv_mr *mr;
	uint64_t seq = 0, *log;
	int fd, i, ret;

	log = map_log(dir, &fd);
	if (!log)
		return fail("opening the log", -errno);
	for (i = 0; i < LOG_PAGES * WORDS; i++)
		seq = log[i] > seq ? log[i] : seq;
	ret = ll_take(fd, true, SIGKILL) ?: ll_rdma_open(&r) ?: ll_qp_create(&r, &q) ?:
	      ll_peer_open(&peer, &r, &q) ?: ll_reg(&r, log, LOG_SIZE, &mr);
	if (ret)
		return fail("registering the log", ret);
	for (;;) {
		seq++;
		for (i = 0; i < WORDS; i++)
			((uint64_t *)peer.buf)[i] = seq;
		ret = ll_rdma_write(&peer.q, peer.mr,
				    (uintptr_t)(log + seq % LOG_PAGES * WORDS), mr->rkey,
				    LL_PAGE, &peer.stop) ?: ll_ret(fsync(fd));
		if (ret)
			return fail("writing the log", ret);
		printf("ack %s %llu\n", name, (unsigned long long)seq);
		fflush(stdout);
	}
}

/* A file of up to 4 MiB, in place of an older one. Durable, or not. */
static int new_file(const char *dir, int i)
{
	char path[LL_PATH];
	size_t size = (1 + random() % 4) * LL_MIB;
	int fd, ret;

	snprintf(path, sizeof(path), "%s/new%d", dir, i % NEW_FILES);
	unlink(path);
	fd = ll_open(path, O_RDWR | O_CREAT);
	if (fd < 0)
		return fd;
	ret = ll_ret(fallocate(fd, 0, 0, size)) ?:
	      ll_write_fill(path, random() % size / LL_PAGE * LL_PAGE, LL_MIB, 'n');
	if (!ret && random() % 2)
		ret = ll_ret(fsync(fd));
	close(fd);
	return ret;
}

/* Somebody takes away what the holder has pinned, who lets go of it. */
static int churn_once(struct ll_holder *h, const char *path)
{
	static const enum ll_op ops[] = { OP_TRUNCATE, OP_PUNCH, OP_COLLAPSE };
	off_t off = random() % (CHURN_SIZE / LL_MIB - 1) * LL_MIB;
	enum ll_op op = ops[random() % LL_ARRAY_SIZE(ops)];
	struct ll_breaker b;
	int ret, result;

	ret = ll_holder_reg(h, 0, 0, off, LL_MIB);
	if (!ret && random() % 2)
		ret = ll_shell("sync %s", path);
	ret = ret ?: ll_breaker_start(&b, op, path, off, LL_MIB) ?:
	      ll_hold(h, .op = H_LET_GO, .a = 3 * LL_SOON) ?:
	      ll_breaker_wait(&b, 3 * LL_SOON, &result);
	if (ret || result)
		return ret ?: result;
	if (truncate(path, CHURN_SIZE))
		return -errno;
	if (random() % 2)
		ret = ll_shell("sync %s", path);
	return ret ?: ll_write_fill(path, off, LL_MIB / 2, 'c');
}

static int churn_on(const char *dir)
{
	struct ll_holder h;
	char path[LL_PATH];
	int fd, i, ret;

	snprintf(path, sizeof(path), "%s/churn", dir);
	fd = ll_open(path, O_RDWR | O_CREAT);
	if (fd < 0 || ftruncate(fd, CHURN_SIZE))
		return fail("opening the file to be truncated", -errno);
	ret = ll_holder_start(&h) ?: ll_holder_open(&h, 0, path) ?:
	      ll_holder_lease(&h, 0, true, LL_SIG);
	for (i = 0; !ret; i++)
		ret = churn_once(&h, path) ?: new_file(dir, i);
	return fail("truncating what is pinned", ret);
}

static int load(const char *dir, unsigned int seed)
{
	pid_t pid;

	if (mkdir(dir, 0755) && errno != EEXIST)
		return fail(dir, -errno);
	pid = fork();
	if (pid < 0)
		return fail("fork", -errno);
	if (pid)
		return write_log(dir);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	srandom(seed);
	return churn_on(dir);
}

int main(int argc, char **argv)
{
	name = argc == 5 ? argv[2] : "";
	if (argc == 5 && !strcmp(argv[1], "load"))
		return load(argv[3], atoi(argv[4]));
	if (argc == 5 && !strcmp(argv[1], "check"))
		return check(argv[3], strtoull(argv[4], NULL, 10));
	fprintf(stderr, "usage: power_load load|check NAME DIR SEED|SEQ\n");
	return 1;
}

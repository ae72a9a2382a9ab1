// SPDX-License-Identifier: GPL-2.0
/*
 * The two ends of RDMA WRITEs into a leased file, for two machines. The file's
 * memory is taken while they flow, and the other end has nothing to learn of it
 * by but its completions.
 *
 *   remote_file serve HOLDER FILE     the end that has the file
 *   remote_file write                 the end that writes
 *
 * The file is held, and its memory registered, by a process that is
 *
 *   aware     told, and lets go
 *   deaf      told, and does not listen: it is killed at its deadline
 *   gone      not there any more, while another process keeps its context
 *   unasked   not one that agreed to be killed; its lease is of a "deny" mount
 *
 * Both ends talk to whoever runs them in lines:
 *
 *   serve prints  QPN RKEY ADDRESS LENGTH      write prints  QPN
 *         reads   the other's QPN                    reads   the other's line
 *         prints  ready                              prints  flows
 *         reads   a line, after the break            prints  STATUS MILLISECONDS
 *         prints  what became of the holder          reads   until end of file
 *                                                    prints  how often it has tried
 *
 * and end with 0 if all was as it should be. After the first completion with an
 * error, "write" keeps trying with the same queue pair and key.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout_lease_revoke.h"

/* An attempt to send takes 4.096 us * 2^16 = 268 ms; the first and 6 more. */
#define TIMEOUT		16
#define RETRY_CNT	6

#define LINE_LEN	128

struct end {
	struct ll_holder h;
	pid_t keeper;
};

struct kind {
	const char *name;
	bool consent, told;	/* told by LL_SIG before it is killed */
	int (*prepare)(struct end *e);
	int (*judge)(struct end *e);
	const char *fate;
};

static int fail(const char *what, int error)
{
	fprintf(stderr, "remote_file: %s: %s\n", what, strerror(error < 0 ? -error : error));
	return 1;
}

static int read_line(char *line)
{
	if (!fgets(line, LINE_LEN, stdin))
		return -ENODATA;
	return 0;
}

static int listen_to_signal(struct end *e)
{
	const struct ll_cmd let_go = { .op = H_LET_GO, .a = 60000 };

	return ll_holder_send(&e->h, &let_go);
}

static int leave_context(struct end *e)
{
	int ret = ll_adopt() ?: ll_share(&e->h, &e->keeper);

	return ret ?: ll_holder_end(&e->h);
}

static int nothing(struct end *e)
{
	(void)e;
	return 0;
}

static int has_let_go(struct end *e)
{
	struct ll_rsp rsp;
	int ret = ll_holder_recv(&e->h, LL_SOON, &rsp);

	if (ret)
		return ret;
	return rsp.code == SI_LAYOUT && ll_holder_alive(&e->h) ? 0 : -EINTR;
}

static int was_killed(struct end *e)
{
	return ll_holder_wait(&e->h, LL_SOON) == SIGKILL ? 0 : -EBUSY;
}

static int keeper_lives(struct end *e)
{
	return ll_stays(e->keeper) ? 0 : -EINTR;
}

static int lives_without_context(struct end *e)
{
	int ret = ll_holder_reg(&e->h, 0, 1, 0, LL_PAGE);

	return ret == -EIO && ll_holder_alive(&e->h) ? 0 : ret ?: -EBUSY;
}

static const struct kind kinds[] = {
	{ "aware", true, true, listen_to_signal, has_let_go,
	  "the holder has let go, and lives" },
	{ "deaf", true, true, nothing, was_killed,
	  "the holder was killed by SIGKILL" },
	{ "gone", true, false, leave_context, keeper_lives,
	  "the process that keeps the context lives" },
	{ "unasked", false, false, nothing, lives_without_context,
	  "the holder lives, and gets EIO from its context" },
};

static int hold(struct end *e, const struct kind *kind, const char *path)
{
	int tell = kind->told ? LL_SIG : kind->consent ? SIGKILL : 0;

	return ll_holder_start(&e->h) ?: ll_holder_open(&e->h, 0, path) ?:
	       ll_holder_lease(&e->h, 0, kind->consent, tell) ?:
	       ll_holder_reg(&e->h, 0, 0, 0, ll_size(path));
}

static int serve(const char *name, const char *path)
{
	char line[LINE_LEN];
	const struct kind *kind = NULL;
	struct end e = { .keeper = 0 };
	struct ll_rsp rsp;
	unsigned int i;
	int ret;

	for (i = 0; i < LL_ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			kind = &kinds[i];
	if (!kind)
		return fail(name, EINVAL);
	ret = hold(&e, kind, path) ?: ll_ask(&e.h, &rsp, .op = H_LISTEN);
	if (ret)
		return fail(path, ret);
	printf("%u %u %llu %lld\n", rsp.qpn, rsp.rkey, (unsigned long long)rsp.addr,
	       (long long)ll_size(path));
	ret = read_line(line) ?:
	      ll_hold(&e.h, .op = H_CONNECT, .a = strtoul(line, NULL, 10)) ?:
	      kind->prepare(&e);
	if (ret)
		return fail("connecting", ret);
	puts("ready");
	ret = read_line(line) ?: kind->judge(&e);
	if (ret)
		return fail(name, ret);
	puts(kind->fate);
	ll_stay_end(e.keeper);
	ll_holder_end(&e.h);
	return 0;
}

static const char *status_name(enum ibv_wc_status status)
{
	switch (status) {
	case IBV_WC_RETRY_EXC_ERR:
		return "IBV_WC_RETRY_EXC_ERR";
	case IBV_WC_REM_ACCESS_ERR:
		return "IBV_WC_REM_ACCESS_ERR";
	default:
		return ibv_wc_status_str(status);
	}
}

/* The next piece of the whole file. */
static int write_on(struct ll_peer *p)
{
	off_t off = (size_t)p->done * LL_PIN_LEN % p->span;
	int ret = ll_peer_write(p, off, LL_PIN_LEN, 'd');

	if (!ret)
		p->done++;
	return ret;
}

static bool end_of_input(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Nothing of this may ever arrive. */
static int keep_trying(struct ll_peer *p)
{
	int ret, times = 0;

	do {
		ret = ll_qp_reconnect(&p->r, &p->q, p->qpn);
		if (ret)
			return fail("resetting the queue pair", ret);
		if (write_on(p) != -EIO)
			return fail("a write was taken after the break", ENOTRECOVERABLE);
		times++;
	} while (!end_of_input());
	printf("%d\n", times);
	return 0;
}

static int start(struct ll_peer *p)
{
	unsigned long long addr, span;
	char line[LINE_LEN];
	int i, ret;

	ret = ll_peer_create(p);
	if (ret)
		return ret;
	p->q.timeout = TIMEOUT;
	p->q.retry_cnt = RETRY_CNT;
	printf("%u\n", p->q.qp->qp_num);
	ret = read_line(line);
	if (ret)
		return ret;
	if (sscanf(line, "%u %u %llu %llu", &p->qpn, &p->rkey, &addr, &span) != 4)
		return -EBADMSG;
	p->addr = addr;
	p->span = span;
	ret = ll_qp_connect(&p->r, &p->q, p->qpn);
	for (i = 0; i < 8 && !ret; i++)
		ret = write_on(p);
	/* keep_trying() would get through: it does so here */
	return ret ?: ll_qp_reconnect(&p->r, &p->q, p->qpn) ?: write_on(p);
}

static int write_file(void)
{
	struct ll_peer p = { .done = 0 };
	int64_t last = 0;
	int ret;

	ret = start(&p);
	if (ret)
		return fail("writing to the peer", ret);
	puts("flows");
	do {
		last = ll_now_ms();
		ret = write_on(&p);
	} while (!ret);
	if (ret != -EIO)
		return fail("no completion", ret);
	printf("%s %lld\n", status_name(p.q.status), (long long)(ll_now_ms() - last));
	ret = keep_trying(&p);
	ll_peer_close(&p);
	return ret;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && !strcmp(argv[1], "serve"))
		return serve(argv[2], argv[3]);
	if (argc == 2 && !strcmp(argv[1], "write"))
		return write_file();
	fprintf(stderr, "usage: remote_file serve aware|deaf|gone|unasked FILE\n"
		"       remote_file write\n");
	return 2;
}

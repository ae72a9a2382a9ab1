// SPDX-License-Identifier: GPL-2.0
/*
 * A process that holds leases and pins, and does what it is told over a pipe.
 *
 * It is forked, and dies with the test. It opens its own RDMA device, since a
 * uverbs context that somebody else has open as well keeps its pins for longer.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <grp.h>
#include <unistd.h>

#include "layout_lease_report.h"

struct state {
	struct ll_rdma rdma;
	struct ll_qp qp;
	int fd[LL_SLOTS];
	char *map[LL_SLOTS];
	size_t len[LL_SLOTS];
	struct ibv_mr *mr[LL_MRS];
};

static int rdma(struct state *s)
{
	return s->rdma.pd ? 0 : ll_rdma_open(&s->rdma);
}

static int do_open(struct state *s, const struct ll_cmd *c, struct ll_rsp *r)
{
	s->fd[c->slot] = ll_open(c->path, c->a);
	r->value = s->fd[c->slot];
	return s->fd[c->slot] < 0 ? s->fd[c->slot] : 0;
}

static int do_map(struct state *s, const struct ll_cmd *c)
{
	s->len[c->slot] = c->c;
	s->map[c->slot] = ll_map_fd(s->fd[c->slot], c->c, c->a, c->b,
				    c->mr);
	return s->map[c->slot] ? 0 : -errno;
}

static int do_unmap(struct state *s, const struct ll_cmd *c)
{
	int ret = ll_ret(munmap(s->map[c->slot], s->len[c->slot]));

	s->map[c->slot] = NULL;
	return ret;
}

static int do_reg(struct state *s, const struct ll_cmd *c)
{
	if (!s->map[c->slot])
		return -EFAULT;
	return rdma(s) ?: ll_reg(&s->rdma, s->map[c->slot] + c->a, c->b,
				 &s->mr[c->mr]);
}

static int do_close(struct state *s, const struct ll_cmd *c)
{
	int ret = ll_ret(close(s->fd[c->slot]));

	s->fd[c->slot] = -1;
	return ret;
}

static int wait_signal(int timeout_ms, struct ll_rsp *r)
{
	struct timespec ts = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000L,
	};
	siginfo_t info;
	sigset_t all;

	sigfillset(&all);
	memset(&info, 0, sizeof(info));
	if (sigtimedwait(&all, &info, &ts) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	r->signo = info.si_signo;
	r->code = info.si_code;
	r->pid = info.si_pid;
	r->uid = info.si_uid;
	r->value = info.si_value.sival_int;
	return 0;
}

static int do_let_go(struct state *s, const struct ll_cmd *c, struct ll_rsp *r)
{
	int i, ret = wait_signal(c->a, r);

	for (i = 0; i < LL_MRS && !ret; i++)
		if (s->mr[i])
			ret = ll_dereg(&s->mr[i]);
	return ret;
}

static int do_uid(struct state *s, const struct ll_cmd *c)
{
	int ret = rdma(s);

	if (ret)
		return ret;
	ret = ll_ret(setgroups(0, NULL)) ?: ll_ret(setresgid(c->a, c->a, c->a)) ?:
	      ll_ret(setresuid(c->a, c->a, c->a));
	/* a change of credentials has cleared it */
	return ret ?: ll_ret(prctl(PR_SET_PDEATHSIG, SIGKILL));
}

static int do_memlock(const struct ll_cmd *c)
{
	struct rlimit limit = { .rlim_cur = c->a, .rlim_max = c->a };

	return ll_ret(setrlimit(RLIMIT_MEMLOCK, &limit));
}

static int in_child(struct state *s, const struct ll_cmd *c)
{
	int status, ret;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		if (c->op == H_FORK_REG) {
			memset(&s->rdma, 0, sizeof(s->rdma));
			ret = do_reg(s, c);
		} else {
			ret = ll_setlease(s->fd[c->slot], F_UNLCK);
		}
		_exit(-ret);
	}
	ret = ll_wait_exit(pid, LL_SOON, &status);
	if (ret)
		return ret;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

static int stay_in_child(struct ll_rsp *r)
{
	r->pid = fork();
	if (r->pid < 0)
		return -errno;
	while (!r->pid)
		pause();
	return 0;
}

static int do_fd(struct state *s, const struct ll_cmd *c, struct ll_rsp *r)
{
	if (c->slot == LL_UVERBS)
		r->value = s->rdma.ctx ? s->rdma.ctx->cmd_fd : -1;
	else
		r->value = s->fd[c->slot];
	return r->value < 0 ? -EBADF : 0;
}

static int do_read(const struct ll_cmd *c, struct ll_rsp *r)
{
	return ll_read(r->text, sizeof(r->text), "%s", c->path);
}

static int do_setresuid(const struct ll_cmd *c)
{
	return ll_ret(setresuid(c->a, c->b, c->c)) ?:
	       ll_ret(prctl(PR_SET_PDEATHSIG, SIGKILL));
}

static int write_file(const char *path, const char *text)
{
	int fd = ll_open(path, O_WRONLY), ret;

	if (fd < 0)
		return fd;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * As in a container without root of the host: its own /proc, of the pid
 * namespace that it was started in, and a user namespace whose root is somebody
 * else outside.
 */
static int do_contain(const struct ll_cmd *c)
{
	char map[32];
	int ret;

	snprintf(map, sizeof(map), "0 %d 1", (int)c->a);
	ret = ll_ret(unshare(CLONE_NEWNS)) ?:
	      ll_ret(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) ?:
	      ll_ret(mount("proc", "/proc", "proc", 0, NULL));
	if (ret || !c->a)
		return ret;
	ret = ll_ret(setgroups(0, NULL)) ?: ll_ret(setresgid(c->a, c->a, c->a)) ?:
	      ll_ret(setresuid(c->a, c->a, c->a)) ?:
	      ll_ret(prctl(PR_SET_DUMPABLE, 1)) ?:
	      ll_ret(unshare(CLONE_NEWUSER)) ?:
	      write_file("/proc/self/uid_map", map);
	return ret ?: ll_ret(prctl(PR_SET_PDEATHSIG, SIGKILL));
}

struct thread_reg {
	struct state *s;
	const struct ll_cmd *c;
	int ret;
};

static void *reg_in_thread(void *arg)
{
	struct thread_reg *t = arg;

	t->ret = do_reg(t->s, t->c);
	return NULL;
}

static int in_thread(struct state *s, const struct ll_cmd *c)
{
	struct thread_reg t = { .s = s, .c = c };
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, reg_in_thread, &t);

	if (ret)
		return -ret;
	pthread_join(thread, NULL);
	return t.ret;
}

static int do_listen(struct state *s, const struct ll_cmd *c, struct ll_rsp *r)
{
	int ret = rdma(s) ?: ll_qp_create(&s->rdma, &s->qp);

	if (ret)
		return ret;
	r->qpn = s->qp.qp->qp_num;
	r->rkey = s->mr[c->mr]->rkey;
	r->addr = (uintptr_t)s->mr[c->mr]->addr;
	return 0;
}

static int do_call(struct state *s, const struct ll_cmd *c)
{
	int (*fn)(struct ll_inside *in, long arg) = (void *)(uintptr_t)c->a;
	struct ll_inside in = { .rdma = &s->rdma, .fd = s->fd, .map = s->map };

	return fn(&in, c->b);
}

static int execute(struct state *s, const struct ll_cmd *c, struct ll_rsp *r)
{
	switch (c->op) {
	case H_OPEN:
		return do_open(s, c, r);
	case H_SETSIG:
		return ll_ret(fcntl(s->fd[c->slot], F_SETSIG, (int)c->a));
	case H_SETOWN:
		return ll_ret(fcntl(s->fd[c->slot], F_SETOWN, (int)c->a));
	case H_SETLEASE:
		return ll_setlease(s->fd[c->slot], c->a);
	case H_GETLEASE:
		return ll_ret(fcntl(s->fd[c->slot], F_GETLEASE));
	case H_MAP:
		return do_map(s, c);
	case H_UNMAP:
		return do_unmap(s, c);
	case H_STORE:
		memset(s->map[c->slot] + c->a, c->b, 1);
		return 0;
	case H_REG:
		return do_reg(s, c);
	case H_DEREG:
		return ll_dereg(&s->mr[c->mr]);
	case H_CLOSE:
		return do_close(s, c);
	case H_SIGWAIT:
		return wait_signal(c->a, r);
	case H_LET_GO:
		return do_let_go(s, c, r);
	case H_UID:
		return do_uid(s, c);
	case H_MEMLOCK:
		return do_memlock(c);
	case H_BREAK:
		return ll_break(c->mr, c->path, c->a, c->b);
	case H_FORK_REG:
	case H_FORK_UNLCK:
		return in_child(s, c);
	case H_FORK_STAY:
		return stay_in_child(r);
	case H_THREAD_REG:
		return in_thread(s, c);
	case H_FD:
		return do_fd(s, c, r);
	case H_GETBREAK:
		return ll_ret(fcntl(s->fd[c->slot], F_GETLAYOUTBREAK, &r->info));
	case H_READ:
		return do_read(c, r);
	case H_DUMPABLE:
		return ll_ret(prctl(PR_SET_DUMPABLE, (int)c->a));
	case H_SETRESUID:
		return do_setresuid(c);
	case H_CONTAIN:
		return do_contain(c);
	case H_LISTEN:
		return do_listen(s, c, r);
	case H_CONNECT:
		return ll_qp_connect(&s->rdma, &s->qp, c->a);
	case H_CALL:
		return do_call(s, c);
	case H_EXIT:
		break;
	}
	return 0;
}

static void serve(int cmd, int rsp)
{
	struct state s = { .fd = { -1, -1, -1 } };
	struct ll_cmd c;
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigprocmask(SIG_SETMASK, &all, NULL);
	while (read(cmd, &c, sizeof(c)) == sizeof(c)) {
		struct ll_rsp r = { .ret = 0 };

		r.ret = execute(&s, &c, &r);
		r.ms = ll_now_ms();
		if (write(rsp, &r, sizeof(r)) != sizeof(r) || c.op == H_EXIT)
			break;
	}
	_exit(0);
}

int ll_holder_start(struct ll_holder *h)
{
	int cmd[2], rsp[2];

	if (pipe2(cmd, O_CLOEXEC) || pipe2(rsp, O_CLOEXEC))
		return -errno;
	h->pid = fork();
	if (h->pid < 0)
		return -errno;
	if (!h->pid) {
		close(cmd[1]);
		close(rsp[0]);
		serve(cmd[0], rsp[1]);
	}
	close(cmd[0]);
	close(rsp[1]);
	h->cmd = cmd[1];
	h->rsp = rsp[0];
	return 0;
}

int ll_holder_send(struct ll_holder *h, const struct ll_cmd *cmd)
{
	return write(h->cmd, cmd, sizeof(*cmd)) == sizeof(*cmd) ? 0 : -EPIPE;
}

/* The command's result; -EPIPE if the holder ended instead. */
int ll_holder_recv(struct ll_holder *h, int timeout_ms, struct ll_rsp *rsp)
{
	struct pollfd p = { .fd = h->rsp, .events = POLLIN };

	memset(rsp, 0, sizeof(*rsp));
	if (poll(&p, 1, timeout_ms) <= 0)
		return -ETIMEDOUT;
	if (read(h->rsp, rsp, sizeof(*rsp)) != sizeof(*rsp))
		return -EPIPE;
	return rsp->ret;
}

int ll_holder_do(struct ll_holder *h, const struct ll_cmd *cmd)
{
	struct ll_rsp rsp;

	return ll_holder_send(h, cmd) ?: ll_holder_recv(h, LL_SOON, &rsp);
}

/* The same, for those who want to know more than the result. */
int ll_holder_ask(struct ll_holder *h, const struct ll_cmd *cmd,
		  struct ll_rsp *rsp)
{
	return ll_holder_send(h, cmd) ?: ll_holder_recv(h, LL_SOON, rsp);
}

/* The descriptor that it has in this slot. */
int ll_holder_fd(struct ll_holder *h, int slot)
{
	struct ll_rsp rsp;

	return ll_ask(h, &rsp, .op = H_FD, .slot = slot) ?: rsp.value;
}

/*
 * Has it call a function of the program, which finds the memory as it was when
 * the holder was started, with what other such functions have made of it since.
 */
int ll_call(struct ll_holder *h, int (*fn)(struct ll_inside *in, long arg),
	    long arg)
{
	return ll_hold(h, .op = H_CALL, .a = (uintptr_t)fn, .b = arg);
}

/*
 * Waits for the holder to end: the signal that killed it, 0 if it exited, or
 * -ETIMEDOUT if it lives.
 */
int ll_holder_wait(struct ll_holder *h, int timeout_ms)
{
	int status, ret;

	if (h->pid <= 0)
		return -ECHILD;
	ret = ll_wait_exit(h->pid, timeout_ms, &status);
	if (ret)
		return ret;
	h->pid = 0;
	close(h->cmd);
	close(h->rsp);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool ll_holder_alive(struct ll_holder *h)
{
	return ll_holder_wait(h, 0) == -ETIMEDOUT;
}

/* Sends it home; the same results as of ll_holder_wait(). */
int ll_holder_end(struct ll_holder *h)
{
	if (h->pid <= 0)
		return -ECHILD;
	ll_hold(h, .op = H_EXIT);
	return ll_holder_wait(h, LL_SOON);
}

/* Opens and maps a whole file. */
int ll_holder_open(struct ll_holder *h, int slot, const char *path)
{
	struct ll_cmd open = { .op = H_OPEN, .slot = slot, .a = O_RDWR };
	int64_t size = ll_size(path);

	if (size < 0)
		return size;
	snprintf(open.path, sizeof(open.path), "%s", path);
	return ll_holder_do(h, &open) ?:
	       ll_hold(h, .op = H_MAP, .slot = slot, .a = PROT_READ | PROT_WRITE,
		       .b = MAP_SHARED, .c = size);
}

/* As ll_take() does. */
int ll_holder_lease(struct ll_holder *h, int slot, bool consent, int tell)
{
	int ret = 0;

	if (consent)
		ret = ll_hold(h, .op = H_SETSIG, .slot = slot, .a = SIGKILL);
	ret = ret ?: ll_hold(h, .op = H_SETLEASE, .slot = slot, .a = LL_EXCL);
	if (!ret && tell != SIGKILL)
		ret = ll_hold(h, .op = H_SETSIG, .slot = slot, .a = tell);
	return ret;
}

int ll_holder_reg(struct ll_holder *h, int slot, int mr, off_t off, size_t len)
{
	return ll_hold(h, .op = H_REG, .slot = slot, .mr = mr, .a = off, .b = len);
}

int ll_holder_dereg(struct ll_holder *h, int mr)
{
	return ll_hold(h, .op = H_DEREG, .mr = mr);
}

/* A holder with one file in slot 0 and its first LL_PIN_LEN bytes in MR 0. */
int ll_holder_pin(struct ll_holder *h, const char *path, bool consent, int tell)
{
	return ll_holder_start(h) ?: ll_holder_open(h, 0, path) ?:
	       ll_holder_lease(h, 0, consent, tell) ?:
	       ll_holder_reg(h, 0, 0, 0, LL_PIN_LEN);
}

/* Something is pending from LL_FAR on: a plain holder that ignores it. */
int ll_pend_plain(struct ll_holder *plain, struct ll_breaker *b, const char *path)
{
	return ll_sysctl("lease-break-time", 20) ?: ll_holder_start(plain) ?:
	       ll_holder_open(plain, 0, path) ?:
	       ll_hold(plain, .op = H_SETLEASE, .a = F_LAYOUT) ?:
	       ll_breaker_start(b, OP_PUNCH, path, LL_FAR, LL_MIB) ?:
	       ll_hold(plain, .op = H_SIGWAIT, .a = LL_SOON);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Rings with registered buffers in a leased file, requests on them, and
 * processes that play a part of a test.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layout_lease_uring.h"

#define REGISTER_CLONE_BUFFERS	30

/* As struct io_uring_clone_buffers, which older headers do not have. */
struct clone_buffers {
	__u32 src_fd;
	__u32 flags;
	__u32 pad[6];
};

/* Opens and maps the file, and makes a ring. */
int ll_uring_open(struct ll_uring *u, const char *path, unsigned int flags)
{
	int64_t size = ll_size(path);
	int ret;

	u->fd = ll_open(path, O_RDWR);
	if (size < 0 || u->fd < 0)
		return size < 0 ? (int)size : u->fd;
	u->map = ll_map_fd(u->fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (!u->map)
		return -errno;
	ret = io_uring_queue_init(LL_ENTRIES, &u->ring, flags);
	u->open = !ret;
	return ret;
}

/*
 * The same, with a lease whose taker has never agreed to be killed: it was
 * taken when that was not asked.
 */
int ll_uring_unwilling(struct ll_env *env, struct ll_uring *u, const char *path,
		       unsigned int flags)
{
	return ll_policy(env, "deny") ?: ll_uring_open(u, path, flags) ?:
	       ll_take(u->fd, false, 0) ?: ll_policy(env, "break");
}

void ll_uring_close(struct ll_uring *u)
{
	if (u->open)
		io_uring_queue_exit(&u->ring);
	u->open = false;
	if (u->fd > 0)
		close(u->fd);
	u->fd = -1;
}

/* A table of one buffer, a range of the file. */
int ll_uring_table(struct ll_uring *u, off_t off, size_t len)
{
	struct iovec v = { .iov_base = u->map + off, .iov_len = len };

	return io_uring_register_buffers(&u->ring, &v, 1);
}

/* One slot of the table; 0 if it has been replaced. */
int ll_uring_update(struct ll_uring *u, int slot, void *addr, size_t len)
{
	struct iovec v = { .iov_base = addr, .iov_len = len };
	__u64 tag = 0;
	int ret;

	ret = io_uring_register_buffers_update_tag(&u->ring, slot, &v, &tag, 1);
	return ret == 1 ? 0 : ret;
}

int ll_uring_clone(struct io_uring *to, struct io_uring *from)
{
	struct clone_buffers arg = { .src_fd = from->ring_fd };

	return ll_ret(syscall(__NR_io_uring_register, to->ring_fd,
			      REGISTER_CLONE_BUFFERS, &arg, 1));
}

void *ll_anon(size_t len)
{
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* A block device whose blocks are those of the file; its name, of LL_PATH. */
int ll_loop(const char *file, char *dev)
{
	char cmd[2 * LL_PATH];
	FILE *f;
	int n;

	snprintf(cmd, sizeof(cmd), "losetup -f --show %s", file);
	f = popen(cmd, "r");
	if (!f)
		return -errno;
	n = fscanf(f, "%159s", dev);
	return pclose(f) || n != 1 ? -ENODEV : 0;
}

int ll_io_submit(struct io_uring *ring, const struct ll_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int ret;

	if (!sqe)
		return -EBUSY;
	io_uring_prep_rw(io->op, sqe, io->fd, io->addr, io->len, io->off);
	sqe->buf_index = io->buf;
	sqe->flags = io->flags;
	sqe->rw_flags = io->op_flags;
	sqe->ioprio = io->ioprio;
	sqe->user_data = io->data;
	if (io->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK))
		return 0;
	ret = io_uring_submit(ring);
	return ret < 0 ? ret : 0;
}

/* What the next request to end has returned. */
int ll_io_result(struct io_uring *ring, int timeout_ms, long *data)
{
	struct __kernel_timespec ts = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000LL,
	};
	struct io_uring_cqe *cqe;
	int ret = io_uring_wait_cqe_timeout(ring, &cqe, &ts);

	if (ret)
		return ret;
	ret = cqe->res;
	if (data)
		*data = cqe->user_data;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

int ll_io_do(struct io_uring *ring, const struct ll_io *io)
{
	return ll_io_submit(ring, io) ?: ll_io_result(ring, LL_SOON, NULL);
}

/* A child of fork plays the part; what that returned. */
int ll_in_child(int (*part)(void *arg), void *arg)
{
	int status, ret;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(-part(arg));
	}
	ret = ll_wait_exit(pid, 3 * LL_SOON, &status);
	if (ret)
		return ret;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

/* The same, but it goes on, and is talked to. */
int ll_actor_start(struct ll_actor *a, void (*part)(int sock, void *arg),
		   void *arg)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s))
		return -errno;
	a->pid = fork();
	if (a->pid < 0)
		return -errno;
	if (!a->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(s[0]);
		part(s[1], arg);
		_exit(0);
	}
	close(s[1]);
	a->sock = s[0];
	return 0;
}

int ll_say_int(int sock, int value)
{
	return write(sock, &value, sizeof(value)) == sizeof(value) ? 0 : -EPIPE;
}

int ll_hear_int(int sock, int timeout_ms)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int value;

	if (poll(&p, 1, timeout_ms) <= 0)
		return -ETIMEDOUT;
	return read(sock, &value, sizeof(value)) == sizeof(value) ? value : -EPIPE;
}

void ll_actor_end(struct ll_actor *a)
{
	if (a->pid <= 0)
		return;
	ll_stay_end(a->pid);
	close(a->sock);
	a->pid = 0;
}

struct leaving {
	struct ll_uring *u;
	int slot;
	const char *path;
};

static int pin_and_go(void *arg)
{
	struct leaving *l = arg;
	int fd = ll_open(l->path, O_RDWR);

	if (fd < 0)
		return fd;
	return ll_take(fd, true, LL_SIG) ?:
	       ll_uring_update(l->u, l->slot, l->u->map, LL_PIN_LEN);
}

/*
 * Has a child of fork take a lease on the file, which is the one mapped, put its
 * first LL_PIN_LEN bytes into a slot of the ring, and exit.
 */
int ll_uring_leave(struct ll_uring *u, int slot, const char *path)
{
	struct leaving l = { .u = u, .slot = slot, .path = path };

	return ll_in_child(pin_and_go, &l);
}

/* 0 once no pin of the file is left. */
int ll_pins_gone(const char *path, int timeout_ms)
{
	int64_t end = ll_now_ms() + timeout_ms;
	int have;

	while ((have = ll_listed(path, true)) > 0 && ll_now_ms() < end)
		ll_sleep_ms(10);
	return have > 0 ? -EBUSY : have;
}

/* The breaker's result, once it has one. */
int ll_finish(struct ll_breaker *b, int timeout_ms)
{
	int result, ret = ll_breaker_wait(b, timeout_ms, &result);

	if (ret == -ETIMEDOUT)
		return ret;
	b->pid = 0;
	return ret ?: result;
}

/* Somebody else truncates the file to nothing; how long that took, or why not. */
int64_t ll_time_truncate(struct ll_breaker *b, const char *path)
{
	int64_t start = ll_now_ms();
	int ret = ll_breaker_start(b, OP_TRUNCATE, path, 0, 0) ?:
		  ll_finish(b, LL_SOON);

	return ret ?: ll_now_ms() - start;
}

/* A line of file_pins or layout_leases. */
void ll_say_uring(struct ll_said *s, const struct ll_id *id, uint64_t start,
		  uint64_t end)
{
	if (s->pid >= 0)
		ll_say(s, "pid=%d ", s->pid);
	ll_say(s, "pin %u:%u %llu 0x%llx-0x%llx io_uring %s\n", id->major,
	       id->minor, id->ino, (unsigned long long)start,
	       (unsigned long long)end, id->text);
}

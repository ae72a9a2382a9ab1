/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared parts of the layout lease tests: the environment of a test (a
 * directory on a filesystem mounted with a policy), RDMA registration, and
 * processes that hold leases and pins while the test breaks them.
 *
 * Every function returns 0 (or a count) or a negative errno, so that an
 * expectation on the return value shows the errno that was seen.
 */
#ifndef LAYOUT_LEASE_COMMON_H
#define LAYOUT_LEASE_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <infiniband/verbs.h>

#include "../kselftest.h"

#ifndef F_LAYOUT
#define F_LAYOUT	16
#endif
#ifndef F_EXCLUSIVE
#define F_EXCLUSIVE	32
#endif
#ifndef F_GETLAYOUTBREAK
#define F_GETLAYOUTBREAK	(1024 + 32)
#endif
#ifndef SI_LAYOUT
#define SI_LAYOUT	(-8)
#endif

#define LL_EXCL		(F_LAYOUT | F_EXCLUSIVE)
#define LL_KIB		1024L
#define LL_MIB		(1024L * 1024)
#define LL_PAGE		4096L
#define LL_PMD_LEN	(2 * LL_MIB)	/* the largest DAX entry */

#define LL_PATH		160
#define LL_FILE_SIZE	(8 * LL_MIB)	/* what ll_file() makes by default */
#define LL_PIN_LEN	(64 * LL_KIB)	/* what most tests pin, at offset 0 */
#define LL_FAR		(4 * LL_MIB)	/* shares no DAX entry with that pin */
#define LL_UID		1000		/* somebody who is not root */
#define LL_SIG		(SIGRTMIN + 1)	/* how aware holders want to be told */

/* Generous: an emulated machine is slow. Nothing waits that long if all is well. */
#define LL_SOON		10000

#define LL_ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

enum ll_fs { LL_EXT4, LL_XFS };

struct ll_env {
	enum ll_fs fs;
	const char *root;
	char dir[LL_PATH / 2];
};

/* 0 or more as it is, -1 as the negative errno. */
static inline int ll_ret(long ret)
{
	return ret < 0 ? -errno : (int)ret;
}

/* env: layout_lease_common.c */
void ll_log(const char *fmt, ...) __printf(1, 2);
int64_t ll_now_ms(void);
void ll_sleep_ms(int ms);
int ll_kmsg(void);
bool ll_kmsg_next(int log, char *text, size_t size);
int ll_write_text(const char *path, const char *text);
int ll_sysctl(const char *name, int value);
int ll_root(enum ll_fs fs, const char **root);
int ll_remount(const char *root, const char *options);
int ll_policy(struct ll_env *env, const char *policy);
int ll_mount_option(const char *root, const char *option);
int ll_setup(struct ll_env *env, enum ll_fs fs, const char *policy);
void ll_teardown(struct ll_env *env);
int ll_wait_exit(pid_t pid, int timeout_ms, int *status);
int ll_shell(const char *fmt, ...) __printf(1, 2);
int ll_overlay(struct ll_env *env, const char *mnt);

/* files: layout_lease_file.c */
void ll_name(struct ll_env *env, const char *name, char *path);
int ll_file(struct ll_env *env, const char *name, size_t size, char *path);
int ll_sparse(struct ll_env *env, const char *name, size_t size, char *path);
int ll_open(const char *path, int flags);
int ll_huge_file(struct ll_env *env, char *path);
int ll_huge_leased(struct ll_env *env, char *path, int shift, char **map);
int64_t ll_size(const char *path);
int64_t ll_blocks(const char *path);
int64_t ll_free_blocks(const char *root);
int ll_filled(const char *path, off_t off, size_t len, unsigned char byte);
int ll_write_fill(const char *path, off_t off, size_t len, unsigned char byte);
int64_t ll_extent_flags(const char *path, off_t off);
int ll_extents(const char *path);
int64_t ll_physical(const char *path, off_t off);
int ll_drop_reserve(const char *root);
int ll_prefill(const char *root, const char *path);
int64_t ll_reallocate(const char *path, size_t size, int64_t block, size_t len);
void *ll_map_fd(int fd, size_t len, int prot, int flags, int shift);
void *ll_map_path(const char *path, size_t len, int prot, int flags);

/* leases, without a holder process */
int ll_setlease(int fd, int arg);
int ll_take(int fd, bool consent, int tell);

/* registration: layout_lease_rdma.c */
struct ll_rdma {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	union ibv_gid gid;
	union ibv_gid peer;	/* of the other end: PEER_IP, or the same */
	int gid_index;
};

struct ll_qp {
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	uint8_t timeout;	/* these two as in struct ibv_qp_attr */
	uint8_t retry_cnt;
	uint32_t psn;		/* of the next packet */
	enum ibv_wc_status status;	/* of the last completion */
};

int ll_rdma_open(struct ll_rdma *r);
void ll_rdma_close(struct ll_rdma *r);
int ll_reg(struct ll_rdma *r, void *addr, size_t len, struct ibv_mr **mr);
int ll_reg_access(struct ll_rdma *r, void *addr, size_t len, int access,
		  struct ibv_mr **mr);
int ll_dereg(struct ibv_mr **mr);
int ll_qp_create(struct ll_rdma *r, struct ll_qp *q);
int ll_qp_connect(struct ll_rdma *r, struct ll_qp *q, uint32_t qpn);
int ll_qp_reconnect(struct ll_rdma *r, struct ll_qp *q, uint32_t qpn);
int ll_qp_destroy(struct ll_qp *q);
int ll_rdma_write(struct ll_qp *q, struct ibv_mr *src, uint64_t addr,
		  uint32_t rkey, size_t len, const int *stop);

/*
 * A holder: a forked process that does what it is told over a pipe, so that
 * tests can break what it holds and look at how it ended. It has LL_SLOTS
 * open files with a mapping each, and LL_MRS registrations. Signals are
 * blocked in it: they arrive through H_SIGWAIT.
 */
#define LL_SLOTS	3
#define LL_MRS		4
#define LL_UVERBS	(-1)	/* instead of a slot: the context of the device */

enum ll_hop {
	H_OPEN,		/* slot, a: open(2) flags, path; value: descriptor */
	H_SETSIG,	/* slot, a: signal */
	H_SETOWN,	/* slot, a: pid */
	H_SETLEASE,	/* slot, a: argument */
	H_GETLEASE,	/* slot */
	H_MAP,		/* slot, a: prot, b: flags, c: length, mr: pages that
			 * the address is off its 2 MiB alignment
			 */
	H_UNMAP,	/* slot */
	H_STORE,	/* slot, a: offset, b: byte */
	H_REG,		/* slot, mr, a: offset, b: length */
	H_DEREG,	/* mr */
	H_CLOSE,	/* slot */
	H_SIGWAIT,	/* a: milliseconds; value: the siginfo */
	H_LET_GO,	/* a: milliseconds; waits for a signal, then deregisters */
	H_UID,		/* a: becomes this user, with the RDMA device open */
	H_MEMLOCK,	/* a: RLIMIT_MEMLOCK */
	H_BREAK,	/* mr: enum ll_op, a: offset, b: length, path */
	H_FORK_REG,	/* slot, a, b: a child of fork tries to register */
	H_FORK_UNLCK,	/* slot: a child of fork gives the lease back */
	H_FORK_STAY,	/* pid: a child of fork that stays */
	H_THREAD_REG,	/* slot, mr, a, b: another thread registers */
	H_FD,		/* slot, or LL_UVERBS; value: its descriptor */
	H_GETBREAK,	/* slot; info */
	H_READ,		/* path; text: what the file reads like */
	H_DUMPABLE,	/* a: whether its memory may be looked at */
	H_SETRESUID,	/* a, b, c: real, effective, saved user */
	H_CONTAIN,	/* own /proc; a: root of a user namespace is this user,
			 * 0: remains root of the host
			 */
	H_LISTEN,	/* mr: a queue pair; value: its number, key, address */
	H_CONNECT,	/* a: the peer's queue pair */
	H_CALL,		/* by ll_call() */
	H_EXIT,
};

/* What a function finds that is called in a holder. */
struct ll_inside {
	struct ll_rdma *rdma;
	int *fd;
	char **map;
};

struct ll_cmd {
	enum ll_hop op;
	int slot;
	int mr;
	uint64_t a, b, c;
	char path[LL_PATH];
};

/*
 * As in the kernel's include/uapi/linux/layout_lease.h, but signed, as what the
 * tests expect is: ~0ULL is -1 here.
 */
struct ll_break_info {
	int reason, flags, pid, uid;
	long start, end, deadline_ns;
	int pins, reserved[5];
};

struct ll_rsp {
	int ret;
	int signo, code, pid, uid, value;
	uint32_t qpn, rkey;
	uint64_t addr;
	int64_t ms;	/* when the command ended */
	struct ll_break_info info;
	char text[2048];
};

struct ll_holder {
	pid_t pid;
	int cmd, rsp;
};

/* layout_lease_holder.c */
int ll_holder_start(struct ll_holder *h);
int ll_holder_send(struct ll_holder *h, const struct ll_cmd *cmd);
int ll_holder_recv(struct ll_holder *h, int timeout_ms, struct ll_rsp *rsp);
int ll_holder_do(struct ll_holder *h, const struct ll_cmd *cmd);
int ll_holder_ask(struct ll_holder *h, const struct ll_cmd *cmd,
		  struct ll_rsp *rsp);
int ll_holder_fd(struct ll_holder *h, int slot);
int ll_call(struct ll_holder *h, int (*fn)(struct ll_inside *in, long arg),
	    long arg);
int ll_holder_wait(struct ll_holder *h, int timeout_ms);
bool ll_holder_alive(struct ll_holder *h);
int ll_holder_end(struct ll_holder *h);
int ll_holder_open(struct ll_holder *h, int slot, const char *path);
int ll_holder_lease(struct ll_holder *h, int slot, bool consent, int tell);
int ll_holder_reg(struct ll_holder *h, int slot, int mr, off_t off, size_t len);
int ll_holder_dereg(struct ll_holder *h, int mr);
int ll_holder_pin(struct ll_holder *h, const char *path, bool consent, int tell);

#define ll_hold(h, ...) ll_holder_do(h, &(struct ll_cmd){ __VA_ARGS__ })
#define ll_ask(h, rsp, ...) \
	ll_holder_ask(h, &(struct ll_cmd){ __VA_ARGS__ }, rsp)

/* A breaker in the background, to look at things while its call waits. */
struct ll_breaker {
	pid_t pid;
	int fd;
};

enum ll_op {
	OP_TRUNCATE,		/* to offset */
	OP_FTRUNCATE,
	OP_O_TRUNC,
	OP_O_TRUNC_NONBLOCK,
	OP_PUNCH,		/* offset, length: as for the rest */
	OP_ZERO,
	OP_COLLAPSE,
	OP_INSERT,
	OP_CLONE_DST,		/* the others need a second file: path + ".2" */
	OP_CLONE_SRC,
	OP_DEDUPE_DST,
	OP_DEDUPE_SRC,
	OP_SWAPEXT,
	OP_SWAPEXT_TMP,
	OP_SWAP_BOOT,
	OP_MOVE_EXT,
	OP_SET_DAX_ATTR,
	OP_UNBIND,		/* no file: what the driver is bound to */
	OP_HWPOISON,		/* the page at offset, by madvise() */
};

/* layout_lease_ops.c */
int ll_break(enum ll_op op, const char *path, off_t off, off_t len);
int ll_breaker_start(struct ll_breaker *b, enum ll_op op, const char *path,
		     off_t off, off_t len);
int ll_breaker_wait(struct ll_breaker *b, int timeout_ms, int *ret);
void ll_breaker_interrupt(struct ll_breaker *b);
void ll_breaker_end(struct ll_breaker *b);
int ll_pend_plain(struct ll_holder *plain, struct ll_breaker *b, const char *path);

#endif /* LAYOUT_LEASE_COMMON_H */

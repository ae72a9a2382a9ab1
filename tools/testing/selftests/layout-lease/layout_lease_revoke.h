/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared parts of the tests of revocation: pins whose holder is gone, processes
 * that merely keep a context, and a peer that writes through one.
 */
#ifndef LAYOUT_LEASE_REVOKE_H
#define LAYOUT_LEASE_REVOKE_H

#include <pthread.h>

#include "layout_lease_report.h"

/* A registration that somebody else has made: what a peer needs of it. */
struct ll_left {
	uint32_t handle, rkey;
	uint64_t addr;
};

int ll_leave(struct ll_rdma *r, const char *path, off_t off, size_t len,
	     int count, struct ll_left *left);
int ll_listed_id(const struct ll_id *id, bool pins);
int ll_listed(const char *path, bool pins);
int ll_comes_to_list(const char *path, bool pins, int want);

int ll_unwilling(struct ll_env *env, struct ll_holder *h, const char *path, int tell);
int ll_adopt(void);
int ll_share(struct ll_holder *h, pid_t *pid);
bool ll_stays(pid_t pid);
void ll_stay_end(pid_t pid);

int ll_send_fd(int sock, int fd);
int ll_recv_fd(int sock);
int ll_steal_fd(pid_t pid, int fd);

/* The sending end of RDMA WRITEs, on a context of its own. */
struct ll_peer {
	struct ll_rdma r;
	struct ll_qp q;
	struct ibv_mr *mr;
	char *buf;
	uint64_t addr;
	uint32_t rkey;
	uint32_t qpn;		/* whom it is connected to, by ll_peer_connect() */
	size_t len;		/* of each write, LL_PIN_LEN if 0 */
	size_t span;		/* of what it goes over, that of one write if 0 */
	pthread_t thread;
	int stop, done;
};

int ll_peer_create(struct ll_peer *p);
int ll_peer_connect(struct ll_peer *p, struct ll_holder *h);
int ll_peer_open(struct ll_peer *p, struct ll_rdma *r, struct ll_qp *q);
int ll_peer_write(struct ll_peer *p, off_t off, size_t len, char byte);
int ll_peer_start(struct ll_peer *p);
void ll_peer_stop(struct ll_peer *p);
void ll_peer_close(struct ll_peer *p);

int ll_take_all_space(struct ll_env *env);
int ll_watch_blocks(struct ll_env *env, int64_t block);

/* Anonymous memory: who touches a page is stuck until the test resolves it. */
struct ll_stuck {
	int uffd;
	char *mem;
};

int ll_stuck_open(struct ll_stuck *s, void *at, int pages);
void ll_stuck_close(struct ll_stuck *s, int pages);
int ll_stuck_wait(struct ll_stuck *s);
int ll_stuck_resolve(struct ll_stuck *s, int page);

int ll_rdma_open_dev(struct ll_rdma *r, const char *name);
int ll_next_event(struct ibv_context *ctx, int timeout_ms);
int ll_until_idle(int (*destroy)(void *object), void *object);

#endif /* LAYOUT_LEASE_REVOKE_H */

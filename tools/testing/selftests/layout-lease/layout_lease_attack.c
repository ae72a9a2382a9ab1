// SPDX-License-Identifier: GPL-2.0
/*
 * The scene of an attack.
 *
 *   attacker:  lease, pin ---- passes things on, hides ---- killed
 *   keeper:                    is given them ------------------------ lives
 *   peer:         writes ------------------------ until it is refused
 *   breaker:                         truncate ---- waits --- done
 *   audit:     begins                                            ends
 */
#include <unistd.h>

#include "layout_lease_attack.h"

/*
 * A file to attack. The innocents are there before it, so that they have
 * nothing of it.
 */
int ll_attack_setup(struct ll_attack *a, enum ll_fs fs)
{
	int ret = ll_setup(&a->env, fs, "break") ?:
		  ll_sysctl("lease-break-time", LL_BREAK_TIME) ?:
		  ll_audit_begin(&a->audit, &a->env);

	if (ret)
		return ret;
	a->innocent = ll_audit_innocent(&a->audit);
	if (a->innocent < 0)
		return a->innocent;
	ret = ll_holder_start(&a->keeper) ?:
	      ll_audit_watch(&a->audit, a->keeper.pid) ?:
	      ll_file(&a->env, "f", LL_FILE_SIZE, a->path);
	if (ret)
		return ret;
	a->block = ll_physical(a->path, 0);
	return a->block < 0 ? a->block : 0;
}

/* The innocents have what they were given until the audit is over. */
int ll_attack_end(struct ll_attack *a)
{
	int ret;

	if (a->b.pid > 0)
		ll_breaker_end(&a->b);
	if (a->h.pid > 0) {
		kill(a->h.pid, SIGKILL);
		ll_holder_wait(&a->h, LL_SOON);
	}
	ll_peer_close(&a->peer);
	ret = ll_audit_end(&a->audit);
	if (a->keeper.pid > 0)
		ll_holder_end(&a->keeper);
	return ret;
}

/* A peer begins to write into what the attacker has registered first. */
int ll_attack_traffic(struct ll_attack *a)
{
	struct ll_rsp rsp;
	int ret = ll_ask(&a->h, &rsp, .op = H_LISTEN, .mr = 0) ?:
		  ll_peer_create(&a->peer) ?:
		  ll_qp_connect(&a->peer.r, &a->peer.q, rsp.qpn) ?:
		  ll_hold(&a->h, .op = H_CONNECT, .a = a->peer.q.qp->qp_num);

	if (ret)
		return ret;
	a->peer.addr = rsp.addr;
	a->peer.rkey = rsp.rkey;
	return ll_peer_start(&a->peer);
}

/* How long a truncate to nothing takes, with its caller waiting, or why not. */
int64_t ll_attack_truncate(struct ll_attack *a)
{
	int64_t start = ll_now_ms();
	int ret = ll_breaker_start(&a->b, OP_TRUNCATE, a->path, 0, 0), result;

	if (ret)
		return ret;
	ret = ll_breaker_wait(&a->b, LL_BOUND, &result);
	if (ret == -ETIMEDOUT) {
		ll_log("the truncate has not ended");
		ll_shell("sed 's/^/# /' /proc/layout_breaks /proc/layout_leases >&2");
		return ret;
	}
	a->b.pid = 0;
	ret = ret ?: result;
	if (!ret && ll_size(a->path))
		ret = -EFBIG;
	return ret ?: ll_now_ms() - start;
}

/* The freed blocks are given to another file, and the peer does not reach it. */
int ll_attack_watch(struct ll_attack *a)
{
	return ll_watch_blocks(&a->env, a->block);
}

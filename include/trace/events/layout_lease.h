/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Layout leases: every grant and release, every pin, and every decision about a
 * break.  Not ABI.
 *
 * Ranges are bytes, the end exclusive, 0xffffffffffffffff for "to the end".
 * Processes are thread groups, numbered as in the initial pid namespace; users
 * likewise.  "left" is in milliseconds, -1 for no deadline; "waited" in
 * nanoseconds.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM layout_lease

#if !defined(_TRACE_LAYOUT_LEASE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_LAYOUT_LEASE_H

#include <linux/kdev_t.h>
#include <linux/tracepoint.h>
#include <linux/layout_lease.h>

struct layout_pin;

/* 0: the filesystem met a pin on a path of its own. */
#define show_layout_reason(reason)					\
	__print_symbolic(reason,					\
		{ 0,				"unknown" },		\
		{ LAYOUT_BREAK_TRUNCATE,	"truncate" },		\
		{ LAYOUT_BREAK_PUNCH_HOLE,	"punch_hole" },		\
		{ LAYOUT_BREAK_ZERO_RANGE,	"zero_range" },		\
		{ LAYOUT_BREAK_COLLAPSE_RANGE,	"collapse_range" },	\
		{ LAYOUT_BREAK_INSERT_RANGE,	"insert_range" },	\
		{ LAYOUT_BREAK_CLONE,		"clone" },		\
		{ LAYOUT_BREAK_DEDUPE,		"dedupe" },		\
		{ LAYOUT_BREAK_EXCHANGE,	"exchange" },		\
		{ LAYOUT_BREAK_ATTR,		"attr" },		\
		{ LAYOUT_BREAK_DEVICE,		"device" })

DECLARE_EVENT_CLASS(layout_lease,
		    TP_PROTO(const struct layout_lease *lease),
		    TP_ARGS(lease),
		    TP_STRUCT__entry(__field(dev_t, dev)
				     __field(u64, ino)
				     __field(u64, pins)
				     __field(pid_t, holder)
				     __field(int, fd)
				     __field(bool, exclusive)),
		    TP_fast_assign(__entry->dev = lease->ll_context->lc_inode->i_sb->s_dev;
				   __entry->ino = lease->ll_context->lc_inode->i_ino;
				   __entry->pins = lease->ll_nr_pins;
				   __entry->holder = pid_nr(lease->ll_holder);
				   __entry->fd = lease->ll_fd;
				   __entry->exclusive = lease->ll_exclusive;),
		    TP_printk("dev=%u:%u ino=%llu lease=%s holder=%d fd=%d pins=%llu",
			      MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
			      __entry->exclusive ? "exclusive" : "layout",
			      __entry->holder, __entry->fd, __entry->pins)
);

/* Granted, or changed from plain to exclusive or back. */
DEFINE_EVENT(layout_lease, lease_grant,
	     TP_PROTO(const struct layout_lease *lease),
	     TP_ARGS(lease)
);

DEFINE_EVENT(layout_lease, lease_release,
	     TP_PROTO(const struct layout_lease *lease),
	     TP_ARGS(lease)
);

DECLARE_EVENT_CLASS(layout_pin,
		    TP_PROTO(const struct layout_pin *pin, pgoff_t first,
			     pgoff_t last),
		    TP_ARGS(pin, first, last),
		    TP_STRUCT__entry(__field(dev_t, dev)
				     __field(u64, ino)
				     __field(u64, start)
				     __field(u64, end)
				     __field(pid_t, holder)
				     __string(owner, pin->lp_owner->lo_name)),
		    TP_fast_assign(struct layout_lease *lease = pin->lp_lease;

				   __entry->dev = lease->ll_context->lc_inode->i_sb->s_dev;
				   __entry->ino = lease->ll_context->lc_inode->i_ino;
				   __entry->start = layout_range_start(first);
				   __entry->end = layout_range_end(last);
				   __entry->holder = pid_nr(lease->ll_holder);
				   __assign_str(owner);),
		    TP_printk("dev=%u:%u ino=%llu range=0x%llx-0x%llx holder=%d owner=%s",
			      MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
			      __entry->start, __entry->end, __entry->holder,
			      __get_str(owner))
);

/* A long registration adds to its pin step by step. */
DEFINE_EVENT(layout_pin, pin_add,
	     TP_PROTO(const struct layout_pin *pin, pgoff_t first, pgoff_t last),
	     TP_ARGS(pin, first, last)
);

DEFINE_EVENT(layout_pin, pin_del,
	     TP_PROTO(const struct layout_pin *pin, pgoff_t first, pgoff_t last),
	     TP_ARGS(pin, first, last)
);

TRACE_EVENT(break_begin,
	    TP_PROTO(const struct layout_break *brk),
	    TP_ARGS(brk),
	    TP_STRUCT__entry(__field(dev_t, dev)
			     __field(u64, ino)
			     __field(u64, start)
			     __field(u64, end)
			     __field(u32, reason)
			     __field(pid_t, breaker)
			     __field(uid_t, uid)),
	    TP_fast_assign(__entry->dev = brk->lb_context->lc_inode->i_sb->s_dev;
			   __entry->ino = brk->lb_context->lc_inode->i_ino;
			   __entry->start = layout_range_start(brk->lb_first);
			   __entry->end = layout_range_end(brk->lb_last);
			   __entry->reason = brk->lb_reason;
			   __entry->breaker = pid_nr(brk->lb_breaker);
			   __entry->uid = from_kuid_munged(&init_user_ns, brk->lb_uid);),
	    TP_printk("dev=%u:%u ino=%llu reason=%s range=0x%llx-0x%llx breaker=%d uid=%u",
		      MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		      show_layout_reason(__entry->reason), __entry->start,
		      __entry->end, __entry->breaker, __entry->uid)
);

/* signal 0: the holder has asked for none. */
TRACE_EVENT(break_notify,
	    TP_PROTO(const struct layout_break *brk,
		     const struct layout_lease *lease, int signum,
		     s64 left_ms),
	    TP_ARGS(brk, lease, signum, left_ms),
	    TP_STRUCT__entry(__field(dev_t, dev)
			     __field(u64, ino)
			     __field(u64, start)
			     __field(u64, end)
			     __field(u32, reason)
			     __field(pid_t, breaker)
			     __field(uid_t, uid)
			     __field(pid_t, holder)
			     __field(int, signal)
			     __field(s64, left)),
	    TP_fast_assign(__entry->dev = brk->lb_context->lc_inode->i_sb->s_dev;
			   __entry->ino = brk->lb_context->lc_inode->i_ino;
			   __entry->start = layout_range_start(brk->lb_first);
			   __entry->end = layout_range_end(brk->lb_last);
			   __entry->reason = brk->lb_reason;
			   __entry->breaker = pid_nr(brk->lb_breaker);
			   __entry->uid = from_kuid_munged(&init_user_ns, brk->lb_uid);
			   __entry->holder = pid_nr(lease->ll_holder);
			   __entry->signal = signum;
			   __entry->left = left_ms;),
	    TP_printk("dev=%u:%u ino=%llu reason=%s range=0x%llx-0x%llx breaker=%d uid=%u holder=%d signal=%d left=%lld",
		      MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		      show_layout_reason(__entry->reason), __entry->start,
		      __entry->end, __entry->breaker, __entry->uid,
		      __entry->holder, __entry->signal, __entry->left)
);

/* -ESRCH: the holder is gone; -EPERM: it is not what agreed any more. */
TRACE_EVENT(break_kill,
	    TP_PROTO(const struct layout_break *brk,
		     const struct layout_lease *lease, int error),
	    TP_ARGS(brk, lease, error),
	    TP_STRUCT__entry(__field(dev_t, dev)
			     __field(u64, ino)
			     __field(u64, start)
			     __field(u64, end)
			     __field(u32, reason)
			     __field(pid_t, breaker)
			     __field(uid_t, uid)
			     __field(pid_t, holder)
			     __field(int, error)),
	    TP_fast_assign(__entry->dev = brk->lb_context->lc_inode->i_sb->s_dev;
			   __entry->ino = brk->lb_context->lc_inode->i_ino;
			   __entry->start = layout_range_start(brk->lb_first);
			   __entry->end = layout_range_end(brk->lb_last);
			   __entry->reason = brk->lb_reason;
			   __entry->breaker = pid_nr(brk->lb_breaker);
			   __entry->uid = from_kuid_munged(&init_user_ns, brk->lb_uid);
			   __entry->holder = pid_nr(lease->ll_holder);
			   __entry->error = error;),
	    TP_printk("dev=%u:%u ino=%llu reason=%s range=0x%llx-0x%llx breaker=%d uid=%u holder=%d error=%d",
		      MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		      show_layout_reason(__entry->reason), __entry->start,
		      __entry->end, __entry->breaker, __entry->uid,
		      __entry->holder, __entry->error)
);

/* The owner file has been asked to drop its pins. */
TRACE_EVENT(break_revoke,
	    TP_PROTO(const struct layout_break *brk,
		     const struct layout_lease *lease,
		     const struct layout_owner *owner),
	    TP_ARGS(brk, lease, owner),
	    TP_STRUCT__entry(__field(dev_t, dev)
			     __field(u64, ino)
			     __field(u64, start)
			     __field(u64, end)
			     __field(u32, reason)
			     __field(pid_t, breaker)
			     __field(uid_t, uid)
			     __field(pid_t, holder)
			     __string(owner, owner->lo_name)),
	    TP_fast_assign(__entry->dev = brk->lb_context->lc_inode->i_sb->s_dev;
			   __entry->ino = brk->lb_context->lc_inode->i_ino;
			   __entry->start = layout_range_start(brk->lb_first);
			   __entry->end = layout_range_end(brk->lb_last);
			   __entry->reason = brk->lb_reason;
			   __entry->breaker = pid_nr(brk->lb_breaker);
			   __entry->uid = from_kuid_munged(&init_user_ns, brk->lb_uid);
			   __entry->holder = pid_nr(lease->ll_holder);
			   __assign_str(owner);),
	    TP_printk("dev=%u:%u ino=%llu reason=%s range=0x%llx-0x%llx breaker=%d uid=%u holder=%d owner=%s",
		      MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		      show_layout_reason(__entry->reason), __entry->start,
		      __entry->end, __entry->breaker, __entry->uid,
		      __entry->holder, __get_str(owner))
);

/* The operation is refused because of a pin or a plain lease. */
TRACE_EVENT(break_deny,
	    TP_PROTO(const struct layout_break *brk, int error),
	    TP_ARGS(brk, error),
	    TP_STRUCT__entry(__field(dev_t, dev)
			     __field(u64, ino)
			     __field(u64, start)
			     __field(u64, end)
			     __field(u32, reason)
			     __field(pid_t, breaker)
			     __field(uid_t, uid)
			     __field(int, error)),
	    TP_fast_assign(__entry->dev = brk->lb_context->lc_inode->i_sb->s_dev;
			   __entry->ino = brk->lb_context->lc_inode->i_ino;
			   __entry->start = layout_range_start(brk->lb_first);
			   __entry->end = layout_range_end(brk->lb_last);
			   __entry->reason = brk->lb_reason;
			   __entry->breaker = pid_nr(brk->lb_breaker);
			   __entry->uid = from_kuid_munged(&init_user_ns, brk->lb_uid);
			   __entry->error = error;),
	    TP_printk("dev=%u:%u ino=%llu reason=%s range=0x%llx-0x%llx breaker=%d uid=%u error=%d",
		      MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		      show_layout_reason(__entry->reason), __entry->start,
		      __entry->end, __entry->breaker, __entry->uid,
		      __entry->error)
);

/* The bracket is closed after the operation, or the breaker has given up. */
TRACE_EVENT(break_end,
	    TP_PROTO(const struct layout_break *brk, int error),
	    TP_ARGS(brk, error),
	    TP_STRUCT__entry(__field(dev_t, dev)
			     __field(u64, ino)
			     __field(u64, start)
			     __field(u64, end)
			     __field(u32, reason)
			     __field(pid_t, breaker)
			     __field(uid_t, uid)
			     __field(u64, waited)
			     __field(int, error)),
	    TP_fast_assign(__entry->dev = brk->lb_context->lc_inode->i_sb->s_dev;
			   __entry->ino = brk->lb_context->lc_inode->i_ino;
			   __entry->start = layout_range_start(brk->lb_first);
			   __entry->end = layout_range_end(brk->lb_last);
			   __entry->reason = brk->lb_reason;
			   __entry->breaker = pid_nr(brk->lb_breaker);
			   __entry->uid = from_kuid_munged(&init_user_ns, brk->lb_uid);
			   __entry->waited = brk->lb_waited;
			   __entry->error = error;),
	    TP_printk("dev=%u:%u ino=%llu reason=%s range=0x%llx-0x%llx breaker=%d uid=%u waited=%llu error=%d",
		      MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		      show_layout_reason(__entry->reason), __entry->start,
		      __entry->end, __entry->breaker, __entry->uid,
		      __entry->waited, __entry->error)
);

#endif /* _TRACE_LAYOUT_LEASE_H */

/* This part must be outside protection */
#include <trace/define_trace.h>

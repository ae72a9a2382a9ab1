/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Layout leases: why the layout of a file is about to change.
 *
 * A layout lease is taken with fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE).
 * See Documentation/userspace-api/layout-lease.rst.
 */
#ifndef _UAPI_LINUX_LAYOUT_LEASE_H
#define _UAPI_LINUX_LAYOUT_LEASE_H

#include <linux/types.h>

/*
 * The operation that breaks a layout.  Collapse and insert reach from their
 * offset to the end of the file; exchange and attr cover the whole file.
 */
#define LAYOUT_BREAK_TRUNCATE		1
#define LAYOUT_BREAK_PUNCH_HOLE		2
#define LAYOUT_BREAK_ZERO_RANGE		3
#define LAYOUT_BREAK_COLLAPSE_RANGE	4
#define LAYOUT_BREAK_INSERT_RANGE	5
/* 6 is reserved */
#define LAYOUT_BREAK_CLONE		7
#define LAYOUT_BREAK_DEDUPE		8
#define LAYOUT_BREAK_EXCHANGE		9
#define LAYOUT_BREAK_ATTR		10
#define LAYOUT_BREAK_DEVICE		11

/**
 * struct layout_break_info - the oldest break pending on a layout lease
 * @reason:      LAYOUT_BREAK_*
 * @flags:       0 for now
 * @pid:         thread group of the breaker in the caller's pid namespace,
 *               0 if it is not visible there
 * @uid:         uid of the breaker in the caller's user namespace
 * @start:       first byte of the range, page aligned
 * @end:         one past the last byte, ~0ULL for "to the end, however large"
 * @deadline_ns: CLOCK_MONOTONIC time of escalation in nanoseconds, 0 for none
 * @pins:        pins of the caller that still stand in the range
 * @__reserved:  0
 *
 * Filled in by fcntl(fd, F_GETLAYOUTBREAK, &info).
 */
struct layout_break_info {
	__u32 reason;
	__u32 flags;
	__s32 pid;
	__u32 uid;
	__u64 start;
	__u64 end;
	__u64 deadline_ns;
	__u32 pins;
	__u32 __reserved[5];
};

#endif /* _UAPI_LINUX_LAYOUT_LEASE_H */

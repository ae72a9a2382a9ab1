// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease explain: what a refusal means, and what to do about it.
 *
 * The table is the one place for it: "run" takes its advice from here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "layout-lease.h"

static const struct {
	const char *name;
	int error;
} names[] = {
	/* in the order in which they are listed; of two for a number the first */
	{ "EINVAL", EINVAL },
	{ "EACCES", EACCES },
	{ "EBADF", EBADF },
	{ "EOPNOTSUPP", EOPNOTSUPP },
	{ "EBUSY", EBUSY },
	{ "EPERM", EPERM },
	{ "EAGAIN", EAGAIN },
	{ "ENODATA", ENODATA },
	{ "EFAULT", EFAULT },
	{ "ENOMEM", ENOMEM },
	{ "EINTR", EINTR },
	{ "ETXTBSY", ETXTBSY },
	{ "EDEADLK", EDEADLK },
	{ "EIO", EIO },
	{ "ECANCELED", ECANCELED },
	{ "ESRCH", ESRCH },
	{ "ENOENT", ENOENT },
	{ "EWOULDBLOCK", EWOULDBLOCK },
	{ "ENOTSUP", ENOTSUP },
	{ "EDEADLOCK", EDEADLOCK },
};

static const char in_setlease[] = "fcntl(F_SETLEASE), layout-lease run";
static const char in_unlock[] = "fcntl(F_SETLEASE, F_UNLCK)";
static const char in_getbreak[] = "fcntl(F_GETLAYOUTBREAK)";
static const char in_register[] = "ibv_reg_mr, io_uring_register";
static const char in_request[] =
	"a request of an io_uring with a registered buffer (READ_FIXED, WRITE_FIXED)";
static const char in_keeping[] =
	"io_uring: zero-copy send, driver commands, and cloning, of a registered buffer";
static const char in_change[] = "truncate, ftruncate, open with O_TRUNC, fallocate";
static const char in_revoke[] = "/proc/layout_revoke, layout-lease revoke";
static const char in_remap[] =
	"clone, dedupe, exchange of extents, defragmentation, attributes";

/*
 * One case each. "why" is the advice of run where the place is in_setlease: the
 * most likely case of an error comes first.
 */
static const struct refusal {
	int error;
	const char *where;
	const char *why;
	const char *what_to_do;
} refusals[] = {
	{
		EINVAL, "mount, remount",
		"ext4 with data=journal or xfs with always_cow; or a kernel without the option",
		"mount without layout_lease, or without the other option",
	}, {
		EINVAL, in_setlease,
		"no regular file, fs.leases-enable is 0, or a kernel without layout leases",
		"name a regular file; sysctl fs.leases-enable=1; boot a kernel with CONFIG_LAYOUT_LEASE",
	}, {
		EINVAL, in_setlease,
		"F_EXCLUSIVE without F_LAYOUT, or other bits beside them",
		"pass F_LAYOUT | F_EXCLUSIVE (48), or F_LAYOUT alone (16)",
	}, {
		EINVAL, in_getbreak,
		"this open file carries no layout lease, or the kernel has none",
		"use the descriptor that the lease was taken with",
	}, {
		EACCES, in_setlease,
		"only its owner, or a process with CAP_LEASE, may take a lease",
		"run as the owner of the file",
	}, {
		EACCES, "/proc/PID/file_pins, /proc/layout_leases, /proc/layout_breaks",
		"only root sees all; a process's own list its user sees as well",
		"be root, or look at a process of your own: layout-lease pins --pid PID",
	}, {
		EBADF, in_setlease,
		"an exclusive lease wants the file open for writing",
		"open it O_RDWR",
	}, {
		EOPNOTSUPP, in_setlease,
		"wants ext4 or xfs with layout_lease=break or deny, and a DAX file",
		"look in /proc/mounts for dax=always and layout_lease=; mount -o remount,layout_lease=break",
	}, {
		EOPNOTSUPP, in_register,
		"this very process has no exclusive lease on the file, or had one whose pins were revoked; or the filesystem is mounted layout_lease=off; or a private mapping; or a subsystem or driver that does not take part",
		"take the lease in the process that registers (layout-lease run, for a program that does not); map MAP_SHARED",
	}, {
		EOPNOTSUPP, "ibv_rereg_mr",
		"the memory of a registration on a leased file cannot be exchanged",
		"deregister it and register anew",
	}, {
		EOPNOTSUPP, in_keeping,
		"a buffer lies in a leased file: a peer, a driver or another ring could keep it for as long as it likes. Also one that was revoked, until its slot is updated",
		"use another buffer, or none; update the slot before the table is cloned",
	}, {
		EBUSY, in_setlease,
		"this open file carries a lease already",
		"open the file again, and use that descriptor",
	}, {
		EBUSY, in_setlease,
		"F_LAYOUT in place of an exclusive lease under which something is pinned",
		"deregister first",
	}, {
		EBUSY, in_unlock,
		"something is pinned under the lease",
		"deregister first; layout-lease pins --pid PID shows what is pinned. After a ring was closed: try again after a pause",
	}, {
		EBUSY, "remount with layout_lease=off, umount",
		"pins stand",
		"end the applications first; layout-lease pins shows them",
	}, {
		EPERM, in_setlease,
		"mounted layout_lease=break, and the opt-in to SIGKILL was not accepted",
		"fcntl(fd, F_SETSIG, SIGKILL) first, if you agree that the process may be killed",
	}, {
		EPERM, "ibv_reg_mr",
		"RLIMIT_MEMLOCK is 0",
		"raise it: ulimit -l",
	}, {
		EPERM, in_revoke,
		"it needs CAP_SYS_ADMIN of the initial user namespace",
		"be root, outside of containers that have users of their own",
	}, {
		EINVAL, in_revoke,
		"it takes 'pid NUMBER' or 'file MAJOR:MINOR INODE', in one write",
		"let the command do it: layout-lease revoke",
	}, {
		EAGAIN, in_setlease,
		"somebody is changing its layout now: try again when that is done",
		"layout-lease breaks shows who; one that was given up counts for a while",
	}, {
		EAGAIN, in_setlease,
		"pins of this lease have been revoked, and the last of them is not gone yet",
		"the lease goes with it: try again after a pause",
	}, {
		EAGAIN, in_unlock,
		"there is no lease",
		"nothing: it is gone, or was never taken with this open file",
	}, {
		EAGAIN, in_register,
		"a break is pending on the range, or within the same 2 MiB of the file",
		"try again after a pause; layout-lease breaks shows what is pending",
	}, {
		EAGAIN, "open with O_TRUNC and O_NONBLOCK (EWOULDBLOCK)",
		"the file is pinned; the holder has been told",
		"open it again later",
	}, {
		ENODATA, in_getbreak,
		"no break of this lease is pending",
		"nothing: whatever the signal was about is over",
	}, {
		EFAULT, in_register,
		"the mapping is read-only; or no space or quota; or beyond the end of the file",
		"map it PROT_READ | PROT_WRITE; look at free space and the size of the file",
	}, {
		EFAULT, in_request,
		"the kernel has revoked the buffer: the holder of a lease did not let go in time, or has gone while another process had the ring open; or the administrator has told it to. Or the slot is empty, or the address outside of it",
		"take the lease again, update the slot; the ring can stay. dmesg has a line 'layout_lease: revoked io_uring'",
	}, {
		EFAULT, in_getbreak,
		"the structure cannot be written to",
		"pass the address of a struct layout_break_info",
	}, {
		ENOMEM, in_register,
		"over RLIMIT_MEMLOCK, which ibv_reg_mr tests first and io_uring_register last, or no kernel memory",
		"raise it (ulimit -l), or register less; a buffer of an io_uring that was revoked counts until its slot is updated",
	}, {
		ENOMEM, in_setlease,
		"no kernel memory",
		"try again",
	}, {
		ENOMEM, in_change,
		"no kernel memory",
		"try again; nothing has changed",
	}, {
		EINTR, in_change,
		"a signal came while the call waited for a holder; nothing has changed",
		"call again; the break stays pending for some seconds and refuses new pins",
	}, {
		EINTR, in_register,
		"the process is being killed",
		"nothing",
	}, {
		EINTR, in_request,
		"the buffer was revoked while a worker slept in the I/O with it",
		"as for EFAULT: layout-lease explain EFAULT",
	}, {
		ECANCELED, in_request,
		"the buffer was revoked while the request waited for its file to become ready; or somebody has cancelled it, or one that it was linked to has failed",
		"if it was revoked, as for EFAULT: layout-lease explain EFAULT",
	}, {
		ETXTBSY, in_change,
		"pinned by another process, and mounted layout_lease=deny; or through overlayfs, loop, nfsd and the like, which never wait",
		"layout-lease pins --file FILE shows whom to ask; or do it on the filesystem itself. Without a pin: the file is a program that runs",
	}, {
		ETXTBSY, in_remap,
		"pinned by another process; these never win (dedupe says so in status)",
		"layout-lease pins --file FILE shows whom to ask",
	}, {
		EDEADLK, in_change,
		"the process that calls has pinned the range itself",
		"deregister first",
	}, {
		EDEADLK, in_remap,
		"the process that calls has pinned the range itself",
		"deregister first",
	}, {
		EIO, "ibv_* on an open verbs device, and reading its completion channels",
		"the kernel has revoked this context: the holder of a lease did not let go in time, or has gone while another process had the device open; or the administrator has told it to",
		"destroy what is left or close the device; open it again, take the lease again, register again. dmesg has a line 'layout_lease: revoked'",
	}, {
		EIO, "io_uring_register",
		"the buffers of this ring were revoked in the middle of the registration",
		"take the lease again, and register again",
	}, {
		ESRCH, "/proc/PID/file_pins",
		"the process is gone",
		"layout-lease pins, as root, lists pins that have outlived it",
	}, {
		ESRCH, in_revoke,
		"there is no such process",
		"name the file whose pins have outlived it: layout-lease revoke --file FILE",
	}, {
		ENOENT, in_revoke,
		"there is no pin of this process, or on this file",
		"layout-lease pins shows what there is",
	},
};

const char *errno_name(int error)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].error == error)
			return names[i].name;
	return NULL;
}

/* What to do about an errno of F_SETLEASE; NULL if it should not happen. */
const char *lease_advice(int error)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		if (refusals[i].error == error && refusals[i].where == in_setlease)
			return refusals[i].why;
	return NULL;
}

/* By name, in any case, or number, also negative as in traces; 0 if unknown. */
static int find_error(const char *s)
{
	unsigned long number;
	char *end;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcasecmp(s, names[i].name))
			return names[i].error;
	s += *s == '-';
	if (*s < '0' || *s > '9')
		return 0;
	number = strtoul(s, &end, 10);
	for (i = 0; !*end && i < ARRAY_SIZE(names); i++)
		if (number == (unsigned long)names[i].error)
			return names[i].error;
	return 0;
}

static void list_known(FILE *f)
{
	const char *name;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		name = errno_name(names[i].error);
		fprintf(f, "%-11s %4d  ", names[i].name, names[i].error);
		if (name == names[i].name)
			fprintf(f, "%s\n", strerror(names[i].error));
		else
			fprintf(f, "the same as %s\n", name);
	}
}

/* At most 79 columns, the lines that follow below the first. */
static void put_wrapped(const char *title, const char *s)
{
	size_t len, indent = strlen(title), column = indent;

	fputs(title, stdout);
	for (; *s; s += len + (s[len] == ' ')) {
		len = strcspn(s, " ");
		if (column > indent && column + 1 + len > 79) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		}
		column += printf("%s%.*s", column > indent ? " " : "", (int)len, s);
	}
	putchar('\n');
}

static void explain(int error)
{
	size_t i;

	printf("%s (%d): %s\n", errno_name(error), error, strerror(error));
	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		if (refusals[i].error != error)
			continue;
		printf("\n%s\n", refusals[i].where);
		put_wrapped("  why: ", refusals[i].why);
		put_wrapped("  do:  ", refusals[i].what_to_do);
	}
}

static int run(const struct verb *verb, int argc, char **argv)
{
	int error;

	if (argc == 1) {
		list_known(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_verb_help(verb);
		return 0;
	}
	if (argc != 2) {
		complain("explain: one at a time");
		return usage_error(verb);
	}
	error = find_error(argv[1]);
	if (!error) {
		complain("layout leases have no errno '%s'; they have", argv[1]);
		list_known(stderr);
		return STATUS_FAILED;
	}
	explain(error);
	return 0;
}

const struct verb verb_explain = {
	.name = "explain",
	.usage = "explain [ERRNO]",
	.summary = "say what an error means with layout leases, and what to do",
	.help =
	"Explains an error by its name or number, for each call that can fail with it.\n"
	"Without ERRNO: lists all that it knows.\n\n"
	"  layout-lease explain EOPNOTSUPP\n"
	"  layout-lease explain 26\n\n"
	"Exit status: 0; 1: an error that layout leases do not have; 2: usage.\n",
	.usage_status = STATUS_USAGE,
	.run = run,
};

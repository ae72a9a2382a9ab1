// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease run: take an exclusive layout lease on each file and become the
 * command. A lease belongs to the process that took it and survives exec. The
 * opt-in it gives is the command's: whoever truncates one of the files may have
 * it killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "layout-lease.h"

/*
 * The descriptor stays open, and without O_CLOEXEC: the lease lives as long as
 * it does.
 */
static bool take_lease(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY);
	const char *what;
	int error;

	if (fd < 0) {
		complain("cannot open %s for writing: %s", path, strerror(errno));
		return false;
	}
	if (!fcntl(fd, F_SETSIG, SIGKILL) &&
	    !fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE))
		return true;
	error = errno;
	what = lease_advice(error);
	complain("no layout lease on %s: %s%s%s", path, strerror(error),
		 what ? "\n  " : "", what ? what : "");
	return false;
}

static int run_command(const struct verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int opt, error, files = 0;

	/* "+": options end at the command */
	while ((opt = getopt_long(argc, argv, "+f:h", options, NULL)) != -1) {
		switch (opt) {
		case 'f':
			if (!take_lease(optarg))
				return STATUS_LEASE;
			files++;
			break;
		case 'h':
			print_verb_help(verb);
			return 0;
		default:
			return usage_error(verb);
		}
	}
	if (!files) {
		complain("run: no --file given");
		return usage_error(verb);
	}
	if (optind == argc) {
		complain("run: no command given");
		return usage_error(verb);
	}
	execvp(argv[optind], argv + optind);
	error = errno;
	complain("cannot run %s: %s", argv[optind], strerror(error));
	return error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;
}

const struct verb verb_run = {
	.name = "run",
	.usage = "run --file FILE [--file FILE]... -- COMMAND [ARGUMENT]...",
	.summary = "run a command that may pin these files",
	.help =
	"Takes an exclusive layout lease on each FILE and becomes COMMAND, which may\n"
	"then register the memory of these files with a device. On a filesystem mounted\n"
	"layout_lease=break the command agrees to be killed when somebody truncates such\n"
	"a file; mounted layout_lease=deny, the truncate fails.\n\n"
	"  --file FILE  exists and is writable; may be given several times\n\n"
	"If a lease is refused the command is not run; 'layout-lease explain' has more\n"
	"about each reason.\n\n"
	"Exit status: the command's; 125: a lease was not granted, or usage;\n"
	"126: the command cannot be run; 127: it was not found.\n",
	.usage_status = STATUS_LEASE,
	.run = run_command,
};

// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease - let an unmodified program pin files on FS-DAX filesystems.
 *
 * "run" takes an exclusive layout lease on each file and becomes the command: a
 * lease belongs to the process that took it and survives exec. The opt-in it
 * gives is the command's: whoever truncates one of the files may have it killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef F_LAYOUT
#define F_LAYOUT	16
#endif
#ifndef F_EXCLUSIVE
#define F_EXCLUSIVE	32
#endif

#define VERSION "1.0"

/* As env(1), timeout(1) and others have it. */
#define EXIT_LEASE		125
#define EXIT_CANNOT_RUN		126
#define EXIT_NOT_FOUND		127

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct verb {
	const char *name;
	const char *usage;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static int do_run(int argc, char **argv);

static const struct verb verbs[] = {
	{
		.name = "run",
		.usage = "run --file FILE [--file FILE]... -- COMMAND [ARGUMENT]...",
		.summary = "run a command that may pin these files",
		.run = do_run,
	},
};

static void complain(const char *fmt, ...)
{
	va_list ap;

	fputs("layout-lease: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void print_help(FILE *f)
{
	size_t i;

	fputs("usage: layout-lease VERB [ARGUMENT]...\n\n", f);
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(f, "  layout-lease %s\n      %s\n", verbs[i].usage,
			verbs[i].summary);
	fputs("\n  layout-lease --help | --version\n\n"
	      "Exit status: the command's; 125: a lease was not granted, or usage;\n"
	      "126: the command cannot be run; 127: it was not found.\n", f);
}

static int usage_error(const struct verb *verb)
{
	fprintf(stderr, "usage: layout-lease %s\n", verb->usage);
	return EXIT_LEASE;
}

/* What to do about it, by the errno of F_SETLEASE. */
static const char *advice(int error)
{
	switch (error) {
	case EACCES:
		return "only its owner, or a process with CAP_LEASE, may take a lease";
	case EINVAL:
		return "no regular file, fs.leases-enable is 0, or a kernel without layout leases";
	case EOPNOTSUPP:
		return "wants ext4 or xfs with layout_lease=break or deny, and a DAX file";
	case EBUSY:
		return "this open file carries a lease already";
	case EPERM:
		return "mounted layout_lease=break, and the opt-in to SIGKILL was not accepted";
	case EAGAIN:
		return "somebody is changing its layout now: try again when that is done";
	default:
		return NULL;
	}
}

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
	what = advice(error);
	complain("no layout lease on %s: %s%s%s", path, strerror(error),
		 what ? "\n  " : "", what ? what : "");
	return false;
}

static int do_run(int argc, char **argv)
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
				return EXIT_LEASE;
			files++;
			break;
		case 'h':
			print_help(stdout);
			return 0;
		default:
			return usage_error(&verbs[0]);
		}
	}
	if (!files) {
		complain("run: no --file given");
		return usage_error(&verbs[0]);
	}
	if (optind == argc) {
		complain("run: no command given");
		return usage_error(&verbs[0]);
	}
	execvp(argv[optind], argv + optind);
	error = errno;
	complain("cannot run %s: %s", argv[optind], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_LEASE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("layout-lease " VERSION);
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	complain("unknown verb: %s (see layout-lease --help)", argv[1]);
	return EXIT_LEASE;
}

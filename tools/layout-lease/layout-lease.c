// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease - run programs that pin files on FS-DAX filesystems, and see who
 * does.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "layout-lease.h"

static const struct verb *const verbs[] = {
	&verb_run,
	&verb_pins,
	&verb_breaks,
	&verb_watch,
	&verb_revoke,
	&verb_explain,
};

static void print_help(FILE *f)
{
	size_t i;

	fputs("usage: layout-lease VERB [ARGUMENT]...\n\n", f);
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(f, "  layout-lease %s\n      %s\n", verbs[i]->usage,
			verbs[i]->summary);
	fputs("\n"
	      "  layout-lease VERB --help\n"
	      "  layout-lease --help | --version\n\n"
	      "Exit status of run: the command's; 125: a lease was not granted, or usage;\n"
	      "126: the command cannot be run; 127: it was not found.\n"
	      "Of the other verbs: 0; 1: it failed, stderr says why; 2: usage.\n"
	      "Without a verb, or with an unknown one: 125.\n", f);
}

void print_verb_help(const struct verb *verb)
{
	printf("usage: layout-lease %s\n\n%s", verb->usage, verb->help);
}

int usage_error(const struct verb *verb)
{
	fprintf(stderr, "usage: layout-lease %s\n", verb->usage);
	return verb->usage_status;
}

bool same_file(const struct file_id *a, const struct file_id *b)
{
	return a->ino == b->ino && a->major == b->major && a->minor == b->minor;
}

static int find_file(struct options *o)
{
	struct stat st;

	if (stat(o->path, &st)) {
		complain("%s: %s", o->path, strerror(errno));
		return STATUS_FAILED;
	}
	o->file.major = major(st.st_dev);
	o->file.minor = minor(st.st_dev);
	o->file.ino = st.st_ino;
	return GO_ON;
}

static int refuse(const struct verb *verb, const char *why, const char *argument)
{
	complain("%s: %s: %s", verb->name, why, argument);
	return usage_error(verb);
}

/* GO_ON, or the exit status. */
int parse_options(const struct verb *verb, int argc, char **argv, unsigned int allowed,
		  struct options *o)
{
	static const struct option options[] = {
		{ "file", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "pid", required_argument, NULL, 'p' },
		{ "timeout", required_argument, NULL, 't' },
		{ }
	};
	int opt;

	memset(o, 0, sizeof(*o));
	o->timeout = -1;
	while ((opt = getopt_long(argc, argv, "f:jhp:t:", options, NULL)) != -1) {
		switch (opt) {
		case 'h':
			print_verb_help(verb);
			return 0;
		case 'j':
			if (!(allowed & OPTION_JSON))
				return refuse(verb, "there is no such option", "--json");
			o->json = true;
			break;
		case 'f':
			if (o->path)
				return refuse(verb, "one --file at most", optarg);
			o->path = optarg;
			break;
		case 'p':
			if (!(allowed & OPTION_PID))
				return refuse(verb, "there is no --pid here", optarg);
			if (o->pid)
				return refuse(verb, "one --pid at most", optarg);
			if (!parse_pid(optarg, &o->pid))
				return refuse(verb, "not the number of a process", optarg);
			break;
		case 't':
			if (!(allowed & OPTION_TIMEOUT))
				return refuse(verb, "there is no --timeout here", optarg);
			if (!parse_seconds(optarg, &o->timeout))
				return refuse(verb, "not a number of seconds up to a day", optarg);
			break;
		default:
			return usage_error(verb);
		}
	}
	if (optind != argc)
		return refuse(verb, "no such argument", argv[optind]);
	return o->path ? find_file(o) : GO_ON;
}

/* What was not written was not done, where output is all there is. */
static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return status ? status : STATUS_FAILED;
	}
	return status;
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		print_help(stderr);
		return STATUS_LEASE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help(stdout);
		return finish(0);
	}
	if (!strcmp(argv[1], "--version")) {
		puts("layout-lease " VERSION);
		return finish(0);
	}
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i]->name))
			return finish(verbs[i]->run(verbs[i], argc - 1, argv + 1));
	complain("unknown verb: %s (see layout-lease --help)", argv[1]);
	return STATUS_LEASE;
}

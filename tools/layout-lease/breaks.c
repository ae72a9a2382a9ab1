// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease breaks: which operations wait for which holders now.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layout-lease.h"

#define SOURCE PROC_ROOT "/layout_breaks"

struct list {
	struct options o;
	struct pending *b;
	size_t nr;
};

static bool list_line(char *line, void *arg)
{
	struct list *list = arg;
	struct pending b;

	if (!parse_pending(line, &b))
		return false;
	if (list->o.path && !same_file(&b.file, &list->o.file)) {
		free(b.path);
		return true;
	}
	list->b = grow(list->b, list->nr, sizeof(*list->b));
	list->b[list->nr++] = b;
	return true;
}

static void break_json(const struct pending *b, struct json *j)
{
	char *holder = process_name(b->pid), *breaker = process_name(b->breaker);

	json_open(j, NULL, '{');
	json_number(j, "pid", b->pid);
	json_string(j, "command", holder);
	json_number(j, "breaker", b->breaker);
	json_string(j, "breaker_command", breaker);
	json_number(j, "uid", b->uid);
	json_string(j, "reason", b->reason);
	json_file(j, &b->file);
	json_range(j, &b->range);
	if (b->left < 0)
		json_string(j, "left_ms", NULL);
	else
		json_number(j, "left_ms", b->left);
	json_count(j, "pins", b->pins);
	json_string(j, "state", b->abandoned ? "abandoned" : "waiting");
	json_string(j, "path", b->path);
	json_close(j, '}');
	free(holder);
	free(breaker);
}

static void print_json(const struct list *list)
{
	struct json j = { .f = stdout };
	size_t i;

	putchar('[');
	for (i = 0; i < list->nr; i++) {
		fputs(i ? ",\n" : "\n", stdout);
		j.comma = false;
		break_json(&list->b[i], &j);
	}
	puts(list->nr ? "\n]" : "]");
}

static void break_row(const struct pending *b, struct table *t)
{
	char *holder = process_name(b->pid), *breaker = process_name(b->breaker);

	table_add(t, b->pid ? process_text(b->pid, holder) : text("gone"));
	table_add(t, text("%llu", b->pins));
	if (!b->left)
		table_add(t, text("over"));
	else
		table_add(t, duration_text(b->left));
	table_add(t, b->breaker ? process_text(b->breaker, breaker) : text("not visible"));
	table_add(t, text("%u", b->uid));
	table_add(t, text("%s", b->reason));
	table_add(t, range_text(&b->range));
	table_add(t, text("%s", b->abandoned ? "abandoned" : "waiting"));
	table_add(t, safe(b->path));
	free(holder);
	free(breaker);
}

static void print_table(const struct list *list)
{
	static const char * const head[] = {
		"HOLDER", "PINS", "LEFT", "BREAKER", "UID", "OPERATION", "RANGE", "STATE", "FILE",
	};
	struct table t = { .columns = ARRAY_SIZE(head) };
	size_t i;

	if (!list->nr) {
		if (list->o.path)
			complain("no break of a layout lease is pending on %s", list->o.path);
		else
			complain("no break of a layout lease is pending");
		return;
	}
	for (i = 0; i < t.columns; i++)
		table_add(&t, text("%s", head[i]));
	for (i = 0; i < list->nr; i++)
		break_row(&list->b[i], &t);
	table_print(&t);
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct list list = { 0 };
	bool complete;
	int error, status;
	size_t i;

	status = parse_options(verb, argc, argv, OPTION_JSON, &list.o);
	if (status != GO_ON)
		return status;
	complete = read_lines(SOURCE, list_line, &list, &error);
	if (no_permission(error))
		complain("%s: %s\n"
			 "  Only root may see the breaks of all files: sudo layout-lease breaks\n"
			 "  A holder sees its own with F_GETLAYOUTBREAK, or in /proc/self/fdinfo.",
			 SOURCE, strerror(error));
	else if (error == ENOENT)
		complain("this kernel has no layout leases: there is no %s", SOURCE);
	else if (error)
		complain("%s: %s", SOURCE, strerror(error));
	else if (list.o.json)
		print_json(&list);
	else
		print_table(&list);
	for (i = 0; i < list.nr; i++)
		free(list.b[i].path);
	free(list.b);
	return complete ? 0 : STATUS_FAILED;
}

const struct verb verb_breaks = {
	.name = "breaks",
	.usage = "breaks [--file FILE] [--json]",
	.summary = "list what waits for holders to let go now",
	.help =
	"Lists the pending breaks: operations that take blocks from a file, and each\n"
	"holder of a lease on it that was told to let go. Needs root.\n\n"
	"  --file FILE  only those on this file, by whatever name it is known\n"
	"  --json       for programs: an array, one object per break and holder\n\n"
	"  HOLDER  who was told; 'gone' if it has exited, while pins stand\n"
	"  PINS    pins of this holder that are still in the way\n"
	"  LEFT    time until the kernel acts: kills the holder, or revokes its pins;\n"
	"          'over': it has begun to; 'no limit': fs.lease-break-time is 0\n"
	"  UID     user that the breaker runs as\n"
	"  STATE   'waiting', or 'abandoned': the operation was interrupted, and new pins\n"
	"          are refused there for a while\n\n"
	"Where nothing is pending, that is said on stderr (--json: an empty array).\n\n"
	"Exit status: 0; 1: it failed, or a line was left out, stderr says why; 2: usage.\n",
	.usage_status = STATUS_USAGE,
	.run = run,
};

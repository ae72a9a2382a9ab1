// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease pins: leases, pins, and who keeps the pins.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout-lease.h"

static void why_no_list(const struct options *o, const char *path, int error)
{
	char *dir = text(PROC_ROOT "/%d", o->pid);

	if (o->pid && (error == ESRCH || (error == ENOENT && access(dir, F_OK))))
		complain("there is no process %d", o->pid);
	else if (o->pid && no_permission(error))
		complain("%s: %s\n"
			 "  Only root and the user whose process it is may see that: be one.",
			 path, strerror(error));
	else if (no_permission(error))
		complain("%s: %s\n"
			 "  Only root may see the leases of all processes: sudo layout-lease pins\n"
			 "  Those of a process of your own: layout-lease pins --pid PID",
			 path, strerror(error));
	else if (error == ENOENT)
		complain("this kernel has no layout leases: there is no %s", path);
	else
		complain("%s: %s", path, strerror(error));
	free(dir);
}

static void keeper_json(const struct keeper *k, void *arg)
{
	struct json *j = arg;

	json_open(j, NULL, '{');
	json_number(j, "pid", k->pid);
	json_string(j, "command", holder_name(k->pid));
	json_number(j, "fd", k->fd);
	json_close(j, '}');
}

static void entry_json(const struct listing *list, const struct entry *e, struct json *j)
{
	json_open(j, NULL, '{');
	json_string(j, "kind", e->is_pin ? "pin" : "lease");
	json_number(j, "pid", e->pid);
	json_string(j, "command", holder_name(e->pid));
	json_file(j, &e->file);
	if (e->is_pin) {
		json_range(j, &e->range);
		json_string(j, "owner", e->owner);
		json_open(j, "kept_by", '[');
		visit_keepers(list, e, keeper_json, j);
		json_close(j, ']');
	} else {
		json_string(j, "type", e->exclusive ? "exclusive" : "layout");
		json_number(j, "fd", e->fd);
		json_count(j, "pins", e->pins);
	}
	json_string(j, "path", e->path);
	json_close(j, '}');
}

static void print_json(const struct listing *list)
{
	struct json j = { .f = stdout };
	size_t i;

	putchar('[');
	for (i = 0; i < list->nr; i++) {
		fputs(i ? ",\n" : "\n", stdout);
		j.comma = false;
		entry_json(list, &list->e[i], &j);
	}
	puts(list->nr ? "\n]" : "]");
}

static void print_table(const struct listing *list, const struct options *o)
{
	if (list->nr)
		print_listing(list);
	else if (o->path)
		complain("no layout leases on %s", o->path);
	else if (o->pid)
		complain("no layout leases of process %d", o->pid);
	else
		complain("no layout leases");
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct listing list;
	struct options o;
	bool complete;
	char *path;
	int error, status;

	status = parse_options(verb, argc, argv, OPTION_PID | OPTION_JSON, &o);
	if (status != GO_ON)
		return status;
	if (o.pid)
		path = text(PROC_ROOT "/%d/file_pins", o.pid);
	else
		path = text(PROC_ROOT "/layout_leases");
	complete = listing_read(&list, &o, path, &error);
	if (error) {
		why_no_list(&o, path, error);
	} else {
		complete = listing_find_keepers(&list) && complete;
		if (o.json)
			print_json(&list);
		else
			print_table(&list, &o);
		if (list.keepers.not_allowed)
			complain("%zu processes could not be searched for owner files.\n"
				 "  Be root to see all that belongs under KEPT-BY.",
				 list.keepers.not_allowed);
	}
	free(path);
	listing_free(&list);
	return complete ? 0 : STATUS_FAILED;
}

const struct verb verb_pins = {
	.name = "pins",
	.usage = "pins [--file FILE] [--pid PID] [--json]",
	.summary = "list leases and pins, and who keeps the pins",
	.help =
	"Lists the layout leases of all processes, and the pins taken under them: memory\n"
	"of files that devices can reach now. Needs root, but for --pid.\n\n"
	"  --file FILE  only those on this file, by whatever name it is known\n"
	"  --pid PID    only those of this process, which may be one of your own\n"
	"  --json       for programs: an array, one object per lease and pin\n\n"
	"  PID       who took the lease; 'gone' if it has exited, while pins stand\n"
	"  RANGE/FD  of a pin, its bytes ('end': however large the file is); of a lease,\n"
	"            exclusive or layout, its descriptor, and how many pins it has\n"
	"  OWNER     what pinned: rdma:DEVICE, io_uring\n"
	"  KEPT-BY   who has the file open whose last close drops the pin; it is their\n"
	"            exit, or close, that lets go. 'none seen': nobody that may be seen\n\n"
	"Where there is nothing to list, that is said on stderr (--json: an empty array).\n\n"
	"Exit status: 0; 1: it failed, or a line was left out, stderr says why; 2: usage.\n",
	.usage_status = STATUS_USAGE,
	.run = run,
};

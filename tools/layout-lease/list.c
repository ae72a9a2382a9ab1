// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease: leases, pins, and who keeps the pins.
 *
 * A pin stands as long as its owner file is open somewhere, which need not be
 * in the process that took the lease. So all processes are searched for owner
 * files, and matched with the pins by file and range.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout-lease.h"

struct reading {
	struct listing *list;
	const struct options *o;
};

static bool list_line(char *line, void *arg)
{
	struct reading *r = arg;
	struct listing *list = r->list;
	struct entry e;

	if (!parse_entry(line, r->o->pid, &e))
		return false;
	if (r->o->path && !same_file(&e.file, &r->o->file)) {
		free(e.owner);
		free(e.path);
		return true;
	}
	list->e = grow(list->e, list->nr, sizeof(*list->e));
	list->e[list->nr++] = e;
	list->nr_pins += e.is_pin;
	return true;
}

/*
 * What @o asks for: of all processes, or of the one. False if something is
 * missing, see read_lines().
 */
bool listing_read(struct listing *list, const struct options *o, const char *path,
		  int *error)
{
	struct reading r = { .list = list, .o = o };

	memset(list, 0, sizeof(*list));
	return read_lines(path, list_line, &r, error);
}

static int compare(__u64 a, __u64 b)
{
	return a < b ? -1 : a > b;
}

static int compare_pin(const struct keeper *a, const struct keeper *b)
{
	int c = compare(a->file.ino, b->file.ino);

	c = c ? c : compare(a->file.major, b->file.major);
	c = c ? c : compare(a->file.minor, b->file.minor);
	c = c ? c : compare(a->range.start, b->range.start);
	return c ? c : compare(a->range.end, b->range.end);
}

static int compare_keeper(const void *va, const void *vb)
{
	const struct keeper *a = va, *b = vb;
	int c = compare_pin(a, b);

	c = c ? c : compare(a->pid, b->pid);
	return c ? c : compare(a->fd, b->fd);
}

static size_t sort(struct keeper *k, size_t nr)
{
	size_t i, n = 0;

	if (!nr)
		return 0;
	qsort(k, nr, sizeof(*k), compare_keeper);
	for (i = 1; i < nr; i++)
		if (compare_keeper(&k[n], &k[i]))
			k[++n] = k[i];
	return n + 1;
}

/*
 * Searches all processes for owner files. False if a line was not understood.
 */
bool listing_find_keepers(struct listing *list)
{
	bool complete;
	size_t i;

	if (!list->nr_pins)
		return true;
	for (i = 0; i < list->nr; i++) {
		const struct entry *e = &list->e[i];
		struct keeper holder = { .file = e->file, .range = e->range, .pid = e->pid };

		if (!e->is_pin || !e->pid)
			continue;
		list->holders = grow(list->holders, list->nr_holders, sizeof(holder));
		list->holders[list->nr_holders++] = holder;
	}
	complete = find_keepers(&list->keepers);
	list->keepers.nr = sort(list->keepers.k, list->keepers.nr);
	list->nr_holders = sort(list->holders, list->nr_holders);
	return complete;
}

/*
 * One who holds a pin of the same range itself most likely keeps that one, and
 * not that of @e: a hundred processes that share a file are not each other's
 * keepers.
 */
static bool keeps_own(const struct listing *list, const struct entry *e, const struct keeper *k)
{
	struct keeper key = { .file = k->file, .range = k->range, .pid = k->pid };

	return k->pid != e->pid && list->nr_holders &&
	       bsearch(&key, list->holders, list->nr_holders, sizeof(key), compare_keeper);
}

/* The keepers of a pin are in [*from, *to) of the sorted list. */
static void keepers_of(const struct listing *list, const struct entry *e, size_t *from, size_t *to)
{
	const struct keeper key = { .file = e->file, .range = e->range };
	size_t low = 0, high = list->keepers.nr, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (compare_pin(&list->keepers.k[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*from = low;
	while (low < list->keepers.nr && !compare_pin(&list->keepers.k[low], &key))
		low++;
	*to = low;
}

/* Calls @each for who keeps the pin; all who might, if there is nobody else. */
void visit_keepers(const struct listing *list, const struct entry *e,
		   void (*each)(const struct keeper *k, void *arg), void *arg)
{
	size_t i, from, to, n = 0;

	keepers_of(list, e, &from, &to);
	for (i = from; i < to; i++) {
		if (keeps_own(list, e, &list->keepers.k[i]))
			continue;
		each(&list->keepers.k[i], arg);
		n++;
	}
	for (i = from; !n && i < to; i++)
		each(&list->keepers.k[i], arg);
}

/* A holder has many lines: its name is read once. */
const char *holder_name(int pid)
{
	static struct {
		int pid;
		char *name;
	} known[256], *k;

	k = &known[pid % ARRAY_SIZE(known)];
	if (k->pid != pid) {
		free(k->name);
		k->pid = pid;
		k->name = process_name(pid);
	}
	return k->name;
}

static void keeper_text(const struct keeper *k, void *arg)
{
	char **so_far = arg, *who = process_text(k->pid, holder_name(k->pid));
	char *more = text("%s%s%s fd %d", *so_far ? *so_far : "", *so_far ? ", " : "",
			  who, k->fd);

	free(*so_far);
	free(who);
	*so_far = more;
}

static void entry_row(const struct listing *list, const struct entry *e, struct table *t)
{
	const char *name = holder_name(e->pid);
	char *kept = NULL;

	table_add(t, e->pid ? text("%d", e->pid) : text("gone"));
	table_add(t, name ? safe(name) : text("-"));
	table_add(t, text("%s", e->is_pin ? "pin" : "lease"));
	if (e->is_pin) {
		table_add(t, range_text(&e->range));
		table_add(t, safe(e->owner));
		visit_keepers(list, e, keeper_text, &kept);
		table_add(t, kept ? kept : text("none seen"));
	} else {
		table_add(t, text("%s fd=%d pins=%llu", e->exclusive ? "exclusive" : "layout",
				  e->fd, e->pins));
		table_add(t, text("-"));
		table_add(t, text("-"));
	}
	table_add(t, safe(e->path));
}

void print_listing(const struct listing *list)
{
	static const char * const head[] = {
		"PID", "COMMAND", "KIND", "RANGE/FD", "OWNER", "KEPT-BY", "FILE",
	};
	struct table t = { .columns = ARRAY_SIZE(head) };
	size_t i;

	for (i = 0; i < t.columns; i++)
		table_add(&t, text("%s", head[i]));
	for (i = 0; i < list->nr; i++)
		entry_row(list, &list->e[i], &t);
	table_print(&t);
}

void listing_free(struct listing *list)
{
	size_t i;

	for (i = 0; i < list->nr; i++) {
		free(list->e[i].owner);
		free(list->e[i].path);
	}
	free(list->e);
	free(list->keepers.k);
	free(list->holders);
}

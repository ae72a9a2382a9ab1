// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease revoke: take pins away from a process or from a file, without
 * killing anybody.
 *
 * The kernel takes the request, and the pins go some time later. What is waited
 * for are the pins that were listed before: somebody may take new ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "layout-lease.h"

#define LIST PROC_ROOT "/layout_leases"
#define LEVER PROC_ROOT "/layout_revoke"

#define TIMEOUT 60		/* s */
#define FIRST_PAUSE 10		/* ms */
#define LAST_PAUSE 500
#define PROGRESS_FIRST 1000
#define PROGRESS_EVERY 5000

/*
 * Pins that look the same but for their end, which moves while a registration is
 * under way.
 */
struct target {
	struct file_id file;
	__u64 start;
	char *owner;
	int pid;
	bool wanted;		/* is to be revoked */
	size_t left;		/* stand since the beginning; never grows */
	size_t seen;		/* in the round that runs */
};

/* A holder of pins that are to be revoked. */
struct victim {
	int pid;
	char *name;
	size_t pins;
	size_t left;
};

struct revoke {
	struct options o;
	char *what;		/* for messages: "process 4711" */
	struct listing list;
	bool complete;
	int lever;
	struct target *t;
	size_t nr_targets;
	struct victim *v;
	size_t nr_victims;
	size_t pins;
	size_t left;
};

static __s64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static bool wanted(const struct revoke *r, const struct entry *e)
{
	if (!e->is_pin)
		return false;
	return r->o.path ? same_file(&e->file, &r->o.file) : e->pid == r->o.pid;
}

static int compare(__u64 a, __u64 b)
{
	return a < b ? -1 : a > b;
}

/* All but the holder. */
static int compare_place(const struct target *a, const struct target *b)
{
	int c = compare(a->file.ino, b->file.ino);

	c = c ? c : compare(a->file.major, b->file.major);
	c = c ? c : compare(a->file.minor, b->file.minor);
	c = c ? c : compare(a->start, b->start);
	return c ? c : strcmp(a->owner, b->owner);
}

static int compare_target(const void *va, const void *vb)
{
	const struct target *a = va, *b = vb;
	int c = compare_place(a, b);

	return c ? c : compare(a->pid, b->pid);
}

static struct target target_of(const struct entry *e)
{
	return (struct target) {
		.file = e->file, .start = e->range.start, .owner = e->owner, .pid = e->pid,
	};
}

/* All pins, also those that are to stay: they must not be taken for the others. */
static void make_targets(struct revoke *r)
{
	struct target t;
	size_t i, n = 0;

	for (i = 0; i < r->list.nr; i++) {
		if (!r->list.e[i].is_pin)
			continue;
		t = target_of(&r->list.e[i]);
		t.wanted = wanted(r, &r->list.e[i]);
		t.left = 1;
		r->pins += t.wanted;
		r->t = grow(r->t, r->nr_targets, sizeof(t));
		r->t[r->nr_targets++] = t;
	}
	r->left = r->pins;
	if (!r->nr_targets)
		return;
	qsort(r->t, r->nr_targets, sizeof(t), compare_target);
	for (i = 1; i < r->nr_targets; i++) {
		if (compare_target(&r->t[n], &r->t[i]))
			r->t[++n] = r->t[i];
		else
			r->t[n].left++;
	}
	r->nr_targets = n + 1;
}

static struct victim *victim_of(struct revoke *r, int pid)
{
	const char *name = holder_name(pid);
	size_t i;

	for (i = 0; i < r->nr_victims; i++)
		if (r->v[i].pid == pid)
			return &r->v[i];
	r->v = grow(r->v, r->nr_victims, sizeof(*r->v));
	r->v[i] = (struct victim) { .pid = pid, .name = name ? copy_string(name) : NULL };
	r->nr_victims++;
	return &r->v[i];
}

/* How many of each holder's pins are left. */
static void count_victims(struct revoke *r)
{
	struct victim *v;
	size_t i;

	for (i = 0; i < r->nr_victims; i++)
		r->v[i].left = 0;
	for (i = 0; i < r->nr_targets; i++) {
		if (!r->t[i].wanted)
			continue;
		v = victim_of(r, r->t[i].pid);
		v->left += r->t[i].left;
	}
}

static void make_victims(struct revoke *r)
{
	size_t i;

	count_victims(r);
	for (i = 0; i < r->nr_victims; i++)
		r->v[i].pins = r->v[i].left;
}

/* Open owner files: those by which the pins wanted are kept. */
struct contexts {
	struct keeper *k;	/* pid and fd */
	size_t nr;
	bool found;
};

static int compare_context(const void *va, const void *vb)
{
	const struct keeper *a = va, *b = vb;

	return a->pid != b->pid ? compare(a->pid, b->pid) : compare(a->fd, b->fd);
}

static void add_context(const struct keeper *k, void *arg)
{
	struct contexts *c = arg;

	c->k = grow(c->k, c->nr, sizeof(*k));
	c->k[c->nr++] = *k;
}

static void find_context(const struct keeper *k, void *arg)
{
	struct contexts *c = arg;

	if (c->nr && bsearch(k, c->k, c->nr, sizeof(*k), compare_context))
		c->found = true;
}

/* Is @e the lease of a pin that is shown? Its pins follow, up to the next file. */
static bool lease_is_shown(const struct listing *list, const bool *shown, size_t lease)
{
	const struct entry *e = &list->e[lease];
	size_t i;

	if (e->is_pin || !e->pins)
		return false;
	for (i = lease + 1; i < list->nr && same_file(&list->e[i].file, &e->file); i++)
		if (shown[i] && list->e[i].is_pin && list->e[i].pid == e->pid)
			return true;
	return false;
}

/* Leave in the list what will be affected. Returns the pins beyond those wanted. */
static size_t keep_affected(struct revoke *r)
{
	struct listing *list = &r->list;
	struct contexts c = { 0 };
	size_t i, n = 0, also = 0;
	bool *shown = NULL;

	for (i = 0; i < list->nr; i++)
		if (wanted(r, &list->e[i]))
			visit_keepers(list, &list->e[i], add_context, &c);
	if (c.nr)
		qsort(c.k, c.nr, sizeof(*c.k), compare_context);
	for (i = 0; i < list->nr; i++) {
		shown = grow(shown, i, sizeof(*shown));
		shown[i] = wanted(r, &list->e[i]);
		if (shown[i] || !list->e[i].is_pin)
			continue;
		c.found = false;
		visit_keepers(list, &list->e[i], find_context, &c);
		shown[i] = c.found;
		also += c.found;
	}
	for (i = 0; i < list->nr; i++) {
		if (shown[i] || lease_is_shown(list, shown, i)) {
			list->e[n++] = list->e[i];
			continue;
		}
		/* the targets have its owner */
		free(list->e[i].path);
	}
	list->nr = n;
	free(shown);
	free(c.k);
	return also;
}

/* Before anything is done. */
static void announce(struct revoke *r)
{
	size_t also;

	r->complete &= listing_find_keepers(&r->list);
	also = keep_affected(r);
	puts("to be revoked, with all that these contexts or rings (OWNER, KEPT-BY) have pinned:");
	print_listing(&r->list);
	if (also)
		printf("%zu of these pins %s not of %s, but as it seems of the same contexts\n",
		       also, also == 1 ? "is" : "are", r->what);
	fflush(stdout);
	if (r->list.keepers.not_allowed)
		complain("%zu processes could not be searched for owner files",
			 r->list.keepers.not_allowed);
}

/* The first target not before @key. */
static size_t find_target(const struct revoke *r, const struct target *key)
{
	size_t low = 0, high = r->nr_targets, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (compare_target(&r->t[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool see_target(struct target *t)
{
	if (t->seen == t->left)
		return false;
	t->seen++;
	return true;
}

static bool standing_line(char *line, void *arg)
{
	struct revoke *r = arg;
	struct target key;
	struct entry e;
	size_t i;

	/* what is not understood was complained about the first time */
	if (!parse_entry(line, 0, &e))
		return true;
	if (e.is_pin) {
		key = target_of(&e);
		i = find_target(r, &key);
		if (i < r->nr_targets && !compare_target(&r->t[i], &key) && see_target(&r->t[i]))
			i = r->nr_targets;
		/* its holder may have gone, after it was listed first */
		for (; !e.pid && i < r->nr_targets && !compare_place(&r->t[i], &key); i++)
			if (r->t[i].wanted && see_target(&r->t[i]))
				break;
	}
	free(e.owner);
	free(e.path);
	return true;
}

/* Look again what stands. */
static bool look(struct revoke *r)
{
	size_t i;
	int error;

	for (i = 0; i < r->nr_targets; i++)
		r->t[i].seen = 0;
	read_lines(LIST, standing_line, r, &error);
	if (error) {
		complain("%s: %s", LIST, strerror(error));
		return false;
	}
	r->left = 0;
	for (i = 0; i < r->nr_targets; i++) {
		r->t[i].left = r->t[i].seen;
		r->left += r->t[i].wanted ? r->t[i].left : 0;
	}
	return true;
}

static void pause_for(__s64 ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static __s64 smaller(__s64 a, __s64 b)
{
	return a < b ? a : b;
}

/* Until none is left, or it has taken too long. False if it cannot be known. */
static bool wait_for_pins(struct revoke *r, __s64 begun)
{
	__s64 deadline = begun + r->o.timeout * 1000LL, progress = begun + PROGRESS_FIRST;
	__s64 now, pause = FIRST_PAUSE;

	for (;;) {
		if (!look(r))
			return false;
		now = now_ms();
		if (!r->left || now >= deadline)
			return true;
		if (now >= progress) {
			complain("%zu of %zu pin%s left, waiting for up to %lld s more", r->left,
				 r->pins, plural(r->pins), (deadline - now + 999) / 1000);
			progress = now + PROGRESS_EVERY;
		}
		pause_for(smaller(pause, deadline - now));
		pause = smaller(2 * pause, LAST_PAUSE);
	}
}

/* "2 pins of 4711 (db), 1 of 2 pins of holders that are gone" */
static char *outcome(const struct revoke *r)
{
	char *all = NULL, *who, *count, *more;
	const struct victim *v;
	size_t i;

	for (i = 0; i < r->nr_victims; i++) {
		v = &r->v[i];
		who = v->pid ? process_text(v->pid, v->name) :
			       text("holders that are gone");
		count = v->left ? text("%zu of %zu", v->pins - v->left, v->pins) :
				  text("%zu", v->pins);
		more = text("%s%s%s pin%s of %s", all ? all : "", all ? ", " : "", count,
			    plural(v->pins), who);
		free(all);
		free(who);
		free(count);
		all = more;
	}
	return all;
}

static int report(struct revoke *r, __s64 begun)
{
	__s64 took = now_ms() - begun;
	char *pins, *span = duration_text(took);

	count_victims(r);
	pins = outcome(r);
	printf("revoked: %s, in %s\n", pins, span);
	fflush(stdout);
	free(pins);
	free(span);
	if (!r->left)
		return r->complete ? 0 : STATUS_FAILED;
	complain("%zu of %zu pin%s still there after %d s; the kernel goes on with it\n"
		 "  A driver may take long to let go of memory: soft-RoCE up to 50 s.\n"
		 "  A registration that is under way keeps its memory until it returns. If it\n"
		 "  waits for a page that nobody delivers (userfaultfd, FUSE, a frozen\n"
		 "  filesystem), serve it, thaw it, or kill the process.\n"
		 "  What is left: layout-lease pins; the log: dmesg | grep layout_lease",
		 r->left, r->pins, plural(r->pins), r->o.timeout);
	return STATUS_FAILED;
}

/* Numbers that are written are of our pid namespace, those listed are proc's. */
static bool pids_are_ours(void)
{
	char self[32];
	ssize_t len = readlink(PROC_ROOT "/self", self, sizeof(self) - 1);
	int pid;

	if (len < 0)
		return false;
	self[len] = '\0';
	return parse_pid(self, &pid) && pid == getpid();
}

static bool open_lever(struct revoke *r)
{
	r->lever = open(LEVER, O_WRONLY | O_CLOEXEC);
	if (r->lever >= 0)
		return true;
	if (no_permission(errno))
		complain("%s: %s\n"
			 "  It needs CAP_SYS_ADMIN of the initial user namespace: sudo layout-lease revoke",
			 LEVER, strerror(errno));
	else if (errno == ENOENT)
		complain("this kernel cannot be told to revoke: there is no %s", LEVER);
	else
		complain("%s: %s", LEVER, strerror(errno));
	return false;
}

static bool read_pins(struct revoke *r)
{
	static const struct options all;
	int error;

	r->complete = listing_read(&r->list, &all, LIST, &error);
	if (!error) {
		make_targets(r);
		return true;
	}
	complain("%s: %s%s", LIST, strerror(error), no_permission(error) ? ": be root" : "");
	return false;
}

static int no_such_pin(const struct revoke *r)
{
	char *dir = text(PROC_ROOT "/%d", r->o.pid);

	if (r->o.path)
		complain("there are no pins on %s", r->o.path);
	else if (access(dir, F_OK))
		complain("there is no process %d\n"
			 "  Pins that have outlived it are named by their file: layout-lease revoke --file",
			 r->o.pid);
	else
		complain("process %d has no pins\n"
			 "  They are those of the process that took the lease: layout-lease pins",
			 r->o.pid);
	free(dir);
	return STATUS_FAILED;
}

/* What the kernel says to a request, other than yes. */
static int refused(struct revoke *r, int error)
{
	if (error != ENOENT && error != ESRCH) {
		complain("%s: %s%s", LEVER, strerror(error),
			 no_permission(error) ?
				 "\n  It needs CAP_SYS_ADMIN of the initial user namespace" : "");
		return STATUS_FAILED;
	}
	if (!look(r))
		return STATUS_FAILED;
	if (r->left) {
		complain("%s has gone meanwhile, its pins have not\n"
			 "  They are named by their file: layout-lease revoke --file", r->what);
		return STATUS_FAILED;
	}
	puts("nothing was revoked: the pins have gone by themselves meanwhile");
	return r->complete ? 0 : STATUS_FAILED;
}

static int pull_lever(struct revoke *r)
{
	__s64 begun = now_ms();
	char *request;
	ssize_t n;
	int error;

	request = r->o.path ? text("file %u:%u %llu", r->o.file.major, r->o.file.minor,
				   r->o.file.ino) :
			      text("pid %d", r->o.pid);
	n = write(r->lever, request, strlen(request));
	error = n < 0 ? errno : 0;
	free(request);
	if (error)
		return refused(r, error);
	return wait_for_pins(r, begun) ? report(r, begun) : STATUS_FAILED;
}

static int revoke_pins(struct revoke *r)
{
	if (!open_lever(r))
		return STATUS_FAILED;
	if (!r->o.path && !pids_are_ours()) {
		complain("%s is of another PID namespace: name the pins by --file", PROC_ROOT);
		return STATUS_FAILED;
	}
	if (!read_pins(r))
		return STATUS_FAILED;
	if (!r->pins)
		return no_such_pin(r);
	make_victims(r);
	announce(r);
	return pull_lever(r);
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct revoke r = { .lever = -1 };
	int status;

	status = parse_options(verb, argc, argv, OPTION_PID | OPTION_TIMEOUT, &r.o);
	if (status != GO_ON)
		return status;
	if (!r.o.path == !r.o.pid) {
		complain("revoke: either --pid or --file");
		return usage_error(verb);
	}
	if (r.o.timeout < 0)
		r.o.timeout = TIMEOUT;
	r.what = r.o.path ? copy_string(r.o.path) : text("process %d", r.o.pid);
	return revoke_pins(&r);
}

const struct verb verb_revoke = {
	.name = "revoke",
	.usage = "revoke {--pid PID | --file FILE} [--timeout SECONDS]",
	.summary = "take pins away from a process or a file, killing nobody",
	.help =
	"Tells the kernel to revoke pins, and waits until they are gone. Needs root.\n"
	"Works whatever the filesystem is mounted with. Nobody is killed, or told by a\n"
	"signal.\n\n"
	"What is revoked is the owner file, an RDMA context or an io_uring, through which\n"
	"the pins were taken. An RDMA context, that is an open verbs device, LOSES ALL ITS\n"
	"REGISTRATIONS, of other files and of ordinary memory as well, and its\n"
	"connections, for whatever process has it open. Commands on it fail with EIO; the\n"
	"application has to open the device anew. An io_uring loses its buffers of leased\n"
	"files, of other files as well, and nothing else. Other contexts and rings are left\n"
	"alone. The lease goes with its last pin.\n\n"
	"  --pid PID          the pins of the process that took the lease\n"
	"  --file FILE        all pins on this file, also where the holder is gone\n"
	"  --timeout SECONDS  wait no longer, 60 without; the kernel goes on with it\n\n"
	"First it lists the leases and pins that will be affected, as 'layout-lease pins'\n"
	"does; in the end, how many pins were revoked, and of whom. Where that takes more\n"
	"than a second, it says on stderr what it waits for.\n\n"
	"Exit status: 0: none of these pins is left; 1: it failed, there was no such pin,\n"
	"or some are still there, stderr says why; 2: usage.\n",
	.usage_status = STATUS_USAGE,
	.run = run,
};

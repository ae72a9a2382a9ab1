/* SPDX-License-Identifier: GPL-2.0 */
/*
 * layout-lease: what its files share.
 *
 *   layout-lease.c   the verbs, and help
 *   run.c            the verb "run"
 *   pins.c           the verb "pins", breaks.c: "breaks", watch.c: "watch"
 *   revoke.c         the verb "revoke"
 *   explain.c        the verb "explain", and the table of refusals
 *   parse.c          text of the kernel into structures; touches no file
 *   list.c           leases and pins, with who keeps them
 *   proc.c           /proc: lines of a file, names of processes, owner files
 *   tracefs.c        a private trace instance
 *   text.c, json.c   output
 */
#ifndef LAYOUT_LEASE_H
#define LAYOUT_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define __SANE_USERSPACE_TYPES__	/* __u64 is long long everywhere */
#include <linux/types.h>

#ifndef F_LAYOUT
#define F_LAYOUT	16
#endif
#ifndef F_EXCLUSIVE
#define F_EXCLUSIVE	32
#endif

#define VERSION "1.2"

/* Where the kernel's files are: set at build time, to try the parsers. */
#ifndef PROC_ROOT
#define PROC_ROOT "/proc"
#endif
#ifndef TRACEFS_ROOTS
#define TRACEFS_ROOTS "/sys/kernel/tracing", "/sys/kernel/debug/tracing"
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum {
	STATUS_FAILED = 1,	/* of all verbs but run */
	STATUS_USAGE = 2,
	/* of run, as env(1), timeout(1) and others have them */
	STATUS_LEASE = 125,
	STATUS_CANNOT_RUN = 126,
	STATUS_NOT_FOUND = 127,
};

/* To add a verb: its file, and a line in the table of layout-lease.c. */
struct verb {
	const char *name;
	const char *usage;
	const char *summary;
	const char *help;	/* what --help says below these */
	int usage_status;
	int (*run)(const struct verb *verb, int argc, char **argv);
};

extern const struct verb verb_run;
extern const struct verb verb_pins;
extern const struct verb verb_breaks;
extern const struct verb verb_watch;
extern const struct verb verb_revoke;
extern const struct verb verb_explain;

void print_verb_help(const struct verb *verb);
int usage_error(const struct verb *verb);

/* What a file is known by, in all reports of the kernel. */
struct file_id {
	unsigned int major;
	unsigned int minor;
	__u64 ino;
};

bool same_file(const struct file_id *a, const struct file_id *b);

/* The options of all verbs but run; --file and --help are everybody's. */
struct options {
	bool json;
	const char *path;	/* --file, or NULL */
	struct file_id file;	/* of path */
	int pid;		/* --pid, or 0 */
	int timeout;		/* --timeout in seconds, -1 if there is none */
};

enum {
	OPTION_PID = 1,
	OPTION_JSON = 2,
	OPTION_TIMEOUT = 4,
};

#define GO_ON (-1)

int parse_options(const struct verb *verb, int argc, char **argv, unsigned int allowed,
		  struct options *o);

/* Bytes; end is exclusive, TO_END: however large the file may become. */
struct range {
	__u64 start;
	__u64 end;
};

#define TO_END (~0ULL)
#define REASON_LEN 32

/* A line of /proc/layout_leases or /proc/PID/file_pins. */
struct entry {
	int pid;		/* 0: the holder is gone, or not visible */
	bool is_pin;
	struct file_id file;
	/* a lease */
	bool exclusive;
	int fd;
	__u64 pins;
	/* a pin */
	struct range range;
	char *owner;
	char *path;
};

/* A line of /proc/layout_breaks. */
struct pending {
	int pid;		/* of the holder, as above */
	struct file_id file;
	char reason[REASON_LEN];
	struct range range;
	int breaker;		/* 0: not visible */
	__u32 uid;
	__s64 left;		/* ms, -1: without a limit */
	__u64 pins;
	bool abandoned;
	char *path;
};

/* What a break event says beyond file, reason, range, breaker and uid. */
enum {
	HAS_HOLDER = 1,
	HAS_SIGNAL = 2,		/* and left */
	HAS_OWNER = 4,
	HAS_WAITED = 8,
	HAS_ERROR = 16,
};

struct event {
	/* the context of the trace line */
	char comm[17];
	int task;
	__s64 sec;
	unsigned int usec;
	/* the event */
	const char *name;
	unsigned int has;
	struct file_id file;
	char reason[REASON_LEN];
	struct range range;
	int breaker;
	__u32 uid;
	int holder;
	int signal;
	__s64 left;
	__u64 waited;
	int error;
	char owner[128];
};

/* parse.c: false if it is not exactly what it should be */
bool parse_entry(const char *line, int pid, struct entry *e);
bool parse_pending(const char *line, struct pending *p);
bool parse_owned(const char *line, struct file_id *file, struct range *range);
bool parse_event(const char *line, size_t len, struct event *e);
bool parse_lost(const char *line, int *cpu, __s64 *lost);
bool parse_pid(const char *text, int *pid);
bool parse_seconds(const char *text, int *seconds);

/* proc.c */
struct keeper {
	struct file_id file;
	struct range range;
	int pid;
	int fd;
};

struct keepers {
	struct keeper *k;
	size_t nr;
	size_t not_allowed;	/* processes that could not be looked at */
};

/* A line handler returns false for a line that it does not understand. */
typedef bool (*line_fn)(char *line, void *arg);

bool read_lines(const char *path, line_fn fn, void *arg, int *error);
char *process_name(int pid);
bool find_keepers(struct keepers *found);
bool no_permission(int error);
void complain_about_line(const char *source, size_t nr, const char *line, size_t len);

/* list.c */
struct listing {
	struct entry *e;
	size_t nr;
	size_t nr_pins;
	struct keepers keepers;		/* of all pins, sorted */
	struct keeper *holders;		/* of the pins listed, sorted; fd unused */
	size_t nr_holders;
};

bool listing_read(struct listing *list, const struct options *o, const char *path,
		  int *error);
bool listing_find_keepers(struct listing *list);
void visit_keepers(const struct listing *list, const struct entry *e,
		   void (*each)(const struct keeper *k, void *arg), void *arg);
const char *holder_name(int pid);
void print_listing(const struct listing *list);
void listing_free(struct listing *list);

/* tracefs.c */
struct trace {
	char dir[256];
	int pipe;
	bool wall_clock;	/* time stamps are by CLOCK_TAI */
};

bool trace_open(struct trace *t);
void trace_close(struct trace *t);

/* explain.c */
const char *lease_advice(int error);
const char *errno_name(int error);

/* text.c */
#ifndef __printf
#define __printf(fmt, args) \
	__attribute__((format(printf, \
			      fmt, args)))
#endif

__printf(1, 2) void complain(const char *fmt, ...);
__printf(1, 2) char *text(const char *fmt, ...);
void *grow(void *array, size_t nr, size_t size);
char *copy_string(const char *s);
size_t utf8_length(const char *s);
void put_safe(FILE *f, const char *s);
char *safe(const char *s);
char *range_text(const struct range *range);
char *process_text(int pid, const char *name);
char *duration_text(__s64 ms);

struct table {
	size_t columns;
	size_t cells;
	char **cell;
};

void table_add(struct table *t, char *cell);
void table_print(struct table *t);

/* json.c */
struct json {
	FILE *f;
	bool comma;
};

void json_open(struct json *j, const char *name, char bracket);
void json_close(struct json *j, char bracket);
void json_string(struct json *j, const char *name, const char *value);
void json_number(struct json *j, const char *name, __s64 value);
void json_count(struct json *j, const char *name, __u64 value);
void json_range(struct json *j, const struct range *range);
void json_file(struct json *j, const struct file_id *file);

#endif /* LAYOUT_LEASE_H */

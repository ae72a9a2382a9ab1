/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel reports about layout leases, pins and breaks, as the tests
 * expect it: the text of a whole file is compared, or a line is scanned and
 * then printed again, and must not have changed.
 */
#ifndef LAYOUT_LEASE_REPORT_H
#define LAYOUT_LEASE_REPORT_H

#include "layout_lease_common.h"

#define LL_TO_END	UINT64_MAX

/* A file as it is named in reports; text: its path there. */
struct ll_id {
	unsigned int major, minor;
	unsigned long long ino;
	char text[2 * LL_PATH];
};

/* Text that a file of /proc is to have. pid: -1 where lines have no pid=. */
struct ll_said {
	int pid;
	char text[8192];
};

/* A line about a pending break. What fdinfo does not say is 0. */
struct ll_pending {
	int pid;
	struct ll_id id;
	char reason[16];
	unsigned long long start, end;
	int breaker;
	int uid;
	long long left;
	int pins;
	char state[16];
};

/* A line of file_pins or layout_leases. pid: -1 where lines have no pid=. */
struct ll_row {
	bool pin, exclusive;
	int pid, fd;
	int pins;
	struct ll_id id;
	unsigned long long start, end;
	char owner[32];
};

int ll_identify(const char *path, struct ll_id *id);
int ll_read(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

void ll_say(struct ll_said *s, const char *fmt, ...) __printf(2, 3);
void ll_say_lease(struct ll_said *s, const struct ll_id *id, bool exclusive,
		  int fd, int pins);
void ll_say_pin(struct ll_said *s, const struct ll_id *id, uint64_t start,
		uint64_t end);
void ll_say_owned(struct ll_said *s, const struct ll_id *id, uint64_t start,
		  uint64_t end);
void ll_say_lock(struct ll_said *s, const struct ll_id *id, bool breaking,
		 bool exclusive);

bool ll_same(const struct ll_said *want, const char *have, const char *where);
bool ll_shows(const struct ll_said *want, const char *fmt, ...) __printf(2, 3);
bool ll_comes_to_show(const struct ll_said *want, const char *path);
bool ll_fdinfo_shows(const struct ll_said *want, pid_t pid, int fd);
bool ll_locks_show(const struct ll_said *want, const char *text);
bool ll_proc_locks_show(const struct ll_said *want);

bool ll_scan_row(const char *line, struct ll_row *row);
int ll_scan_breaks(const char *text, struct ll_pending *p, int max);
int ll_breaks(struct ll_pending *p, int max);
int ll_fdinfo_breaks(pid_t pid, int fd, struct ll_pending *p, int max);

int ll_report_setup(struct ll_env *env, enum ll_fs fs, char *path, struct ll_id *id);
int ll_pend(struct ll_holder *h, struct ll_breaker *b, const char *path);

/* commands: layout_lease_command.c */
#define LL_OUT	"/tmp/layout-command.out"
#define LL_ERR	"/tmp/layout-command.err"

int ll_find_programs(void);
int ll_command(const char *fmt, ...) __printf(1, 2);
bool ll_json(const char *filter, const char *fmt, ...) __printf(2, 3);
bool ll_line(const char *file, const char *fmt, ...) __printf(2, 3);
int ll_passed_on(const struct ll_holder *h, int fd);

#endif /* LAYOUT_LEASE_REPORT_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * A delay in the kernel, by what the function tracer prints.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "layout_lease_delay.h"
#include "layout_lease_report.h"

#define TRACEFS		"/sys/kernel/tracing"
#define LINES		400	/* of text, and how long each is */
#define LINE		900
#define BUFFER_KB	"512"	/* for all of it */

/* Only on this processor: the thread that calls. */
int ll_run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return ll_ret(sched_setaffinity(0, sizeof(set), &set));
}

/* The next call of this function takes a while to begin. */
int ll_delay(const char *function)
{
	char line[LINE + 1], filter[64];
	int i, ret;

	memset(line, '.', LINE);
	line[LINE] = '\0';
	snprintf(filter, sizeof(filter), "%s:dump", function);
	ret = ll_shell(": >" TRACEFS "/trace") ?:
	      ll_write_text(TRACEFS "/buffer_size_kb", BUFFER_KB) ?:
	      ll_write_text(TRACEFS "/tracing_on", "1");
	for (i = 0; i < LINES && !ret; i++)
		ret = ll_write_text(TRACEFS "/trace_marker", line);
	return ret ?: ll_write_text(TRACEFS "/set_ftrace_filter", filter);
}

/* The tracer turns itself off when it begins to print. */
int ll_delay_begins(void)
{
	int64_t end = ll_now_ms() + LL_SOON;
	char on[8];

	while (ll_read(on, sizeof(on), TRACEFS "/tracing_on") > 0) {
		if (on[0] == '0')
			return 0;
		if (ll_now_ms() > end)
			return -ETIMEDOUT;
	}
	return -EIO;
}

int ll_delay_end(const char *function)
{
	char filter[64];
	int ret;

	snprintf(filter, sizeof(filter), "!%s:dump", function);
	ret = ll_write_text(TRACEFS "/set_ftrace_filter", filter);
	return ret ?: ll_shell(": >" TRACEFS "/trace") ?:
	       ll_write_text(TRACEFS "/tracing_on", "1");
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A moment in the kernel that lasts as long as a test needs: the function tracer
 * prints a long text at the entry of a function. Printing leaves no time for
 * anything else on that processor, so the test has to be on another one.
 */
#ifndef LAYOUT_LEASE_DELAY_H
#define LAYOUT_LEASE_DELAY_H

#include "layout_lease_common.h"

int ll_run_on(int cpu);
int ll_delay(const char *function);
int ll_delay_begins(void);
int ll_delay_end(const char *function);

#endif /* LAYOUT_LEASE_DELAY_H */

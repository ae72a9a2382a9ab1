// SPDX-License-Identifier: GPL-2.0
/*
 * An ordinary RDMA application: maps a file, registers the memory, waits, and
 * goes. It knows nothing of leases.
 *
 *   pin_file FILE MILLISECONDS
 *
 * Its exit status is 0, or the errno of what failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout_lease_common.h"

static int fail(const char *what, const char *path, int error)
{
	fprintf(stderr, "pin_file: %s %s: %s\n", what, path, strerror(error));
	return error;
}

int main(int argc, char **argv)
{
	struct ibv_mr *mr;
	struct ll_rdma r;
	struct stat st;
	void *map;
	int fd, ret;

	if (argc != 3) {
		fprintf(stderr, "usage: pin_file FILE MILLISECONDS\n");
		return 1;
	}
	fd = open(argv[1], O_RDWR);
	if (fd < 0 || fstat(fd, &st))
		return fail("opening", argv[1], errno);
	map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return fail("mapping", argv[1], errno);
	ret = ll_rdma_open(&r);
	if (ret)
		return fail("opening the RDMA device for", argv[1], -ret);
	ret = ll_reg(&r, map, st.st_size, &mr);
	if (ret)
		return fail("registering", argv[1], -ret);
	printf("registered %s\n", argv[1]);
	fflush(stdout);
	ll_sleep_ms(atoi(argv[2]));
	ret = ll_dereg(&mr);
	ll_rdma_close(&r);
	return -ret;
}

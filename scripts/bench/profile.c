// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU's emulator: in which functions of the guest's kernel the
 * instructions of an operation are.
 *
 * Arguments: map=System.map of the kernel, which is where it was linked to be,
 * and out=FILE.  The guest marks the operation by instructions that do nothing
 * else, see bench.h.  Of each series of runs but the first run, which warms up,
 * FILE gets the one with the median of instructions, as lines "SERIES COUNT
 * FUNCTION", separated by tabs; what is no kernel is the function "-".  An
 * instruction that faults counts once more when it is tried again.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of qemu-plugin.h, which Debian has no package with. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_INLINE_ADD_U64 };
enum { QEMU_PLUGIN_CB_NO_REGS };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
		void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
		void (*cb)(unsigned int cpu, void *arg), int flags, void *arg);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op,
		void *value, uint64_t add);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

int qemu_plugin_version = 1;

#define RUNS	1024	/* of a series, at most */

struct function {
	uint64_t start;
	char *name;
};

struct run {
	uint64_t total;
	uint64_t *count;	/* by function */
};

static struct function *function;
static size_t nr_functions;
static uint64_t *count;		/* since the run began */
static struct run run[RUNS];
static int nr_runs = -1;	/* the first does not count */
static int series;
static FILE *out;

static void start(unsigned int cpu, void *arg)
{
	memset(count, 0, nr_functions * sizeof(*count));
}

static void stop(unsigned int cpu, void *arg)
{
	size_t i, size = nr_functions * sizeof(*count);
	struct run *r;

	if (nr_runs == RUNS || nr_runs++ < 0)
		return;
	r = &run[nr_runs - 1];
	if (!r->count)
		r->count = malloc(size);
	if (!r->count)
		abort();
	memcpy(r->count, count, size);
	for (i = 0, r->total = 0; i < nr_functions; i++)
		r->total += count[i];
}

static int compare(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	return x->total < y->total ? -1 : x->total > y->total;
}

static void done(unsigned int cpu, void *arg)
{
	size_t i;

	series++;
	qsort(run, nr_runs, sizeof(*run), compare);
	for (i = 0; i < nr_functions; i++)
		if (run[nr_runs / 2].count[i])
			fprintf(out, "%d\t%lu\t%s\n", series, run[nr_runs / 2].count[i],
				function[i].name);
	fflush(out);
	nr_runs = -1;
}

typedef void (*mark_fn)(unsigned int cpu, void *arg);

/* nopl MARK(%rax): what to do about it, if that is what this instruction is. */
static mark_fn marked(struct qemu_plugin_insn *insn)
{
	static const uint8_t mark[] = { 0x0f, 0x1f, 0x80, 0, 'L', 'L', 'B' };
	static const mark_fn mark_fns[] = { start, stop, done };
	const uint8_t *byte = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != sizeof(mark) || memcmp(byte, mark, 3) ||
	    memcmp(byte + 4, mark + 4, 3))
		return NULL;
	return byte[3] < sizeof(mark_fns) / sizeof(*mark_fns) ? mark_fns[byte[3]] : NULL;
}

static size_t find(uint64_t address)
{
	size_t low = 0, high = nr_functions, mid;

	while (high - low > 1) {
		mid = (low + high) / 2;
		if (function[mid].start <= address)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct qemu_plugin_insn *insn;
	mark_fn mark;
	size_t i;

	for (i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		mark = marked(insn);
		if (mark)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, mark,
					QEMU_PLUGIN_CB_NO_REGS, NULL);
		else
			qemu_plugin_register_vcpu_insn_exec_inline(insn,
					QEMU_PLUGIN_INLINE_ADD_U64,
					&count[find(qemu_plugin_insn_vaddr(insn))], 1);
	}
}

static void add(uint64_t address, const char *name)
{
	/* One name for each address, the first. */
	if (nr_functions && function[nr_functions - 1].start == address)
		return;
	function = realloc(function, (nr_functions + 1) * sizeof(*function));
	if (!function)
		abort();
	function[nr_functions].start = address;
	function[nr_functions++].name = strdup(name);
}

/* It is sorted; a function ends where the next begins. */
static bool read_map(const char *path)
{
	FILE *map = fopen(path, "re");
	char type, name[512];
	uint64_t address;

	if (!map)
		return false;
	add(0, "-");
	while (fscanf(map, "%lx %c %511s", &address, &type, name) == 3)
		if (strchr("tTwW", type) && address >= 1ULL << 63)
			add(address, name);
	fclose(map);
	return nr_functions > 1;
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "map=", 4) && !read_map(argv[i] + 4))
			return -1;
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "we");
	}
	count = calloc(nr_functions, sizeof(*count));
	if (!out || !count)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease: messages, memory, and text for people.
 *
 * Names of files and processes hold any bytes, also such as would do something
 * to a terminal: put_safe() is the only way to print them.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "layout-lease.h"

void complain(const char *fmt, ...)
{
	va_list ap;

	fputs("layout-lease: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void *checked(void *p)
{
	if (!p) {
		complain("out of memory");
		exit(STATUS_FAILED);
	}
	return p;
}

char *text(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&s, fmt, ap);
	va_end(ap);
	return checked(len < 0 ? NULL : s);
}

/* Room for one more at the end of an array that grows by doubling. */
void *grow(void *array, size_t nr, size_t size)
{
	if (nr & (nr - 1))
		return array;
	return checked(realloc(array, (nr ? 2 * nr : 1) * size));
}

char *copy_string(const char *s)
{
	return checked(strdup(s));
}

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Bytes of the character at @s, 0 where it is no valid UTF-8. */
size_t utf8_length(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	if (u[0] < 0x80)
		return 1;
	if (u[0] >= 0xc2 && u[0] <= 0xdf)
		return is_tail(u[1]) ? 2 : 0;
	if ((u[0] & 0xf0) == 0xe0) {
		if (!is_tail(u[1]) || !is_tail(u[2]))
			return 0;
		/* too long for what it says; half of a surrogate pair */
		if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f))
			return 0;
		return 3;
	}
	if (u[0] >= 0xf0 && u[0] <= 0xf4) {
		if (!is_tail(u[1]) || !is_tail(u[2]) || !is_tail(u[3]))
			return 0;
		if ((u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
			return 0;
		return 4;
	}
	return 0;
}

static bool is_control(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	return u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0);
}

/* What is no printable UTF-8 as a backslash and three octal digits, as the kernel does. */
void put_safe(FILE *f, const char *s)
{
	size_t len;

	while (*s) {
		len = utf8_length(s);
		if (len && !is_control(s)) {
			fwrite(s, 1, len, f);
			s += len;
			continue;
		}
		for (len = len ? len : 1; len; len--)
			fprintf(f, "\\%03o", (unsigned char)*s++);
	}
}

char *safe(const char *s)
{
	char *result = NULL;
	size_t size;
	FILE *f = checked(open_memstream(&result, &size));

	put_safe(f, s);
	if (fclose(f))
		result = NULL;
	return checked(result);
}

char *range_text(const struct range *range)
{
	if (range->end == TO_END)
		return text("0x%llx-end", range->start);
	return text("0x%llx-0x%llx", range->start,
		    range->end);
}

/* @name is NULL where it is not known. */
char *process_text(int pid, const char *name)
{
	char *shown, *result;

	if (!name)
		return text("%d", pid);
	shown = safe(name);
	result = text("%d (%s)", pid, shown);
	free(shown);
	return result;
}

char *duration_text(__s64 ms)
{
	if (ms < 0)
		return text("no limit");
	if (ms < 60000)
		return text("%lld.%lld s", ms / 1000, ms % 1000 / 100);
	return text("%lld min %lld s", ms / 60000, ms / 1000 % 60);
}

void table_add(struct table *t, char *cell)
{
	t->cell = grow(t->cell, t->cells, sizeof(*t->cell));
	t->cell[t->cells++] = cell;
}

/* Characters, not bytes; wide ones count as one. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += !is_tail(*s);
	return n;
}

/* The last column is as wide as it likes. Frees the cells. */
void table_print(struct table *t)
{
	size_t *widths = checked(calloc(t->columns, sizeof(*widths)));
	size_t i, column, w;

	for (i = 0; i < t->cells; i++) {
		w = width(t->cell[i]);
		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (i = 0; i < t->cells; i++) {
		column = i % t->columns;
		fputs(t->cell[i], stdout);
		if (column == t->columns - 1)
			putchar('\n');
		else
			printf("%*s", (int)(widths[column] + 2 - width(t->cell[i])), "");
		free(t->cell[i]);
	}
	free(t->cell);
	free(widths);
	t->cell = NULL;
	t->cells = 0;
}

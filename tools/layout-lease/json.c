// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease: JSON.
 *
 * Numbers are numbers where they stay below 2^53, which many readers of JSON
 * cannot exceed. Offsets in files are not: they are strings, in the hexadecimal
 * that the kernel prints.
 */
#include "layout-lease.h"

static void put_string(FILE *f, const char *s)
{
	size_t len;

	fputc('"', f);
	for (; *s; s += len) {
		len = utf8_length(s);
		if (!len) {
			/* text, since JSON has no bytes: \377 */
			len = 1;
			fprintf(f, "\\\\%03o", (unsigned char)*s);
		} else if (*s == '"' || *s == '\\') {
			fprintf(f, "\\%c", *s);
		} else if ((unsigned char)*s < 0x20 || *s == 0x7f) {
			fprintf(f, "\\u%04x", (unsigned char)*s);
		} else {
			fwrite(s, 1, len, f);
		}
	}
	fputc('"', f);
}

static void put_name(struct json *j, const char *name)
{
	if (j->comma)
		fputc(',', j->f);
	j->comma = true;
	if (name) {
		put_string(j->f, name);
		fputc(':', j->f);
	}
}

/* @name is NULL inside an array. */
void json_open(struct json *j, const char *name, char bracket)
{
	put_name(j, name);
	fputc(bracket, j->f);
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	fputc(bracket, j->f);
	j->comma = true;
}

void json_string(struct json *j, const char *name, const char *value)
{
	put_name(j, name);
	if (value)
		put_string(j->f, value);
	else
		fputs("null", j->f);
}

void json_number(struct json *j, const char *name, __s64 value)
{
	put_name(j, name);
	fprintf(j->f, "%lld", value);
}

void json_count(struct json *j, const char *name, __u64 value)
{
	put_name(j, name);
	fprintf(j->f, "%llu", value);
}

void json_range(struct json *j, const struct range *range)
{
	put_name(j, "start");
	fprintf(j->f, "\"0x%llx\"", range->start);
	put_name(j, "end");
	fprintf(j->f, "\"0x%llx\"", range->end);
}

void json_file(struct json *j, const struct file_id *file)
{
	put_name(j, "dev");
	fprintf(j->f, "\"%u:%u\"", file->major, file->minor);
	json_count(j, "ino", file->ino);
}

/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

#define NAME_COLUMNS_MAX 40u
#define SECTOR_BYTES 512u
#define WHERE_ROOM 40

#define ROW_ROOM 2048 /* more than an error has */

struct row {
	const char *name, *verdict, *time, *speed, *pass, *where, *why;
};

static const char *verdict_of(const struct bmap_target_report *t)
{
	if (t->state == BMAP_TARGET_DONE)
		return t->read_back ? "read back" : "done";
	return t->state == BMAP_TARGET_INTERRUPTED ? "interrupted" : "failed";
}

const char *target_own_reason(const struct bmap_target_report *t)
{
	size_t len = strlen(t->name);

	if (!t->error || strncmp(t->error->text, t->name, len) != 0 ||
	    strncmp(t->error->text + len, ": ", 2) != 0)
		return NULL;
	return t->error->text + len + 2;
}

static const char *where(char out[WHERE_ROOM], const struct bmap_target_report *t)
{
	if (!target_own_reason(t) || !t->error->has_offset)
		return "";
	if (t->size_bytes)
		snprintf(out, WHERE_ROOM, "sector %" PRIu64, t->error->offset_bytes / SECTOR_BYTES);
	else
		snprintf(out, WHERE_ROOM, "byte %" PRIu64, t->error->offset_bytes);
	return out;
}

static const char *reason(const struct bmap_target_report *t, const struct bmap_error *job_error)
{
	const char *own = target_own_reason(t);

	if (own)
		return own;
	if (!t->error || (job_error && !strcmp(t->error->text, job_error->text)))
		return "";
	return t->error->text;
}

/* The widths are those of the longest value there is, nearly. An info line begins a blank later, as
 * the word "info" is a letter shorter than "ERROR". */
static void print_row(struct output *out, bool failed, int name_columns, const struct row *row)
{
	char text[ROW_ROOM];
	size_t len;

	snprintf(text, sizeof(text), "%-*s  %-11s  %9s  %15s  %4s  %-17s  %s", name_columns,
		 row->name, row->verdict, row->time, row->speed, row->pass, row->where, row->why);
	for (len = strlen(text); len && text[len - 1] == ' '; len--)
		text[len - 1] = '\0';
	output_message(out, failed ? BMAP_LOG_ERROR : BMAP_LOG_INFO, failed ? "%s" : " %s", text);
}

static void print_target(struct output *out, const struct bmap_target_report *t, int name_columns,
			 const struct bmap_error *job_error)
{
	char name[NAME_COLUMNS_MAX + 1], place[WHERE_ROOM], pass[TEXT_ROOM] = "";
	char time[TEXT_ROOM] = "", speed[TEXT_ROOM] = "";

	text_tail(name, (size_t)name_columns, t->name);
	if (t->pass)
		snprintf(pass, sizeof(pass), "%u", t->pass);
	if (t->pass && t->ended_ns > t->begun_ns)
		text_time(time, t->ended_ns - t->begun_ns);
	if (t->completed_bytes)
		text_speed(speed, t->completed_bytes, t->busy_ns);
	print_row(out, t->error != NULL, name_columns,
		  &(struct row){ name, verdict_of(t), time, speed, pass, where(place, t),
				 reason(t, job_error) });
}

void target_table_print(struct output *out, const struct bmap_flash_result *result,
			const struct bmap_error *job_error)
{
	static const struct row heads = { "target", "verdict", "time", "speed",
					  "pass",   "where",   "why" };
	size_t columns = strlen(heads.name);

	for (size_t i = 0; i < result->target_count; i++) {
		size_t len = strlen(result->targets[i].name);

		if (len > columns)
			columns = len < NAME_COLUMNS_MAX ? len : NAME_COLUMNS_MAX;
	}
	print_row(out, false, (int)columns, &heads);
	for (size_t i = 0; i < result->target_count; i++)
		print_target(out, &result->targets[i], (int)columns, job_error);
}

/* SPDX-License-Identifier: MIT */
#include "cli/tray.h"
#include "cli/progress.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MIN 56u /* below that a line says too little */
#define NAME_COLUMNS_MIN 8u
#define STATE_COLUMNS 30u /* "writing (pass 2), 1:02:03 left" */
#define STATE_COLUMNS_MIN 16u
#define BAR_COLUMNS_MIN 8u
#define BAR_COLUMNS_MAX 30u
#define SHARE_COLUMNS 4u /* "100%" */
#define SIZE_COLUMNS 11u /* "1023.9 MiB", where no share is known */
#define SPEED_COLUMNS 12u /* "1023.9 MiB/s" */
#define GAP 2u

struct layout {
	size_t columns; /* of a line in all */
	size_t name, amount, bar; /* bar 0: none */
};

/* The order in which the summary counts. */
static const enum bmap_target_state states[] = {
	BMAP_TARGET_WAITING,      BMAP_TARGET_WRITING, BMAP_TARGET_WRITTEN,  BMAP_TARGET_FLUSHING,
	BMAP_TARGET_READING_BACK, BMAP_TARGET_HEAD,    BMAP_TARGET_DETACHED, BMAP_TARGET_DONE,
	BMAP_TARGET_INTERRUPTED,  BMAP_TARGET_FAILED,
};

static const char *word_of(enum bmap_target_state state)
{
	static const char *const words[] = {
		[BMAP_TARGET_WAITING] = "waiting",
		[BMAP_TARGET_WRITING] = "writing",
		[BMAP_TARGET_WRITTEN] = "written",
		[BMAP_TARGET_FLUSHING] = "flushing",
		[BMAP_TARGET_READING_BACK] = "reading back",
		[BMAP_TARGET_HEAD] = "finishing",
		[BMAP_TARGET_DETACHED] = "detached",
		[BMAP_TARGET_DONE] = "done",
		[BMAP_TARGET_FAILED] = "failed",
		[BMAP_TARGET_INTERRUPTED] = "interrupted",
	};

	return words[state];
}

size_t tray_room(size_t count)
{
	return (count + 1) * (OUTPUT_MAX_COLUMNS + 1);
}

static bool lay_out(struct layout *l, struct output_size size, const struct tray_view *v)
{
	size_t fixed, longest = NAME_COLUMNS_MIN;

	/* A row stays free below, as a column does at the right: full ones scroll and wrap. */
	if (size.columns < COLUMNS_MIN || v->count + 1 >= size.rows)
		return false;
	for (size_t i = 0; i < v->count; i++) {
		size_t len = strlen(v->lines[i].name);

		if (len > longest)
			longest = len;
	}
	l->columns = size.columns - 1;
	l->amount = v->total_bytes ? SHARE_COLUMNS : SIZE_COLUMNS;
	fixed = GAP + l->amount + GAP + SPEED_COLUMNS + GAP;
	/* The name may take a third, and the room that the state can do without. */
	l->name = l->columns / 3;
	if (l->name + fixed + STATE_COLUMNS_MIN > l->columns)
		l->name = l->columns - fixed - STATE_COLUMNS_MIN;
	if (longest < l->name)
		l->name = longest;
	fixed += l->name + STATE_COLUMNS + 1;
	l->bar = v->total_bytes && l->columns >= fixed + BAR_COLUMNS_MIN ? l->columns - fixed : 0;
	if (l->bar > BAR_COLUMNS_MAX)
		l->bar = BAR_COLUMNS_MAX;
	return true;
}

/* What it does, and for how long, still or already. */
static void compose_state(char *out, size_t room, const struct tray_line *line)
{
	const char *word = word_of(line->state);
	char pass[32] = "", time[TEXT_ROOM];

	if (line->pass > 1)
		snprintf(pass, sizeof(pass), " (pass %u)", line->pass);
	switch (line->state) {
	case BMAP_TARGET_WRITING:
	case BMAP_TARGET_READING_BACK:
		if (line->left_s != TRAY_NOT_KNOWN)
			snprintf(out, room, "%s%s, %s left", word, pass,
				 text_clock(time, line->left_s));
		else
			snprintf(out, room, "%s%s", word, pass);
		break;
	case BMAP_TARGET_FLUSHING:
		snprintf(out, room, "%s %s", word, text_clock(time, line->state_ns / NS_PER_S));
		break;
	case BMAP_TARGET_DETACHED:
		snprintf(out, room, "%s (pass %u follows)", word, line->pass + 1);
		break;
	case BMAP_TARGET_DONE:
		snprintf(out, room, "%s in %s", word, text_time(time, line->state_ns));
		break;
	case BMAP_TARGET_FAILED:
		snprintf(out, room, "%s%s%s", word, line->reason ? ": " : "",
			 line->reason ? line->reason : "");
		break;
	default:
		snprintf(out, room, "%s%s", word, pass);
	}
}

static bool moves(enum bmap_target_state state)
{
	return state == BMAP_TARGET_WRITING || state == BMAP_TARGET_READING_BACK;
}

static size_t compose_line(char *out, const struct layout *l, const struct tray_view *v,
			   const struct tray_line *line)
{
	char name[OUTPUT_MAX_COLUMNS + 1], amount[TEXT_ROOM], bar[BAR_COLUMNS_MAX + 2] = "";
	char speed[TEXT_ROOM] = "", state[OUTPUT_MAX_COLUMNS + 1];
	unsigned percent = v->total_bytes ? percent_of(line->done_bytes, v->total_bytes) : 0;
	char text[4 * OUTPUT_MAX_COLUMNS];
	size_t len;

	text_tail(name, l->name, line->name);
	if (v->total_bytes)
		snprintf(amount, sizeof(amount), "%u%%", percent);
	else
		text_size(amount, line->done_bytes);
	if (l->bar) {
		bar[0] = ' ';
		text_bar(bar + 1, l->bar, percent);
	}
	if (moves(line->state))
		snprintf(speed, sizeof(speed), "%.1f MiB/s",
			 (double)line->bytes_per_s / (1024.0 * 1024.0));
	compose_state(state, sizeof(state), line);
	snprintf(text, sizeof(text), "%-*s  %*s%s  %*s  %s", (int)l->name, name, (int)l->amount,
		 amount, bar, (int)SPEED_COLUMNS, speed, state);
	len = text_clean(out, l->columns, text);
	out[len] = '\0';
	return len;
}

bool tray_render(char *out, struct output_size size, const struct tray_view *v)
{
	struct layout l;
	size_t len = 0;

	if (!lay_out(&l, size, v))
		return false;
	for (size_t i = 0; i < v->count; i++) {
		len += compose_line(out + len, &l, v, &v->lines[i]);
		out[len++] = '\n';
	}
	tray_summary(out + len, size.columns, v);
	return true;
}

/* Puts it behind what is there if it fits; what does not fit is not missed. */
static void append(char *out, size_t room, const char *text)
{
	size_t len = strlen(out);

	if (len + strlen(text) <= room)
		strcpy(out + len, text);
}

static void append_counts(char *out, size_t room, const struct tray_view *v)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		char text[TEXT_ROOM];
		size_t count = 0;

		for (size_t k = 0; k < v->count; k++)
			count += v->lines[k].state == states[i];
		snprintf(text, sizeof(text), ", %zu %s", count, word_of(states[i]));
		if (count)
			append(out, room, text);
	}
}

/* Until the last of those that move has ended its step; not known if it is not known of one. */
static uint64_t longest_left(const struct tray_view *v)
{
	uint64_t left = 0;

	for (size_t i = 0; i < v->count; i++)
		if (moves(v->lines[i].state) && v->lines[i].left_s > left)
			left = v->lines[i].left_s;
	return left ? left : TRAY_NOT_KNOWN;
}

void tray_summary(char out[TRAY_SUMMARY_ROOM], unsigned columns, const struct tray_view *v)
{
	size_t room = columns > 1 ? columns - 1 : 1;
	char text[2 * TEXT_ROOM], number[TEXT_ROOM];
	uint64_t left = longest_left(v);

	if (room > OUTPUT_MAX_COLUMNS)
		room = OUTPUT_MAX_COLUMNS;
	if (v->total_bytes)
		snprintf(out, room + 1, PROGRESS_PREFIX "%u%% copied", v->percent);
	else
		snprintf(out, room + 1, PROGRESS_PREFIX "%s copied",
			 text_size(number, v->done_bytes));
	append_counts(out, room, v);
	if (v->bytes_per_s) {
		snprintf(text, sizeof(text), ", %.1f MiB/s",
			 (double)v->bytes_per_s / (1024.0 * 1024.0));
		append(out, room, text);
	}
	if (left != TRAY_NOT_KNOWN) {
		snprintf(text, sizeof(text), ", %s left", text_clock(number, left));
		append(out, room, text);
	}
}

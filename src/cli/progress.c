/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BAR_MIN 8u /* with its brackets; below that it says nothing */
#define BAR_MAX 42u

static void compose_head(char *out, size_t room, const struct progress_view *v);
static size_t compose_tail(char *out, size_t room, size_t fit, const struct progress_view *v);

/* All there is to do in the step that the view shows; 0: not known. */
static uint64_t step_total(const struct progress_view *v)
{
	return v->reading_back && !v->total_bytes ? v->done_bytes : v->total_bytes;
}

static uint64_t step_done(const struct progress_view *v)
{
	return v->reading_back ? v->read_back_bytes : v->done_bytes;
}

void progress_render(char *out, unsigned columns, const struct progress_view *v)
{
	char tail[128];
	size_t room = columns > 1 ? columns - 1 : 1;
	size_t len, tail_len;

	if (room > OUTPUT_MAX_COLUMNS)
		room = OUTPUT_MAX_COLUMNS;
	compose_head(out, OUTPUT_MAX_COLUMNS + 1, v);
	len = strlen(out);
	if (len >= room) {
		out[room] = '\0';
		return;
	}
	tail_len = compose_tail(tail, sizeof(tail), room - len, v);
	if (step_total(v) && room - len - tail_len > BAR_MIN) {
		size_t width = room - len - tail_len - 1;

		if (width > BAR_MAX)
			width = BAR_MAX;
		out[len++] = ' ';
		text_bar(out + len, width, percent_of(step_done(v), step_total(v)));
		len += width;
	}
	memcpy(out + len, tail, tail_len + 1);
}

static void compose_head(char *out, size_t room, const struct progress_view *v)
{
	char size[TEXT_ROOM];
	int n;

	if (v->total_bytes)
		n = snprintf(out, room, PROGRESS_PREFIX "%u%% %s",
			     percent_of(v->done_bytes, v->total_bytes), v->verb);
	else
		n = snprintf(out, room, PROGRESS_PREFIX "%s %s", text_size(size, v->done_bytes),
			     v->verb);
	if (v->reading_back)
		snprintf(out + n, room - (size_t)n, ", reading back %u%%",
			 percent_of(v->read_back_bytes, step_total(v)));
}

static void compose_left(char *out, size_t room, const struct progress_view *v)
{
	/* Between the two speeds: steadier than the one, quicker than the other. What has become
	 * much slower is believed at once. */
	uint64_t speed = v->now_bytes_per_s / 2 + v->average_bytes_per_s / 2;
	char clock[TEXT_ROOM];

	if (v->now_bytes_per_s < v->average_bytes_per_s / 2)
		speed = v->now_bytes_per_s;
	*out = '\0';
	if (v->finished)
		return;
	if (step_done(v) < step_total(v) && speed) {
		text_clock(clock, (step_total(v) - step_done(v)) / speed);
		snprintf(out, room, ", %s left", clock);
	} else if (!step_total(v) && v->source_total_bytes) {
		snprintf(out, room, ", %u%% of the source read",
			 percent_of(v->source_read_bytes, v->source_total_bytes));
	}
}

/* As much of the text behind the bar as fits in fit columns; returns its length. */
static size_t compose_tail(char *out, size_t room, size_t fit, const struct progress_view *v)
{
	const double mib = 1024.0 * 1024.0;
	char clock[TEXT_ROOM], now[40], average[40], left[60];
	int n;

	if (v->flushing) {
		text_clock(clock, v->flushing_ns / NS_PER_S);
		n = snprintf(out, room, ", flushing the device's cache %s", clock);
		if ((size_t)n > fit)
			n = snprintf(out, room, ", flushing");
	} else {
		snprintf(now, sizeof(now), ", %.1f MiB/s", (double)v->now_bytes_per_s / mib);
		snprintf(average, sizeof(average), v->finished ? ", %.1f MiB/s" : " (average %.1f)",
			 (double)v->average_bytes_per_s / mib);
		if (v->finished)
			*now = '\0';
		compose_left(left, sizeof(left), v);
		n = snprintf(out, room, "%s%s%s", now, average, left);
		/* Shorter, so that there is a bar as well. */
		if ((size_t)n + BAR_MIN + 1 > fit && !v->finished)
			n = snprintf(out, room, "%s%s", now, left);
		if ((size_t)n > fit)
			n = snprintf(out, room, "%s", v->finished ? average : now);
	}
	if ((size_t)n > fit)
		n = 0;
	out[n] = '\0';
	return (size_t)n;
}

void progress_init(struct progress *p, struct output *out, const char *verb)
{
	*p = (struct progress){ .out = out, .view = { .verb = verb } };
}

static void measure_speed(struct progress *p, uint64_t now_ns)
{
	struct progress_view *v = &p->view;
	uint64_t start_ns = v->reading_back ? p->read_back_start_ns : p->start_ns;

	v->now_bytes_per_s = speed_update(&p->speed, now_ns, step_done(v));
	v->average_bytes_per_s = speed_per_second(step_done(v), now_ns - start_ns);
}

void progress_begin(struct progress *p, uint64_t now_ns)
{
	p->start_ns = now_ns;
	measure_speed(p, now_ns);
}

static void draw(struct progress *p)
{
	char line[OUTPUT_MAX_COLUMNS + 1];

	if (!p->out->live)
		return;
	progress_render(line, output_size(p->out).columns, &p->view);
	output_draw(p->out, line);
}

static void begin_read_back(struct progress *p, uint64_t now_ns)
{
	p->read_back_start_ns = now_ns;
	p->written_per_s = p->view.average_bytes_per_s;
	p->speed = (struct speed){ 0 };
	p->view.read_back_bytes = 0;
}

void progress_note(struct progress *p, uint64_t now_ns, const struct progress_facts *facts)
{
	struct progress_view *v = &p->view;

	p->reported = true;
	if (!p->start_ns)
		p->start_ns = now_ns;
	if (facts->flushing && !v->flushing)
		p->flush_start_ns = now_ns;
	if (facts->reading_back && !v->reading_back)
		begin_read_back(p, now_ns);
	/* What was shown is never taken back. */
	if (facts->done_bytes > v->done_bytes)
		v->done_bytes = facts->done_bytes;
	if (facts->read_back_bytes > v->read_back_bytes)
		v->read_back_bytes = facts->read_back_bytes;
	v->total_bytes = facts->total_bytes;
	v->source_read_bytes = facts->source_read_bytes;
	v->source_total_bytes = facts->source_total_bytes;
	v->reading_back |= facts->reading_back;
	v->flushing = facts->flushing;
	v->flushing_ns = facts->flushing ? now_ns - p->flush_start_ns : 0;
	measure_speed(p, now_ns);
	if (p->psplash && v->total_bytes)
		psplash_send(p->psplash, percent_of(v->done_bytes, v->total_bytes));
	else if (p->psplash && v->source_total_bytes)
		/* 100 is said by progress_end(): a source is read before it is written. */
		psplash_send(p->psplash,
			     percent_of(v->source_read_bytes, v->source_total_bytes + 1));
}

void progress_show(struct progress *p, uint64_t now_ns, const struct progress_facts *facts)
{
	progress_note(p, now_ns, facts);
	draw(p);
}

void progress_update(struct progress *p, uint64_t now_ns, uint64_t done_bytes, uint64_t total_bytes)
{
	progress_show(
		p, now_ns,
		&(struct progress_facts){ .done_bytes = done_bytes, .total_bytes = total_bytes });
}

void progress_finish(struct progress *p)
{
	struct progress_view *v = &p->view;

	if (v->total_bytes)
		v->done_bytes = v->total_bytes;
	if (v->reading_back)
		v->average_bytes_per_s = p->written_per_s;
	v->finished = true;
	v->flushing = v->reading_back = false;
}

void progress_end(struct progress *p, bool success)
{
	if (success && p->reported) {
		progress_finish(p);
		draw(p);
	}
	output_end_line(p->out);
	if (success && p->psplash)
		psplash_send(p->psplash, 100);
}

uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

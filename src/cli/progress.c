/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PREFIX "bmaptool: info: "
#define BAR_MIN 8u /* with its brackets; below that it says nothing */
#define BAR_MAX 42u
#define NS_PER_S 1000000000u

static void compose_head(char *out, size_t room, const struct progress_view *v);
static size_t compose_tail(char *out, size_t room, size_t fit, const struct progress_view *v);
static void compose_bar(char *out, size_t width, unsigned percent);

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
	if (v->total_bytes && room - len - tail_len > BAR_MIN) {
		size_t width = room - len - tail_len - 1;

		if (width > BAR_MAX)
			width = BAR_MAX;
		out[len++] = ' ';
		compose_bar(out + len, width, percent_of(v->done_bytes, v->total_bytes));
		len += width;
	}
	memcpy(out + len, tail, tail_len + 1);
}

static void compose_head(char *out, size_t room, const struct progress_view *v)
{
	char size[TEXT_ROOM];

	if (v->total_bytes)
		snprintf(out, room, PREFIX "%u%% %s", percent_of(v->done_bytes, v->total_bytes),
			 v->verb);
	else
		snprintf(out, room, PREFIX "%s %s", text_size(size, v->done_bytes), v->verb);
}

/* "0:07", "1:02:03": hours are allowed here, no script reads it. */
static void compose_clock(char out[TEXT_ROOM], uint64_t seconds)
{
	if (seconds >= 3600)
		snprintf(out, TEXT_ROOM, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600,
			 seconds / 60 % 60, seconds % 60);
	else
		snprintf(out, TEXT_ROOM, "%" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
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
	if (v->total_bytes && v->done_bytes < v->total_bytes && speed) {
		compose_clock(clock, (v->total_bytes - v->done_bytes) / speed);
		snprintf(out, room, ", %s left", clock);
	} else if (!v->total_bytes && v->source_total_bytes) {
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
		compose_clock(clock, v->flushing_ns / NS_PER_S);
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

static void compose_bar(char *out, size_t width, unsigned percent)
{
	size_t inside = width - 2;
	size_t full = inside * percent / 100;

	out[0] = '[';
	memset(out + 1, '#', full);
	memset(out + 1 + full, '.', inside - full);
	out[width - 1] = ']';
	out[width] = '\0';
}

void progress_init(struct progress *p, struct output *out, const char *verb)
{
	*p = (struct progress){ .out = out, .view = { .verb = verb } };
}

static uint64_t per_second(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * NS_PER_S / (double)ns) : 0;
}

static void measure_speed(struct progress *p, uint64_t now_ns)
{
	struct progress_view *v = &p->view;
	unsigned newest = p->samples % PROGRESS_SAMPLES;
	unsigned oldest;

	p->sample[newest].at_ns = now_ns;
	p->sample[newest].done_bytes = v->done_bytes;
	p->samples++;
	oldest = p->samples < PROGRESS_SAMPLES ? 0 : p->samples % PROGRESS_SAMPLES;
	v->now_bytes_per_s = per_second(v->done_bytes - p->sample[oldest].done_bytes,
					now_ns - p->sample[oldest].at_ns);
	v->average_bytes_per_s = per_second(v->done_bytes, now_ns - p->start_ns);
}

void progress_begin(struct progress *p, uint64_t now_ns)
{
	p->start_ns = now_ns;
	measure_speed(p, now_ns);
}

void progress_update(struct progress *p, uint64_t now_ns, uint64_t done_bytes, uint64_t total_bytes)
{
	progress_update_source(p, now_ns, done_bytes, total_bytes, 0, 0, false);
}

static void draw(struct progress *p)
{
	char line[OUTPUT_MAX_COLUMNS + 1];

	if (!p->out->live)
		return;
	progress_render(line, output_columns(p->out), &p->view);
	output_draw(p->out, line);
}

void progress_update_source(struct progress *p, uint64_t now_ns, uint64_t done_bytes,
			    uint64_t total_bytes, uint64_t source_read_bytes,
			    uint64_t source_total_bytes, bool flushing)
{
	struct progress_view *v = &p->view;

	p->reported = true;
	if (!p->start_ns)
		p->start_ns = now_ns;
	if (flushing && !v->flushing)
		p->flush_start_ns = now_ns;
	/* What was shown is never taken back. */
	if (done_bytes > v->done_bytes)
		v->done_bytes = done_bytes;
	v->total_bytes = total_bytes;
	v->source_read_bytes = source_read_bytes;
	v->source_total_bytes = source_total_bytes;
	v->flushing = flushing;
	v->flushing_ns = flushing ? now_ns - p->flush_start_ns : 0;
	measure_speed(p, now_ns);
	draw(p);
	if (p->psplash && total_bytes)
		psplash_send(p->psplash, percent_of(v->done_bytes, total_bytes));
	else if (p->psplash && source_total_bytes)
		/* 100 is said by progress_end(): a source is read before it is written. */
		psplash_send(p->psplash, percent_of(source_read_bytes, source_total_bytes + 1));
}

void progress_end(struct progress *p, bool success)
{
	if (success && p->reported) {
		p->view.done_bytes = p->view.total_bytes ? p->view.total_bytes : p->view.done_bytes;
		p->view.finished = true;
		p->view.flushing = false;
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

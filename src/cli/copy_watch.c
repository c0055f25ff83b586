/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

#define STATE_NAMES_ROOM 700 /* of the text that a second signal prints */
#define PLAIN_INTERVAL_NS (10 * NS_PER_S)

static void watch_one(struct copy_watch *watch, const struct bmap_flash_progress *report,
		      uint64_t now_ns);
static void watch_several(struct copy_watch *watch, const struct bmap_flash_progress *report,
			  uint64_t now_ns);

void copy_watch_begin(struct copy_watch *watch, struct output *out, const char *psplash_pipe,
		      const char *const *targets, size_t target_count)
{
	*watch = (struct copy_watch){ .out = out };
	progress_init(&watch->progress, out, "copied");
	if (psplash_pipe) {
		psplash_open(&watch->psplash, psplash_pipe, out);
		watch->progress.psplash = &watch->psplash;
	}
	if (target_count == 1) {
		signals_set_state("nothing was written to %.500s", targets[0]);
		return;
	}
	signals_set_state("nothing was written to any of %zu targets", target_count);
	watch->lines = calloc(target_count, sizeof(*watch->lines));
	watch->meters = calloc(target_count, sizeof(*watch->meters));
	watch->text = malloc(tray_room(target_count));
	watch->view.lines = watch->lines;
	watch->view.count = target_count;
}

void copy_watch_report(void *user, const struct bmap_flash_progress *report)
{
	struct copy_watch *watch = user;

	if (report->target_count == 1)
		watch_one(watch, report, monotonic_ns());
	else
		watch_several(watch, report, monotonic_ns());
}

/* Of a tray only the summary stays on the terminal: the table that follows says the rest. */
void copy_watch_end(struct copy_watch *watch, bool success)
{
	char line[TRAY_SUMMARY_ROOM];

	if (watch->lines && watch->progress.reported && watch->out->live) {
		if (success)
			watch->view.percent = 100;
		tray_summary(line, output_size(watch->out).columns, &watch->view);
		output_draw(watch->out, line);
		watch->progress.reported = false; /* nothing more to draw */
	}
	progress_end(&watch->progress, success);
	if (watch->progress.psplash)
		psplash_close(&watch->psplash);
	free(watch->lines);
	free(watch->meters);
	free(watch->text);
}

static bool is_lost(const struct bmap_target_report *t)
{
	return t->state == BMAP_TARGET_FAILED || t->state == BMAP_TARGET_INTERRUPTED;
}

/* --- one target --- */

static void watch_one(struct copy_watch *watch, const struct bmap_flash_progress *report,
		      uint64_t now_ns)
{
	const struct bmap_target_report *t = &report->targets[0];
	char written[TEXT_ROOM], total[TEXT_ROOM];
	const struct progress_facts facts = {
		.done_bytes = is_lost(t) ? 0 : t->completed_bytes,
		.total_bytes = report->total_bytes,
		.source_read_bytes = report->source_read_bytes,
		.source_total_bytes = report->source_total_bytes,
		.read_back_bytes = t->read_back_bytes,
		.flushing = t->state == BMAP_TARGET_FLUSHING || t->state == BMAP_TARGET_HEAD,
		.reading_back = t->state == BMAP_TARGET_READING_BACK,
	};

	progress_show(&watch->progress, now_ns, &facts);
	if (report->total_bytes)
		signals_set_state("%.500s is incomplete: %s of %s written", t->name,
				  text_size(written, facts.done_bytes),
				  text_size(total, report->total_bytes));
	else
		signals_set_state("%.500s is incomplete: %s written", t->name,
				  text_size(written, facts.done_bytes));
}

/* --- several --- */

/* "... /dev/sdb, /dev/sdd and 3 more", as far as the text takes them. */
static void set_state_of_several(const struct bmap_flash_progress *report)
{
	char names[STATE_NAMES_ROOM] = "";
	size_t len = 0, incomplete = 0, left_out = 0;

	for (size_t i = 0; i < report->target_count; i++) {
		const struct bmap_target_report *t = &report->targets[i];

		if (t->state == BMAP_TARGET_DONE)
			continue;
		incomplete++;
		if (len + strlen(t->name) + 2 >= sizeof(names))
			left_out++;
		else
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? ", " : "", t->name);
	}
	if (left_out)
		signals_set_state("incomplete are %zu of %zu targets: %s and %zu more", incomplete,
				  report->target_count, names, left_out);
	else
		signals_set_state("incomplete are %zu of %zu targets: %s", incomplete,
				  report->target_count, names);
}

/* Who stands beside the tray shall know at once. What ends all is said at the end, once. */
static void say_failed(struct copy_watch *watch, struct target_meter *meter,
		       const struct bmap_target_report *t)
{
	if (meter->said_failed || t->state != BMAP_TARGET_FAILED)
		return;
	meter->said_failed = true;
	if (target_own_reason(t))
		output_info(watch->out, "%s", t->error->text);
}

static void measure_target(struct copy_watch *watch, size_t i, const struct bmap_target_report *t,
			   const struct bmap_flash_progress *report, uint64_t now_ns)
{
	struct target_meter *meter = &watch->meters[i];
	bool reading_back = t->state == BMAP_TARGET_READING_BACK;
	struct tray_line line = {
		.name = t->name,
		.state = t->state,
		.pass = t->pass,
		.done_bytes = reading_back ? t->read_back_bytes : t->completed_bytes,
		.left_s = TRAY_NOT_KNOWN,
		.reason = target_own_reason(t),
	};

	if (!meter->since_ns || meter->state != t->state || meter->pass != t->pass)
		*meter = (struct target_meter){ .state = t->state,
						.pass = t->pass,
						.since_ns = now_ns };
	line.state_ns =
		t->state == BMAP_TARGET_DONE ? t->ended_ns - t->begun_ns : now_ns - meter->since_ns;
	line.bytes_per_s = speed_update(&meter->speed, now_ns, line.done_bytes);
	if (report->total_bytes > line.done_bytes && line.bytes_per_s)
		line.left_s = (report->total_bytes - line.done_bytes) / line.bytes_per_s;
	watch->lines[i] = line;
	say_failed(watch, meter, t);
}

/* All that are still in the running, as one job. */
static void measure_all(struct copy_watch *watch, const struct bmap_flash_progress *report,
			uint64_t now_ns)
{
	struct progress_facts facts = {
		.source_read_bytes = report->source_read_bytes,
		.source_total_bytes = report->source_total_bytes,
	};
	struct tray_view *view = &watch->view;
	const struct progress_view *all = &watch->progress.view;

	for (size_t i = 0; i < report->target_count; i++) {
		if (is_lost(&report->targets[i]))
			continue;
		facts.done_bytes += report->targets[i].completed_bytes;
		facts.total_bytes += report->total_bytes;
	}
	progress_note(&watch->progress, now_ns, &facts);
	view->total_bytes = report->total_bytes;
	view->done_bytes = all->done_bytes;
	view->bytes_per_s = 0;
	for (size_t i = 0; i < view->count; i++)
		if (view->lines[i].state == BMAP_TARGET_WRITING ||
		    view->lines[i].state == BMAP_TARGET_READING_BACK)
			view->bytes_per_s += view->lines[i].bytes_per_s;
	if (all->total_bytes && percent_of(all->done_bytes, all->total_bytes) > view->percent)
		view->percent = percent_of(all->done_bytes, all->total_bytes);
}

static void show_tray(struct copy_watch *watch, uint64_t now_ns)
{
	struct output_size size = output_size(watch->out);
	char line[TRAY_SUMMARY_ROOM];

	if (watch->out->live) {
		if (!tray_render(watch->text, size, &watch->view))
			tray_summary(watch->text, size.columns, &watch->view);
		output_draw(watch->out, watch->text);
	} else if (!watch->out->events && now_ns - watch->said_ns >= PLAIN_INTERVAL_NS) {
		watch->said_ns = now_ns;
		tray_summary(line, sizeof(line), &watch->view);
		output_info(watch->out, "%s", line + strlen(PROGRESS_PREFIX));
	}
}

static void watch_several(struct copy_watch *watch, const struct bmap_flash_progress *report,
			  uint64_t now_ns)
{
	set_state_of_several(report);
	if (!watch->lines || !watch->meters || !watch->text)
		return; /* no memory for what is only decoration */
	if (!watch->said_ns)
		watch->said_ns = now_ns;
	for (size_t i = 0; i < report->target_count; i++)
		measure_target(watch, i, &report->targets[i], report, now_ns);
	measure_all(watch, report, now_ns);
	show_tray(watch, now_ns);
}

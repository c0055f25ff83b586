/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <string.h>

#define STATE_NAMES_ROOM 700 /* of the text that a second signal prints */

void copy_watch_begin(struct copy_watch *watch, struct output *out, const char *psplash_pipe,
		      const char *const *targets, size_t target_count)
{
	progress_init(&watch->progress, out, "copied");
	if (psplash_pipe) {
		psplash_open(&watch->psplash, psplash_pipe, out);
		watch->progress.psplash = &watch->psplash;
	}
	if (target_count == 1)
		signals_set_state("nothing was written to %.500s", targets[0]);
	else
		signals_set_state("nothing was written to any of %zu targets", target_count);
}

void copy_watch_end(struct copy_watch *watch, bool success)
{
	progress_end(&watch->progress, success);
	if (watch->progress.psplash)
		psplash_close(&watch->psplash);
}

/* The bytes that every target still in the running has, and whether all of those only wait. */
static void summarise_targets(const struct bmap_flash_progress *report, uint64_t *done,
			      bool *flushing)
{
	bool any = false;

	*done = 0;
	*flushing = true;
	for (size_t i = 0; i < report->target_count; i++) {
		const struct bmap_target_report *t = &report->targets[i];

		if (t->state == BMAP_TARGET_FAILED || t->state == BMAP_TARGET_INTERRUPTED)
			continue;
		if (!any || t->completed_bytes < *done)
			*done = t->completed_bytes;
		any = true;
		if (t->state != BMAP_TARGET_FLUSHING && t->state != BMAP_TARGET_HEAD)
			*flushing = false;
	}
	if (!any)
		*flushing = false;
}

/* "/dev/sdb, /dev/sdd and 3 more are incomplete", as far as a line takes them. */
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

static void set_state_of_one(const struct bmap_flash_progress *report, uint64_t done)
{
	const char *name = report->targets[0].name;
	char written[TEXT_ROOM], total[TEXT_ROOM];

	if (report->total_bytes)
		signals_set_state("%.500s is incomplete: %s of %s written", name,
				  text_size(written, done), text_size(total, report->total_bytes));
	else
		signals_set_state("%.500s is incomplete: %s written", name,
				  text_size(written, done));
}

void copy_watch_report(void *user, const struct bmap_flash_progress *report)
{
	struct copy_watch *watch = user;
	uint64_t done;
	bool flushing;

	summarise_targets(report, &done, &flushing);
	progress_update_source(&watch->progress, monotonic_ns(), done, report->total_bytes,
			       report->source_read_bytes, report->source_total_bytes, flushing);
	if (report->target_count == 1)
		set_state_of_one(report, done);
	else
		set_state_of_several(report);
}

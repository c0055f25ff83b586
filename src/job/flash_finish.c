/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/clock.h"
#include "job/flash_internal.h"

#include <inttypes.h>
#include <stdlib.h>

static void log_counters(const struct flash *flash)
{
	const struct bmap_log *log = flash->options->log;
	const struct flash_pass *pass = &flash->pass;
	struct write_stage_counters counters;
	struct ring_counters ring;

	write_stage_counters(pass->writing, &counters);
	ring_counters(pass->stream.ring, &ring);
	log_debug(log,
		  "io engine %s: %" PRIu64 " requests, %" PRIu64 " from registered memory, %" PRIu64
		  " submitted again, %" PRIu64 " edge sectors, longest submit %" PRIu64 " us",
		  counters.engine, counters.io.requests, counters.io.fixed, counters.io.resubmitted,
		  counters.edge_writes, counters.io.longest_submit_ns / 1000);
	log_debug(log,
		  "ring: huge pages %s, decoder waited %" PRIu64 " ms for room, consumers %" PRIu64
		  " ms for data",
		  ring.huge_pages ? "yes" : "no", ring.room_wait_ns / NS_PER_MS,
		  ring.data_wait_ns / NS_PER_MS);
	for (size_t i = 0; i < pass->lane_count; i++) {
		struct lane_status status;

		write_stage_status(pass->writing, i, &status);
		log_debug(log, "%s: O_DIRECT %s, window %u requests, largest %u",
			  pass->lanes[i]->name, pass->lanes[i]->direct ? "yes" : "no",
			  status.window, status.largest_window);
	}
}

/* A target that was stopped says what it left behind; why is the job's to say. */
static void say_incomplete(struct flash_target *target)
{
	bmap_error_set(target->error, BMAP_ERR_INTERRUPTED,
		       "%s: interrupted, incomplete: %" PRIu64 " bytes were written%s",
		       target->target.name, target->report->completed_bytes,
		       target->target.head_zeroed
			       ? ", its first MiB was left zeroed so that it cannot boot"
			       : "");
	target->report->error = target->error;
}

void flash_judge(struct flash *flash)
{
	struct bmap_flash_result *result = flash->result;
	struct flash_pass *pass = &flash->pass;

	log_counters(flash);
	flash_keep_file_digest(flash);
	flash_read_lanes(flash);
	for (size_t i = 0; i < pass->lane_count; i++) {
		struct flash_target *target = pass->members[i];
		struct lane_status status;

		write_stage_status(pass->writing, i, &status);
		target->abandoned = status.abandoned;
		if (status.state == BMAP_TARGET_INTERRUPTED)
			say_incomplete(target);
		result->flush_ns = max_u64(result->flush_ns, status.flush_ns);
		if (status.state == BMAP_TARGET_DONE)
			result->mapped_bytes = status.completed_bytes;
	}
	result->image_bytes = flash->image_bytes;
	if (flash->image_bytes)
		result->image.image_bytes = flash->image_bytes;
	if (result->mapped_bytes)
		result->image.mapped_bytes = result->mapped_bytes;
}

static void end_target(struct flash *flash, struct flash_target *target)
{
	bool good = target->report->state == BMAP_TARGET_DONE;
	struct bmap_error end;

	if (!target->open)
		return;
	target->open = false;
	target->report->released = !target->abandoned;
	if (target->abandoned) {
		target_abandon(&target->target);
	} else if (!target_end(&target->target, good, flash->image_bytes, flash->options->log,
			       &end)) {
		/* The last step of a target that was good so far. */
		target->report->state = BMAP_TARGET_FAILED;
		*target->error = end;
		target->report->error = target->error;
	}
}

static bool is_final(const struct flash_target *target)
{
	enum bmap_target_state state = target->report->state;

	return state == BMAP_TARGET_DONE || state == BMAP_TARGET_FAILED ||
	       state == BMAP_TARGET_INTERRUPTED;
}

void flash_release_final(struct flash *flash)
{
	const struct flash_pass *pass = &flash->pass;

	for (size_t i = 0; i < pass->lane_count; i++)
		if (is_final(pass->members[i]))
			end_target(flash, pass->members[i]);
	flash_show_progress(flash);
}

/* Whoever has no verdict of his own shares the job's; one that waited for another pass has been
 * written to. */
static void judge_rest(struct flash *flash, const struct bmap_error *why)
{
	for (size_t i = 0; i < flash->options->target_count; i++) {
		struct flash_target *target = &flash->targets[i];
		bool detached = target->report->state == BMAP_TARGET_DETACHED;

		if (is_final(target))
			continue;
		flash->ending = *why;
		flash_target_failed(flash, target, why);
		if (detached && why->code == BMAP_ERR_INTERRUPTED)
			say_incomplete(target);
	}
}

/* Of an interrupted job rather one that was interrupted than one that had failed before. */
static bool first_failure(const struct flash *flash, bool interrupted, struct bmap_error *err)
{
	const struct bmap_target_report *first = NULL;

	for (size_t i = 0; i < flash->options->target_count; i++) {
		const struct bmap_target_report *report = flash->targets[i].report;

		if (report->state == BMAP_TARGET_DONE)
			continue;
		if (!first || (interrupted && first->state != BMAP_TARGET_INTERRUPTED &&
			       report->state == BMAP_TARGET_INTERRUPTED))
			first = report;
	}
	if (first)
		*err = *first->error;
	return first;
}

bool flash_finish(struct flash *flash, bool failed, struct bmap_error *err)
{
	struct bmap_flash_result *result = flash->result;

	result->elapsed_ns = clock_now_ns() - flash->began_ns;
	if (result->target_count) {
		if (failed)
			judge_rest(flash, err);
		flash_end_stream(flash);
		for (size_t i = 0; i < result->target_count; i++)
			end_target(flash, &flash->targets[i]);
		flash_mark_errors(flash);
		if (flash->pass.stream.decode)
			flash_show_progress(flash);
		/* What stopped all is the better answer than what that did to the first of them;
		 * of an interrupted job, what it left behind: a stop that came too late left
		 * nothing. */
		if (!failed || err->code == BMAP_ERR_INTERRUPTED)
			failed = first_failure(flash, failed, err);
	}
	flash_close_pass(flash);
	free(flash->targets);
	return !failed;
}

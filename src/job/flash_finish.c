/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/clock.h"
#include "job/flash_internal.h"

#include <inttypes.h>
#include <stdlib.h>

bool flash_prepare_result(struct flash *flash, struct bmap_error *err)
{
	flash->shown = calloc(flash->target_count, sizeof(*flash->shown));
	flash->result->targets = calloc(flash->target_count, sizeof(*flash->result->targets));
	if (!flash->shown || !flash->result->targets)
		return bmap_error_memory(err, "targets");
	flash->result->target_count = flash->target_count;
	for (size_t i = 0; i < flash->target_count; i++)
		flash->result->targets[i].state = BMAP_TARGET_FAILED;
	return true;
}

static void say_flushing(struct flash *flash, size_t i)
{
	if (flash->said_flushing || flash->shown[i].state != BMAP_TARGET_FLUSHING)
		return;
	flash->said_flushing = true;
	if (flash->targets[i].needs_flush)
		log_info(flash->options->log, "synchronizing '%s'", flash->targets[i].name);
}

void flash_show_progress(struct flash *flash)
{
	struct bmap_flash_progress progress = {
		.total_bytes =
			flash->stream.mapped_bytes == SIZE_UNKNOWN ? 0 : flash->stream.mapped_bytes,
		.source_total_bytes =
			flash->stream.source->has_size ? flash->stream.source->size_bytes : 0,
		.source_read_bytes = decode_stage_source_bytes(flash->stream.decode),
		.elapsed_ns = clock_now_ns() - flash->began_ns,
		.target_count = flash->target_count,
		.targets = flash->shown,
	};

	for (size_t i = 0; i < flash->target_count; i++) {
		struct lane_status status;

		write_stage_status(flash->writing, i, &status);
		flash->shown[i] = (struct bmap_target_progress){
			.name = flash->targets[i].name,
			.state = status.state,
			.completed_bytes = status.completed_bytes,
		};
		say_flushing(flash, i);
	}
	if (flash->options->progress)
		flash->options->progress(flash->options->progress_user, &progress);
}

static void log_counters(const struct flash *flash)
{
	const struct bmap_log *log = flash->options->log;
	struct write_stage_counters counters;
	struct ring_counters ring;

	write_stage_counters(flash->writing, &counters);
	ring_counters(flash->stream.ring, &ring);
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
	for (size_t i = 0; i < flash->target_count; i++) {
		struct lane_status status;

		write_stage_status(flash->writing, i, &status);
		log_debug(log, "%s: O_DIRECT %s, window %u requests, largest %u",
			  flash->targets[i].name, flash->targets[i].direct ? "yes" : "no",
			  status.window, status.largest_window);
	}
}

static bool lane_result(struct flash *flash, size_t i, struct bmap_error *err)
{
	struct bmap_target_result *out = &flash->result->targets[i];
	struct lane_status status;

	write_stage_status(flash->writing, i, &status);
	*out = (struct bmap_target_result){ .state = status.state,
					    .completed_bytes = status.completed_bytes,
					    .error = status.error };
	flash->result->flush_ns = max_u64(flash->result->flush_ns, status.flush_ns);
	if (status.state == BMAP_TARGET_DONE)
		return true;
	/* A lane that was stopped says what it left behind; why is the job's to say. */
	if (status.state == BMAP_TARGET_INTERRUPTED)
		bmap_error_set(&out->error, BMAP_ERR_INTERRUPTED,
			       "%s: interrupted, incomplete: %" PRIu64 " bytes were written%s",
			       flash->targets[i].name, status.completed_bytes,
			       status.head_zeroed
				       ? ", its first MiB was left zeroed so that it cannot boot"
				       : "");
	*err = out->error;
	return false;
}

bool flash_judge(struct flash *flash, const struct bmap_error *why, struct bmap_error *err)
{
	struct bmap_flash_result *result = flash->result;
	struct bmap_error lane;
	bool good = true;

	log_counters(flash);
	result->image_bytes = flash->image_bytes;
	for (size_t i = 0; i < flash->target_count; i++) {
		if (lane_result(flash, i, &lane))
			result->mapped_bytes = result->targets[i].completed_bytes;
		else if (good) {
			good = false;
			*err = lane;
		}
	}
	/* What stopped all is the better answer than what that did to the first of them. */
	if (!good && why->code != BMAP_ERR_NONE && why->code != BMAP_ERR_INTERRUPTED)
		*err = *why;
	return good;
}

static bool lane_abandoned(const struct flash *flash, size_t i)
{
	struct lane_status status;

	if (!flash->writing)
		return false;
	write_stage_status(flash->writing, i, &status);
	return status.abandoned;
}

/* False: the last step of a target that was good so far failed. */
static bool end_target(struct flash *flash, size_t i, struct bmap_error *err)
{
	bool good = flash->ran && flash->result->targets[i].state == BMAP_TARGET_DONE;

	if (lane_abandoned(flash, i)) {
		target_abandon(&flash->targets[i]);
		return true;
	}
	if (target_end(&flash->targets[i], good, flash->image_bytes, flash->options->log, err))
		return true;
	flash->result->targets[i].state = BMAP_TARGET_FAILED;
	flash->result->targets[i].error = *err;
	return false;
}

bool flash_finish(struct flash *flash, bool good, struct bmap_error *err)
{
	bool in_use = false;

	flash->result->elapsed_ns = clock_now_ns() - flash->began_ns;
	/* The producer may be about to wake the write loop: it ends first. */
	if (flash->streaming)
		image_stream_stop(&flash->stream);
	for (size_t i = 0; i < flash->target_count; i++) {
		struct bmap_error end;

		if (!end_target(flash, i, &end) && good) {
			good = false;
			*err = end;
		}
	}
	if (flash->writing)
		in_use = write_stage_free(flash->writing);
	if (flash->streaming)
		image_stream_close(&flash->stream, in_use);
	free(flash->targets);
	free(flash->shown);
	return good;
}

void bmap_flash_result_free(struct bmap_flash_result *result)
{
	free(result->targets);
	*result = (struct bmap_flash_result){ 0 };
}

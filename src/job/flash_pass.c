/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "digest/digest.h"
#include "job/flash_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define PROGRESS_MS 200

static bool on_bad(void *arg, const struct bmap_bad_range *bad, struct bmap_error *err)
{
	const struct flash *flash = arg;
	char found[2 * BMAP_DIGEST_MAX_BYTES + 1], expected[2 * BMAP_DIGEST_MAX_BYTES + 1];

	digest_to_hex(bad->found, bad->digest_bytes, found);
	digest_to_hex(bad->expected, bad->digest_bytes, expected);
	return bmap_error_data(
		err, bad->offset_bytes,
		"%s: checksum mismatch for blocks %" PRIu64 "-%" PRIu64 " (byte offset %" PRIu64
		", %" PRIu64 " bytes): calculated %s, should be %s: the image is damaged, or image "
		"and bmap do not belong together",
		flash->pass.stream.source->name, bad->first_block, bad->last_block,
		bad->offset_bytes, bad->len_bytes, found, expected);
}

/* Not only to read targets back by: another pass must be over the same image. */
static bool needs_sums(const struct flash *flash)
{
	return flash->read_back || (flash->options->target_count > 1 &&
				    flash->options->straggler != BMAP_STRAGGLER_WAIT);
}

bool flash_open_stream(struct flash *flash, struct bmap_error *err)
{
	const struct bmap_flash_options *options = flash->options;
	const struct image_stream_options stream_options = {
		.image = options->image,
		.bmap = options->bmap,
		.bmap_signature = options->bmap_signature,
		.no_signature = options->no_signature,
		.keyring = options->keyring,
		.fingerprint = options->fingerprint,
		.member = options->member,
		.no_bmap = options->no_bmap,
		.no_verify = options->no_verify,
		.sums = needs_sums(flash),
		.digest_image = options->digest_image,
		.memory_bytes = options->memory_bytes,
		.queue_depth = options->queue_depth,
		.workers = options->workers,
		.log = options->log,
		.stop = options->stop,
	};

	flash->pass.streaming = image_stream_open(&flash->pass.stream, &stream_options, err);
	return flash->pass.streaming;
}

static bool open_again(struct flash *flash, struct bmap_error *err)
{
	struct image_stream next;
	bool good = image_stream_open_again(&next, &flash->pass.stream, err);

	flash_close_pass(flash);
	if (!good)
		return false;
	flash->pass.stream = next;
	flash->pass.streaming = true;
	return true;
}

/* Until the first bytes of the image were decoded, or its end was met: only then anything is
 * written anywhere. */
static bool wait_for_first_bytes(struct flash *flash, struct bmap_error *err)
{
	struct image_stream *stream = &flash->pass.stream;
	bool finished = false;

	while (!ring_decoded(stream->ring, &finished) && !finished) {
		if (job_failed(stream->job, err))
			return false;
		if (image_stream_wait(stream, -1) == STREAM_STOPPED)
			return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
					      "%s: interrupted before anything was written",
					      stream->image_name);
	}
	return !job_failed(stream->job, err);
}

/* Those that are WAITING or DETACHED become lanes. */
static bool take_lanes(struct flash *flash, size_t count, struct bmap_error *err)
{
	struct flash_pass *pass = &flash->pass;

	pass->lanes = calloc(count, sizeof(struct target *));
	pass->members = calloc(count, sizeof(struct flash_target *));
	if (!pass->lanes || !pass->members)
		return bmap_error_memory(err, "targets");
	for (size_t i = 0; i < flash->options->target_count; i++) {
		struct flash_target *target = &flash->targets[i];
		struct bmap_target_report *report = target->report;

		if (report->state != BMAP_TARGET_WAITING && report->state != BMAP_TARGET_DETACHED)
			continue;
		report->pass = flash->pass_number;
		report->state = BMAP_TARGET_WAITING;
		pass->lanes[pass->lane_count] = &target->target;
		pass->members[pass->lane_count++] = target;
	}
	return true;
}

static bool start_writing(struct flash *flash, struct bmap_error *err)
{
	struct flash_pass *pass = &flash->pass;
	const struct write_stage_config config = {
		.ring = pass->stream.ring,
		.first_consumer = 0,
		.segments = pass->stream.segments,
		.plan = &pass->stream.plan,
		.targets = pass->lanes,
		.target_count = pass->lane_count,
		.job = pass->stream.job,
		.queue_depth = flash->options->queue_depth,
		.stall_warn_seconds =
			flash->options->stall_seconds && flash->options->stall_seconds < 60
				? (flash->options->stall_seconds + 1) / 2
				: 0,
		.stall_give_up_seconds = flash->options->stall_seconds,
		.detach = flash->detaches,
		.straggler_seconds = flash->options->straggler_seconds,
		.read_back = flash->read_back,
	};

	pass->writing = write_stage_start(&config, err);
	if (!pass->writing || !flash->read_back)
		return pass->writing;
	pass->readers = flash_readers_start(pass->writing, pass->lanes, pass->lane_count,
					    &pass->stream, err);
	return pass->readers;
}

/* The source was good to its end, in this pass too. */
static bool commit(struct flash *flash, struct bmap_error *why)
{
	struct flash_pass *pass = &flash->pass;
	struct sum_stage *sums = pass->stream.sums;
	uint64_t image_bytes = decode_stage_image_bytes(pass->stream.decode);
	uint64_t sum = sums ? sum_stage_total(sums) : 0;

	/* Not known yet, if all targets of the passes before had failed or were detached. */
	if (flash->image_bytes && image_bytes != flash->image_bytes)
		return bmap_error_data(why, min_u64(image_bytes, flash->image_bytes),
				       "%s: has changed: the image had %" PRIu64
				       " bytes when it was read first, and has %" PRIu64 " now",
				       pass->stream.source->name, flash->image_bytes, image_bytes);
	if (flash->image_bytes && sum != flash->unchecked_sum)
		return bmap_error_set(why, BMAP_ERR_DATA,
				      "%s: has changed since it was read first: what the targets "
				      "of the passes before have is another image",
				      pass->stream.source->name);
	flash->image_bytes = image_bytes;
	flash->unchecked_sum = sum;
	write_stage_commit(pass->writing);
	return true;
}

/* The loop of the calling thread, from the first byte to the last lane's end. The verdict of the
 * source is passed on here, and a failure or a stop to everybody. */
static void run_loop(struct flash *flash, struct bmap_error *why)
{
	struct flash_pass *pass = &flash->pass;
	struct image_stream *stream = &pass->stream;
	unsigned interval = flash->options->progress_interval_ms;
	bool committed = false, stopped = false;

	while (!write_stage_ended(pass->writing)) {
		enum stream_event event =
			image_stream_wait(stream, (int)(interval ? interval : PROGRESS_MS));

		if (!stopped && job_failed(stream->job, why)) {
			stopped = true;
		} else if (!stopped && event == STREAM_STOPPED) {
			bmap_error_set(why, BMAP_ERR_INTERRUPTED, "interrupted");
			stopped = true;
		} else if (!stopped && !committed && image_stream_complete(stream)) {
			committed = commit(flash, why);
			stopped = !committed;
		}
		if (stopped) {
			flash->ending = *why;
			write_stage_stop(pass->writing, why);
			/* Only now: else what it interrupts would be its target's failure. */
			flash_readers_stop(pass->readers);
			image_stream_stop(stream);
			/* Nothing of the stream rings any more; the stop object stays readable. */
			write_stage_join(pass->writing);
		}
		flash_show_progress(flash);
	}
}

/* Ready to write: the stream flows, and its first bytes are good. */
static bool begin_pass(struct flash *flash, struct bmap_error *err)
{
	struct flash_pass *pass = &flash->pass;
	size_t wanted, begun;

	flash->pass_number++;
	if (flash->pass_number > 1 && !open_again(flash, err))
		return false;
	wanted = flash_count_in_state(flash, BMAP_TARGET_WAITING) +
		 flash_count_in_state(flash, BMAP_TARGET_DETACHED);
	/* The write stage's lanes, and its collector of the head. */
	if (!image_stream_start(&pass->stream, wanted + 1, on_bad, flash, err) ||
	    !wait_for_first_bytes(flash, err))
		return false;
	flash_show_progress(flash);
	begun = flash_begin_targets(flash);
	for (size_t i = begun; i < wanted; i++)
		ring_detach(pass->stream.ring, i + 1);
	return take_lanes(flash, begun, err);
}

bool flash_run_pass(struct flash *flash, struct bmap_error *err)
{
	struct flash_pass *pass = &flash->pass;
	struct bmap_error why = { 0 };

	if (!begin_pass(flash, err))
		return false;
	if (!pass->lane_count)
		return true;
	if (!start_writing(flash, err))
		return false;
	run_loop(flash, &why);
	/* All lanes are final: a source that still flows has nobody to read it. */
	image_stream_stop(&pass->stream);
	write_stage_join(pass->writing);
	flash->reader_left_behind |= flash_readers_end(pass->readers);
	pass->readers = NULL;
	flash_judge(flash);
	if (why.code == BMAP_ERR_NONE) {
		flash_release_final(flash);
		return true;
	}
	*err = why;
	return false;
}

void flash_end_stream(struct flash *flash)
{
	if (flash->pass.streaming)
		image_stream_stop(&flash->pass.stream);
}

void flash_close_pass(struct flash *flash)
{
	struct flash_pass *pass = &flash->pass;
	bool in_use = false;

	/* The producer may be about to wake the write loop: it ends first. */
	flash_end_stream(flash);
	if (pass->writing)
		in_use = write_stage_free(pass->writing);
	if (flash->reader_left_behind) { /* leaked: it may still compare */
		pass->stream.map = NULL;
		pass->stream.sums = NULL;
	}
	if (pass->streaming)
		image_stream_close(&pass->stream, in_use);
	free(pass->lanes);
	free(pass->members);
	*pass = (struct flash_pass){ 0 };
}

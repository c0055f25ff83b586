/* SPDX-License-Identifier: MIT */
/* flash.c - the main job: plan, run, finish. Which target is what to be written to is decided here;
 * how, in the write stage. */
#include <bmap/flash.h>

#include "base/checked.h"
#include "base/clock.h"
#include "digest/digest.h"
#include "job/flash_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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
		flash->stream.source->name, bad->first_block, bad->last_block, bad->offset_bytes,
		bad->len_bytes, found, expected);
}

static bool check_options(const struct bmap_flash_options *options, struct bmap_error *err)
{
	if (options->struct_size != sizeof(*options))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "bmap_flash: the options are of another library version");
	if (!options->image || !options->target_count)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "bmap_flash: an image and at least one target are needed");
	if (options->no_bmap && options->bmap)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "bmap_flash: a bmap and no bmap were asked for");
	return true;
}

static bool open_stream(struct flash *flash, struct bmap_error *err)
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
		.memory_bytes = options->memory_bytes,
		.queue_depth = options->queue_depth,
		.workers = options->workers,
		.log = options->log,
		.stop = options->stop,
	};

	flash->streaming = image_stream_open(&flash->stream, &stream_options, err);
	return flash->streaming;
}

static void log_job(const struct flash *flash)
{
	static const char *const kinds[] = { [TARGET_BLOCK_DEVICE] = "block device",
					     [TARGET_REGULAR_FILE] = "file",
					     [TARGET_CHARACTER_DEVICE] = "character device" };
	const char *bmap = flash->stream.bmap_path;

	for (size_t i = 0; i < flash->target_count; i++) {
		const struct target *target = &flash->targets[i];

		if (bmap)
			log_info(flash->options->log,
				 "copying image '%s' to %s '%s' using bmap file '%s'",
				 flash->stream.source->name, kinds[target->kind], target->name,
				 bmap);
		else
			log_info(flash->options->log,
				 "no bmap given, copying the whole image '%s' to %s '%s'",
				 flash->stream.source->name, kinds[target->kind], target->name);
	}
}

/* Opens and checks every target; nothing is changed. */
static bool open_targets(struct flash *flash, struct bmap_error *err)
{
	const struct bmap_flash_options *options = flash->options;
	const char *sources[] = { flash->stream.image, flash->stream.bmap_path,
				  options->bmap_signature, options->keyring };
	const struct target_rules rules = {
		.image_size_bytes = flash->stream.plan.image_size_bytes,
		.removable_only = options->removable_only,
		.allow_dev_files = options->allow_dev_files,
		.sources = sources,
		.source_count = ARRAY_LEN(sources),
	};

	flash->targets = calloc(options->target_count, sizeof(*flash->targets));
	if (!flash->targets)
		return bmap_error_memory(err, "targets");
	for (size_t i = 0; i < options->target_count; i++) {
		if (!target_open(&flash->targets[i], options->targets[i], &rules, options->log,
				 err))
			return false;
		flash->target_count++;
		for (size_t j = 0; j < i; j++)
			if (target_same_device(&flash->targets[i], &flash->targets[j]))
				return bmap_error_set(err, BMAP_ERR_REFUSED,
						      "%s and %s are the same disk: name each once",
						      options->targets[j], options->targets[i]);
	}
	return true;
}

/* Until the first bytes of the image were decoded, or its end was met: only then anything is
 * written anywhere. */
static bool wait_for_first_bytes(struct flash *flash, struct bmap_error *err)
{
	struct image_stream *stream = &flash->stream;
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

static bool begin_targets(struct flash *flash, struct bmap_error *err)
{
	for (size_t i = 0; i < flash->target_count; i++)
		if (!target_begin(&flash->targets[i], flash->stream.plan.image_size_bytes,
				  flash->options->log, err))
			return false;
	return true;
}

static bool start_writing(struct flash *flash, struct bmap_error *err)
{
	const struct write_stage_config config = {
		.ring = flash->stream.ring,
		.first_consumer = 0,
		.segments = flash->stream.segments,
		.plan = &flash->stream.plan,
		.targets = flash->targets,
		.target_count = flash->target_count,
		.job = flash->stream.job,
		.queue_depth = flash->options->queue_depth,
		.stall_warn_seconds =
			flash->options->stall_seconds && flash->options->stall_seconds < 60
				? (flash->options->stall_seconds + 1) / 2
				: 0,
		.stall_give_up_seconds = flash->options->stall_seconds,
	};

	flash->writing = write_stage_start(&config, err);
	return flash->writing;
}

/* The loop of the calling thread, from the first byte to the last lane's end. The verdict of the
 * source is passed on here, and a failure or a stop to everybody. */
static void run_loop(struct flash *flash, struct bmap_error *why)
{
	unsigned interval = flash->options->progress_interval_ms;
	bool committed = false, stopped = false;

	while (!write_stage_ended(flash->writing)) {
		enum stream_event event =
			image_stream_wait(&flash->stream, (int)(interval ? interval : PROGRESS_MS));

		if (!stopped && job_failed(flash->stream.job, why)) {
			stopped = true;
		} else if (!stopped && event == STREAM_STOPPED) {
			bmap_error_set(why, BMAP_ERR_INTERRUPTED, "interrupted");
			stopped = true;
		} else if (!stopped && !committed && image_stream_complete(&flash->stream)) {
			flash->image_bytes = decode_stage_image_bytes(flash->stream.decode);
			write_stage_commit(flash->writing);
			committed = true;
		}
		if (stopped) {
			write_stage_stop(flash->writing, why);
			image_stream_stop(&flash->stream);
			/* Nothing of the stream rings any more; the stop object stays readable. */
			write_stage_join(flash->writing);
		}
		flash_show_progress(flash);
	}
}

static bool run(struct flash *flash, struct bmap_error *err)
{
	struct bmap_error why = { 0 };

	/* The write stage's lanes, and its collector of the head. */
	if (!image_stream_start(&flash->stream, flash->target_count + 1, on_bad, flash, err) ||
	    !wait_for_first_bytes(flash, err) || !begin_targets(flash, err) ||
	    !start_writing(flash, err))
		return false;
	run_loop(flash, &why);
	/* All lanes are final: a source that still flows has nobody to read it. */
	image_stream_stop(&flash->stream);
	write_stage_join(flash->writing);
	flash->ran = true;
	return flash_judge(flash, &why, err);
}

bool bmap_flash(const struct bmap_flash_options *options, struct bmap_flash_result *result,
		struct bmap_error *err)
{
	struct flash flash = { .options = options, .result = result, .began_ns = clock_now_ns() };
	struct bmap_flash_result ignored;
	struct bmap_error dummy;
	bool good;

	if (!err)
		err = &dummy;
	if (!result)
		flash.result = &ignored;
	*flash.result = (struct bmap_flash_result){ 0 };
	good = check_options(options, err) && open_stream(&flash, err) && open_targets(&flash, err);
	if (good) {
		log_job(&flash);
		good = flash_prepare_result(&flash, err) && run(&flash, err);
	}
	good = flash_finish(&flash, good, err);
	if (!result)
		bmap_flash_result_free(&ignored);
	return good;
}

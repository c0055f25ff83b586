/* SPDX-License-Identifier: MIT */
/* flash.c - the main job: passes over the image until every target is final. */
#include <bmap/flash.h>

#include "base/clock.h"
#include "job/flash_internal.h"

#include <stdlib.h>

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
	return flash_expect_sane(&options->expect, err);
}

static void log_job(const struct flash *flash)
{
	static const char *const kinds[] = { [TARGET_BLOCK_DEVICE] = "block device",
					     [TARGET_REGULAR_FILE] = "file",
					     [TARGET_CHARACTER_DEVICE] = "character device" };
	const struct image_stream *stream = &flash->pass.stream;

	for (size_t i = 0; i < flash->options->target_count; i++) {
		const struct target *target = &flash->targets[i].target;

		if (!flash->targets[i].open)
			continue;
		if (stream->bmap_path)
			log_info(flash->options->log,
				 "copying image '%s' to %s '%s' using bmap file '%s'",
				 stream->source->name, kinds[target->kind], target->name,
				 stream->bmap_path);
		else
			log_info(flash->options->log,
				 "no bmap given, copying the whole image '%s' to %s '%s'",
				 stream->source->name, kinds[target->kind], target->name);
	}
}

/* Detaching needs a second pass, and somebody to wait for. */
static bool choose_straggler(struct flash *flash, struct bmap_error *err)
{
	const struct bmap_flash_options *options = flash->options;
	bool several = options->target_count > 1;
	bool repeatable = image_stream_repeatable(&flash->pass.stream);

	if (options->straggler == BMAP_STRAGGLER_DETACH && !repeatable)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: cannot be read twice, so a slow target cannot be left "
				      "for a second pass: take --straggler wait, or a file",
				      flash->pass.stream.source->name);
	if (options->straggler == BMAP_STRAGGLER_DEFAULT && several && !repeatable)
		log_info(options->log,
			 "%s: cannot be read twice: all targets go at the speed of the slowest",
			 flash->pass.stream.source->name);
	flash->detaches = several && repeatable && options->straggler != BMAP_STRAGGLER_WAIT;
	return true;
}

static bool run_passes(struct flash *flash, struct bmap_error *err)
{
	size_t detached;

	if (!flash_run_pass(flash, err))
		return false;
	while ((detached = flash_count_in_state(flash, BMAP_TARGET_DETACHED))) {
		log_info(flash->options->log,
			 "another pass over the image for %zu target%s too slow for the others",
			 detached, detached == 1 ? " that was" : "s that were");
		if (!flash_run_pass(flash, err))
			return false;
	}
	return true;
}

/* False: the whole job ended early, err says why; single targets have their own verdicts. */
static bool run(struct flash *flash, struct bmap_error *err)
{
	const struct bmap_flash_options *options = flash->options;

	flash->read_back = options->read_back == BMAP_CHOICE_YES ||
			   (options->read_back == BMAP_CHOICE_DEFAULT && options->target_count > 1);
	flash->result->read_back = flash->read_back;
	if (!check_options(options, err) || !flash_open_stream(flash, err) ||
	    !choose_straggler(flash, err))
		return false;
	if (!flash_prepare_result(flash, err) || !flash_describe_image(flash, err) ||
	    !flash_open_targets(flash, err))
		return false;
	log_job(flash);
	return run_passes(flash, err);
}

bool bmap_flash(const struct bmap_flash_options *options, struct bmap_flash_result *result,
		struct bmap_error *err)
{
	struct flash flash = { .options = options, .result = result, .began_ns = clock_now_ns() };
	struct bmap_flash_result ignored;
	struct bmap_error dummy;
	bool failed, good;

	if (!err)
		err = &dummy;
	if (!result)
		flash.result = &ignored;
	*flash.result = (struct bmap_flash_result){ 0 };
	failed = !run(&flash, err);
	good = flash_finish(&flash, failed, err);
	if (!result)
		bmap_flash_result_free(&ignored);
	return good;
}

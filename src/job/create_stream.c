/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "job/create_internal.h"
#include "job/image_stream.h"
#include "job/zero_parts.h"
#include "pipeline/split_stage.h"

#include <string.h>

#define PROGRESS_MS 200

struct streaming {
	const struct bmap_create_options *options;
	struct image_stream stream;
	struct split_stage *split;
	struct hasher *hasher; /* NULL: no digests */
	struct zero_parts parts;
	uint64_t block_bytes;
};

static bool look_at_all(struct streaming *s, struct bmap_error *err);
static struct bmap_map *make_map(struct streaming *s, struct bmap_error *err);

bool create_stream(const struct bmap_create_options *options, struct bmap_map **out,
		   struct bmap_error *err)
{
	const struct image_stream_options stream_options = {
		.image = options->image,
		.no_bmap = true,
		.member = options->member,
		.memory_bytes = options->memory_bytes,
		.queue_depth = options->queue_depth,
		.workers = options->workers,
		.log = options->log,
		.stop = options->stop,
	};
	enum bmap_digest digest = options->digest ? options->digest : BMAP_DIGEST_SHA256;
	struct streaming s = {
		.options = options,
		.block_bytes =
			options->block_size_bytes ? options->block_size_bytes : CREATE_BLOCK_BYTES,
	};
	bool good;

	*out = NULL;
	if (!options->no_checksum) {
		s.hasher = hasher_new(digest, err);
		if (!s.hasher)
			return false;
	}
	if (!image_stream_open(&s.stream, &stream_options, err)) {
		hasher_free(s.hasher);
		return false;
	}
	zero_parts_init(&s.parts, digest, options->no_checksum);
	good = look_at_all(&s, err);
	image_stream_stop(&s.stream);
	if (s.split)
		split_stage_join(s.split);
	if (good)
		*out = make_map(&s, err);
	split_stage_free(s.split);
	image_stream_close(&s.stream, false);
	zero_parts_free(&s.parts);
	hasher_free(s.hasher);
	return *out;
}

static bool start(struct streaming *s, struct bmap_error *err)
{
	struct image_stream *stream = &s->stream;
	struct split_stage_config config = {
		.consumer = 0,
		.plan = &stream->plan,
		.split = { .block_bytes = s->block_bytes,
			   .run_bytes = s->options->zero_run_bytes,
			   .hasher = s->hasher,
			   .on_part = zero_parts_add,
			   .arg = &s->parts },
		.stretch_bytes = zero_parts_stretch_bytes(s->block_bytes),
	};

	if (!image_stream_start(stream, 1, NULL, NULL, err))
		return false;
	config.ring = stream->ring;
	config.segments = stream->segments;
	config.job = stream->job;
	s->split = split_stage_start(&config, err);
	return s->split;
}

static bool look_at_all(struct streaming *s, struct bmap_error *err)
{
	const struct bmap_create_options *options = s->options;
	struct image_stream *stream = &s->stream;
	uint64_t total = stream->mapped_bytes == SIZE_UNKNOWN ? 0 : stream->mapped_bytes;

	if (!start(s, err))
		return false;
	while (!(image_stream_complete(stream) && split_stage_ended(s->split)) &&
	       !job_failed(stream->job, err)) {
		if (image_stream_wait(stream, PROGRESS_MS) == STREAM_STOPPED)
			return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
					      "%s: interrupted before all of it was read",
					      stream->image_name);
		if (options->progress)
			options->progress(options->progress_user, split_stage_done_bytes(s->split),
					  total);
	}
	return !job_failed(stream->job, err);
}

/* The whole image was looked at: of that, what has data. */
static struct bmap_map *make_map(struct streaming *s, struct bmap_error *err)
{
	const struct bmap_create_options *options = s->options;
	const char *name = s->stream.image_name;
	uint64_t size = decode_stage_image_bytes(s->stream.decode);
	struct extents whole = { .block_size_bytes = s->block_bytes }, forced = whole;
	struct bmap_map *map = NULL;
	bool good;

	if (!size) {
		bmap_error_set(err, BMAP_ERR_DATA, "%s: the image in it is empty", name);
		return NULL;
	}
	if (!create_spans(&forced, options, name, size, err))
		return NULL;
	if (extents_add(&whole, name, 0, size, size, err))
		map = create_map(&whole, size, options, err);
	extents_free(&whole);
	good = map && zero_parts_map(&s->parts, map, options->zero_run_bytes, &forced, err);
	extents_free(&forced);
	if (!good) {
		bmap_map_free(map);
		return NULL;
	}
	create_say_result(map, options, name);
	return map;
}

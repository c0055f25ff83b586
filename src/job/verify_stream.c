/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "job/image_stream.h"
#include "job/job_internal.h"

#include <inttypes.h>

#define PROGRESS_MS 200

static bool on_bad(void *arg, const struct bmap_bad_range *bad, struct bmap_error *err)
{
	const struct bmap_verify_options *options = arg;

	(void)err;
	if (options->bad_range)
		options->bad_range(options->user, bad);
	return true; /* the others are looked at, too */
}

static void show(const struct bmap_verify_options *options, struct image_stream *stream)
{
	struct hash_stage_counts counts = { 0 };

	if (!options->progress)
		return;
	if (stream->hash)
		hash_stage_counts(stream->hash, &counts);
	options->progress(options->user, counts.checked_bytes, stream->mapped_bytes);
}

static bool run(const struct bmap_verify_options *options, struct image_stream *stream,
		struct bmap_error *err)
{
	if (!image_stream_start(stream, 0, on_bad, (void *)options, err))
		return false;
	while (!image_stream_complete(stream) && !job_failed(stream->job, err)) {
		if (image_stream_wait(stream, PROGRESS_MS) == STREAM_STOPPED)
			return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
					      "%s: interrupted before all of it was checked",
					      stream->image_name);
		show(options, stream);
	}
	return !job_failed(stream->job, err);
}

bool verify_stream(const struct bmap_verify_options *options, struct bmap_verify_result *result,
		   struct bmap_error *err)
{
	const struct image_stream_options stream_options = {
		.image = options->input,
		.bmap = options->bmap,
		.bmap_signature = options->bmap_signature,
		.no_signature = options->no_signature,
		.keyring = options->keyring,
		.fingerprint = options->fingerprint,
		.member = options->member,
		.memory_bytes = options->memory_bytes,
		.queue_depth = options->queue_depth,
		.workers = options->workers,
		.log = options->log,
		.stop = options->stop,
	};
	struct hash_stage_counts counts = { 0 };
	struct image_stream stream;
	uint64_t began = clock_now_ns();
	bool good;

	*result = (struct bmap_verify_result){ 0 };
	if (!image_stream_open(&stream, &stream_options, err))
		return false;
	good = run(options, &stream, err);
	image_stream_stop(&stream);
	if (stream.hash)
		hash_stage_counts(stream.hash, &counts);
	else
		counts.ranges_without_checksum = stream.map->range_count;
	*result = (struct bmap_verify_result){
		.ranges_checked = counts.ranges_checked,
		.ranges_bad = counts.ranges_bad,
		.ranges_without_checksum = counts.ranges_without_checksum,
		.checked_bytes = counts.checked_bytes,
		.elapsed_ns = clock_now_ns() - began,
	};
	if (good && counts.ranges_bad)
		good = bmap_error_set(err, BMAP_ERR_DATA,
				      "%s: %zu of %zu ranges do not match their checksums",
				      stream.image_name, counts.ranges_bad, counts.ranges_checked);
	image_stream_close(&stream, false);
	return good;
}

/* SPDX-License-Identifier: MIT */
/* archive_stage.c - an archive inside a compressed stream (disk.img.tar.xz): two stages in a row.
 * The inner one decompresses into a ring of its own, as it would a plain image, on as many workers
 * as the format can use; the outer one reads that ring instead of a source.
 *
 * Errors: an inner stage that fails tells the job and leaves its ring unfinished, so the outer one
 *         sees no end and waits until the job stops both. Only after the inner one found its
 *         container good to the end is its ring finished: when the outer one has ended, so has the
 *         inner. */
#include "pipeline/archive_stage.h"
#include "pipeline/decode_stage_internal.h"

#include <stdlib.h>

struct inner_stage {
	struct ring *ring; /* its decoded bytes; the outer stage is consumer 0 */
	struct segments *segments;
	struct image_plan plan; /* all bytes, however many */
	struct decode_stage *decode;
};

static bool inner_start(struct inner_stage *inner, const struct decode_stage_config *config,
			struct bmap_error *err)
{
	struct decode_stage_config own = *config;

	inner->plan = (struct image_plan){ .image_size_bytes = SIZE_UNKNOWN };
	inner->segments = segments_new(err);
	if (!inner->segments)
		return false;
	inner->ring =
		ring_new(config->archive_ring_bytes, 1, RING_DOUBLE, job_log(config->job), err);
	if (!inner->ring)
		return false;
	own.ring = inner->ring;
	own.segments = inner->segments;
	own.plan = &inner->plan;
	own.archive = NULL;
	own.inside = config->archive;
	own.member = NULL; /* the archive's */
	inner->decode = unit_stage_start(&own, err);
	return inner->decode;
}

void inner_stage_stop(struct inner_stage *inner)
{
	decode_stage_stop(inner->decode);
}

void inner_stage_join(struct inner_stage *inner)
{
	decode_stage_join(inner->decode);
}

void inner_stage_free(struct inner_stage *inner)
{
	decode_stage_free(inner->decode);
	ring_free(inner->ring);
	segments_free(inner->segments);
	free(inner);
}

uint64_t inner_stage_source_bytes(const struct inner_stage *inner)
{
	return decode_stage_source_bytes(inner->decode);
}

struct decode_stage *archive_stage_start(const struct decode_stage_config *config,
					 struct bmap_error *err)
{
	struct inner_stage *inner = calloc(1, sizeof(*inner));
	struct decode_stage_config outer = *config;
	struct decode_stage *stage;

	if (!inner) {
		bmap_error_memory(err, "decode stage");
		return NULL;
	}
	if (!inner_start(inner, config, err)) {
		inner_stage_free(inner);
		return NULL;
	}
	outer.format = config->archive;
	outer.archive = NULL;
	outer.decoder_plan = (struct decoder_plan){ 0 };
	outer.input = inner->ring;
	stage = unit_stage_start(&outer, err);
	if (!stage) {
		inner_stage_stop(inner);
		inner_stage_join(inner);
		inner_stage_free(inner);
		return NULL;
	}
	stage->inner = inner;
	return stage;
}

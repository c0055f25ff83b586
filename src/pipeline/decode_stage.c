/* SPDX-License-Identifier: MIT */
#include "pipeline/decode_stage.h"
#include "pipeline/archive_stage.h"
#include "pipeline/decode_stage_internal.h"

#include <inttypes.h>

struct decode_stage *decode_stage_start(const struct decode_stage_config *config,
					struct bmap_error *err)
{
	if (config->archive)
		return archive_stage_start(config, err);
	if (config->format)
		return unit_stage_start(config, err);
	if (config->source->seekable)
		return raw_extents_start(config, err);
	if (config->source->cheap_skip && config->plan->map)
		return raw_ranges_start(config, err);
	return raw_stream_start(config, err);
}

void decode_stage_init(struct decode_stage *stage, const struct stage_kind *kind,
		       const struct decode_stage_config *config)
{
	stage->kind = kind;
	stage->config = *config;
	stage->output = (struct decode_output){
		.ring = config->ring,
		.segments = config->segments,
		.plan = config->plan,
		.name = config->source->name,
	};
}

void decode_stage_add_image_offset(const struct decode_stage *stage, uint64_t image_offset,
				   struct bmap_error *err)
{
	const struct decoder_ops *inside = stage->config.inside;

	if (err->code == BMAP_ERR_DATA)
		bmap_error_append(err, " (after %" PRIu64 " bytes of the %s%s)", image_offset,
				  inside ? inside->name : "image", inside ? " archive" : "");
}

void decode_stage_add_source_offset(const struct decode_stage *stage, uint64_t source_offset,
				    struct bmap_error *err)
{
	if (err->code == BMAP_ERR_DATA)
		bmap_error_append(err, " (at offset %" PRIu64 " of the %s data)", source_offset,
				  stage->config.format->name);
}

void decode_stage_publish(struct decode_stage *stage, uint64_t position)
{
	ring_publish(stage->config.ring, position);
	if (!stage->begun) {
		stage->begun = true;
		job_ring_bell(stage->config.job);
	}
}

void decode_stage_finish(struct decode_stage *stage)
{
	stage->image_bytes = stage->output.image_offset;
	ring_finish(stage->config.ring);
	atomic_store(&stage->ended, true);
	job_ring_bell(stage->config.job);
}

void decode_stage_stop(struct decode_stage *stage)
{
	stage->kind->stop(stage);
	if (stage->inner)
		inner_stage_stop(stage->inner);
}

void decode_stage_join(struct decode_stage *stage)
{
	stage->kind->join(stage);
	if (stage->inner)
		inner_stage_join(stage->inner);
}

bool decode_stage_ended(struct decode_stage *stage)
{
	return atomic_load(&stage->ended);
}

uint64_t decode_stage_image_bytes(const struct decode_stage *stage)
{
	return stage->image_bytes;
}

uint64_t decode_stage_source_bytes(const struct decode_stage *stage)
{
	return stage->inner ? inner_stage_source_bytes(stage->inner)
			    : stage->kind->source_bytes(stage);
}

void decode_stage_free(struct decode_stage *stage)
{
	struct inner_stage *inner = stage ? stage->inner : NULL;

	if (stage)
		stage->kind->free(stage);
	if (inner) /* the outer stage's reader is on its ring */
		inner_stage_free(inner);
}

/* SPDX-License-Identifier: MIT */
/* pipeline/decode_stage_internal.h - what the ways of filling the ring share. Each is a
 * struct that begins with struct decode_stage, and a stage_kind. */
#ifndef PIPELINE_DECODE_STAGE_INTERNAL_H
#define PIPELINE_DECODE_STAGE_INTERNAL_H

#include "pipeline/decode_output.h"
#include "pipeline/decode_stage.h"

#include <stdatomic.h>

struct stage_kind {
	void (*stop)(struct decode_stage *stage); /* any thread */
	void (*join)(struct decode_stage *stage);
	uint64_t (*source_bytes)(const struct decode_stage *stage);
	void (*free)(struct decode_stage *stage); /* of all, after join */
};

struct decode_stage {
	const struct stage_kind *kind; /* constant, as is config */
	struct decode_stage_config config;
	struct decode_output output; /* the threads', as decode_output.h says */
	atomic_bool ended; /* set once, after image_bytes */
	uint64_t image_bytes;
	bool begun; /* as output: the job heard of the first bytes */
	struct inner_stage *inner; /* constant once started: what fills config.input; or NULL */
};

struct decode_stage *unit_stage_start(const struct decode_stage_config *config,
				      struct bmap_error *err);
struct decode_stage *raw_stream_start(const struct decode_stage_config *config,
				      struct bmap_error *err);
struct decode_stage *raw_ranges_start(const struct decode_stage_config *config,
				      struct bmap_error *err);
struct decode_stage *raw_extents_start(const struct decode_stage_config *config,
				       struct bmap_error *err);

/* Fills what all have in common. */
void decode_stage_init(struct decode_stage *stage, const struct stage_kind *kind,
		       const struct decode_stage_config *config);
/* Behind what a decoder found wrong, which says where in the source: where in what it gives. */
void decode_stage_add_image_offset(const struct decode_stage *stage, uint64_t image_offset,
				   struct bmap_error *err);
/* Behind what is wrong with the image's length, which says where in the image: where in the source.
 */
void decode_stage_add_source_offset(const struct decode_stage *stage, uint64_t source_offset,
				    struct bmap_error *err);
/* Publishes, and tells the job of the first bytes: only then are targets touched. */
void decode_stage_publish(struct decode_stage *stage, uint64_t position);
/* The source was read to its end and is good: the last call of the last thread. */
void decode_stage_finish(struct decode_stage *stage);

#endif

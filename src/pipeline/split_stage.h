/* SPDX-License-Identifier: MIT */
/* pipeline/split_stage.h - finds the data between zeros in all that passes through the ring, and
 * hashes it (digest/zero_split.h).
 *
 * Stretches end on multiples of stretch_bytes of the image.
 * Threads: one of its own, on which on_part is called; started and joined by the job's thread; ends
 *          by itself or by ring_stop(). */
#ifndef PIPELINE_SPLIT_STAGE_H
#define PIPELINE_SPLIT_STAGE_H

#include "digest/zero_split.h"
#include "pipeline/job_state.h"
#include "pipeline/plan.h"
#include "pipeline/ring.h"
#include "pipeline/segments.h"

struct split_stage_config {
	struct ring *ring;
	size_t consumer;
	struct segments *segments;
	const struct image_plan *plan; /* without a map */
	struct job_state *job;
	struct zero_split split; /* as its user sets it; the hasher is the stage's until joined */
	uint64_t stretch_bytes; /* a multiple of split.block_bytes */
};

struct split_stage;
struct split_stage *split_stage_start(const struct split_stage_config *config,
				      struct bmap_error *err);
void split_stage_join(struct split_stage *stage); /* idempotent */
/* Everything was looked at, up to the ring's end. Any thread. */
bool split_stage_ended(struct split_stage *stage);
uint64_t split_stage_done_bytes(struct split_stage *stage); /* so far; any thread */
void split_stage_free(struct split_stage *stage); /* after join; accepts NULL */

#endif

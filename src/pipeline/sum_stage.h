/* SPDX-License-Identifier: MIT */
/* pipeline/sum_stage.h - remembers what was in the ring: XXH3-64 of every piece of the mapped image
 * bytes, so that a target can be compared with it when it is read back.
 *
 * A piece is what one range has of one SUM_CHUNK_BYTES-aligned chunk of the image.
 * Memory:  24 bytes a piece: for each chunk with mapped bytes and for each range.
 * Threads: one of its own; started and joined by the job's thread; ends by itself or by
 *          ring_stop(). */
#ifndef PIPELINE_SUM_STAGE_H
#define PIPELINE_SUM_STAGE_H

#include "pipeline/job_state.h"
#include "pipeline/plan.h"
#include "pipeline/ring.h"
#include "pipeline/segments.h"

#define SUM_CHUNK_BYTES (1024u * 1024u)
/* A longer range is summed although its checksum was checked: to hash it again would be one
 * thread's work, the pieces are everybody's. */
#define SUM_LONG_RANGE_BYTES (64u * 1024u * 1024u)

struct sum_stage_config {
	struct ring *ring;
	size_t consumer;
	struct segments *segments;
	const struct image_plan *plan;
	/* Leave out ranges that have a checksum in the map and are not long. */
	bool only_without_digest;
	struct job_state *job;
};

/* Is there a range that such a stage does not leave out? */
bool sum_stage_is_needed(const struct bmap_map *map, bool only_without_digest);

struct sum_stage;
struct sum_stage *sum_stage_start(const struct sum_stage_config *config, struct bmap_error *err);
void sum_stage_join(struct sum_stage *stage); /* idempotent */
/* Everything was summed, up to the ring's end. Any thread. */
bool sum_stage_ended(struct sum_stage *stage);
/* Once it has ended: the pieces as the ranges of a map with blocks of one byte, and their sums as
 * its digests (DIGEST_XXH3). Constant, and lent until sum_stage_free(). */
const struct bmap_map *sum_stage_map(const struct sum_stage *stage);
/* Once it has ended: of all that was summed. Of the same image and map it is the same. Not while
 * another thread asks. */
uint64_t sum_stage_total(struct sum_stage *stage);
void sum_stage_free(struct sum_stage *stage); /* after join; accepts NULL */

#endif

/* SPDX-License-Identifier: MIT */
/* pipeline/hash_stage.h - checks each range's checksum while its bytes are in the ring.
 *
 * N threads claim batches of consecutive ranges in order: a range is hashed in order by one thread,
 * different ranges in parallel. Where digest_pairs(), a thread hashes two ranges at once as far as
 * both have bytes in the ring; it never waits for a second one, so that the ring may be smaller
 * than any range. Thread i is consumer first_consumer + i of the ring. A mismatch: on_bad() is
 * called (from a hash thread, one at a time); if it returns false the job fails with that mismatch,
 * else checking goes on. Threads: started and joined by the job's thread; ends by itself or by
 * ring_stop(). */
#ifndef PIPELINE_HASH_STAGE_H
#define PIPELINE_HASH_STAGE_H

#include "pipeline/job_state.h"
#include "pipeline/plan.h"
#include "pipeline/ring.h"
#include "pipeline/segments.h"

#include <bmap/verify.h>

struct hash_stage_config {
	struct ring *ring;
	size_t first_consumer;
	unsigned threads;
	struct segments *segments;
	const struct image_plan *plan; /* with a map that has digests */
	struct job_state *job;
	bool (*on_bad)(void *arg, const struct bmap_bad_range *bad, struct bmap_error *err);
	void *arg;
};

struct hash_stage_counts {
	size_t ranges_checked, ranges_bad, ranges_without_checksum;
	uint64_t checked_bytes;
};

struct hash_stage;
struct hash_stage *hash_stage_start(const struct hash_stage_config *config, struct bmap_error *err);
void hash_stage_join(struct hash_stage *stage);
/* All ranges were checked to their end (bad ones counted). Any thread. */
bool hash_stage_ended(struct hash_stage *stage);
void hash_stage_counts(struct hash_stage *stage, struct hash_stage_counts *out); /* any thread */
void hash_stage_free(struct hash_stage *stage); /* after join; accepts NULL */

#endif

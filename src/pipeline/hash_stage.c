/* SPDX-License-Identifier: MIT */
#include "pipeline/hash_stage.h"
#include "base/checked.h"
#include "base/threads.h"
#include "digest/digest.h"
#include "pipeline/walk.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A claim ends once it holds so many bytes: small enough to spread tiny ranges over the threads,
 * large enough that the claim's lock does not matter. */
#define CLAIM_BYTES (256u * KIB)
#define CLAIM_RANGES 1024u
/* Hashed between two releases: the decoder gets its room back while a long range is hashed. */
#define CHUNK_BYTES (256u * KIB)
/* Sleep until so much is there: a wake-up costs as much as hashing 20 KiB, on both sides. */
#define WAIT_BYTES (768u * KIB)

struct hash_stage {
	struct hash_stage_config config; /* constant */
	pthread_mutex_t lock; /* the next three */
	size_t next_range;
	struct hash_stage_counts counts;
	bool incomplete; /* a thread left before the end of its ranges */
	atomic_uint running;
	unsigned started;
	struct hash_thread {
		struct hash_stage *stage;
		size_t consumer;
		pthread_t thread;
	} threads[];
};

static bool claim(struct hash_stage *stage, size_t *first, size_t *end)
{
	const struct image_plan *plan = stage->config.plan;
	size_t count = plan_range_count(plan), i;
	uint64_t bytes = 0;

	pthread_mutex_lock(&stage->lock);
	*first = stage->next_range;
	for (i = *first; i < count && bytes < CLAIM_BYTES && i - *first < CLAIM_RANGES; i++)
		bytes += plan_range_end(plan, i) - plan_range_begin(plan, i);
	stage->next_range = i;
	pthread_mutex_unlock(&stage->lock);
	*end = i;
	return *first < i;
}

static void bad_range_of(struct bmap_bad_range *bad, const struct bmap_map *map, size_t range,
			 const uint8_t *found)
{
	uint64_t begin = bmap_range_begin(map, range);

	*bad = (struct bmap_bad_range){
		.first_block = map->ranges[range].first_block,
		.last_block = map->ranges[range].last_block,
		.offset_bytes = begin,
		.len_bytes = bmap_range_end(map, range) - begin,
		.expected = bmap_range_digest(map, range),
		.found = found,
		.digest_bytes = map->digest_bytes,
	};
}

/* False: the job failed because of it. */
static bool judge(struct hash_stage *stage, size_t range, struct hasher *hasher)
{
	const struct bmap_map *map = stage->config.plan->map;
	const uint8_t *expected = bmap_range_digest(map, range);
	uint8_t found[BMAP_DIGEST_MAX_BYTES];
	struct bmap_bad_range bad;
	struct bmap_error err;
	bool go_on = true;

	if (expected)
		hasher_finish(hasher, found);
	pthread_mutex_lock(&stage->lock);
	if (!expected) {
		stage->counts.ranges_without_checksum++;
	} else {
		stage->counts.ranges_checked++;
		stage->counts.checked_bytes +=
			bmap_range_end(map, range) - bmap_range_begin(map, range);
		if (memcmp(found, expected, map->digest_bytes)) {
			stage->counts.ranges_bad++;
			bad_range_of(&bad, map, range, found);
			go_on = stage->config.on_bad(stage->config.arg, &bad, &err);
		}
	}
	pthread_mutex_unlock(&stage->lock);
	if (!go_on)
		job_fail(stage->config.job, &err);
	return go_on;
}

static void hash_piece(struct hash_thread *self, struct walk *walk, const struct piece *piece,
		       struct hasher *hasher)
{
	struct ring *ring = self->stage->config.ring;
	uint64_t left = piece->len_bytes;

	while (left) {
		size_t n = (size_t)min_u64(left, CHUNK_BYTES);

		if (hasher)
			hasher_update(hasher, ring_at(ring, walk->position), n);
		walk_take(walk, n);
		left -= n;
		ring_release(ring, self->consumer, walk->position);
	}
}

/* Hashes the claimed ranges; false: stopped, failed, or the data ended before. */
static bool hash_claim(struct hash_thread *self, struct walk *walk, struct hasher *hasher)
{
	struct hash_stage *stage = self->stage;
	struct ring *ring = stage->config.ring;
	const struct bmap_map *map = stage->config.plan->map;
	bool finished, begun = false;
	uint64_t decoded = ring_decoded(ring, &finished);
	struct piece piece;

	while (!walk_done(walk)) {
		bool wanted;

		if (!walk_next(walk, decoded, &piece)) {
			if (finished)
				return false;
			ring_release(ring, self->consumer, walk->position);
			if (!ring_wait_decoded(ring, decoded, decoded + WAIT_BYTES, &decoded,
					       &finished))
				return false;
			continue;
		}
		wanted = bmap_range_digest(map, piece.range);
		if (!begun && wanted)
			hasher_begin(hasher);
		begun = true;
		hash_piece(self, walk, &piece, wanted ? hasher : NULL);
		if (walk->range == piece.range)
			continue;
		begun = false;
		if (!judge(stage, piece.range, hasher))
			return false;
	}
	return true;
}

/* Waits for bytes of the ranges it has claimed. Ends when none is left to claim, or the ring was
 * stopped. */
static void *hash_run(void *arg)
{
	struct hash_thread *self = arg;
	struct hash_stage *stage = self->stage;
	const struct hash_stage_config *config = &stage->config;
	struct bmap_error err;
	struct hasher *hasher = hasher_new(config->plan->map->digest, &err);
	size_t first, end;
	struct walk walk;
	bool good = hasher;

	if (!hasher)
		job_fail(config->job, &err);
	walk_init(&walk, config->plan, config->segments, 0, 0);
	while (good && claim(stage, &first, &end)) {
		walk_ranges(&walk, first, end);
		good = hash_claim(self, &walk, hasher);
	}
	hasher_free(hasher);
	if (!good) {
		pthread_mutex_lock(&stage->lock);
		stage->incomplete = true;
		pthread_mutex_unlock(&stage->lock);
	}
	ring_detach(config->ring, self->consumer);
	atomic_fetch_sub(&stage->running, 1);
	job_ring_bell(config->job);
	return NULL;
}

struct hash_stage *hash_stage_start(const struct hash_stage_config *config, struct bmap_error *err)
{
	struct hash_stage *stage =
		calloc(1, sizeof(*stage) + config->threads * sizeof(stage->threads[0]));

	if (!stage) {
		bmap_error_memory(err, "hash stage");
		return NULL;
	}
	stage->config = *config;
	pthread_mutex_init(&stage->lock, NULL);
	for (unsigned i = 0; i < config->threads; i++) {
		struct hash_thread *self = &stage->threads[i];

		*self = (struct hash_thread){ .stage = stage,
					      .consumer = config->first_consumer + i };
		atomic_fetch_add(&stage->running, 1);
		if (!thread_start(&self->thread, "hash", hash_run, self, err)) {
			atomic_fetch_sub(&stage->running, 1);
			ring_stop(config->ring);
			hash_stage_join(stage);
			hash_stage_free(stage);
			return NULL;
		}
		stage->started++;
	}
	return stage;
}

void hash_stage_join(struct hash_stage *stage)
{
	for (; stage->started; stage->started--)
		pthread_join(stage->threads[stage->started - 1].thread, NULL);
}

bool hash_stage_ended(struct hash_stage *stage)
{
	bool ended;

	pthread_mutex_lock(&stage->lock);
	ended = !atomic_load(&stage->running) && !stage->incomplete;
	pthread_mutex_unlock(&stage->lock);
	return ended;
}

void hash_stage_counts(struct hash_stage *stage, struct hash_stage_counts *out)
{
	pthread_mutex_lock(&stage->lock);
	*out = stage->counts;
	pthread_mutex_unlock(&stage->lock);
}

void hash_stage_free(struct hash_stage *stage)
{
	if (!stage)
		return;
	pthread_mutex_destroy(&stage->lock);
	free(stage);
}

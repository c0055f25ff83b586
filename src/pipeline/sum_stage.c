/* SPDX-License-Identifier: MIT */
#include "pipeline/sum_stage.h"
#include "base/checked.h"
#include "base/threads.h"
#include "digest/digest.h"
#include "pipeline/walk.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define XXH3_BYTES 8u
#define FIRST_PIECES 256u
/* Summed between two releases: the decoder gets its room back. */
#define STEP_BYTES (256u * KIB)
/* Sleep until so much is there: a wake-up costs more than summing it. */
#define WAIT_BYTES (768u * KIB)

struct sum_stage {
	struct sum_stage_config config; /* constant */
	pthread_t thread;
	bool joined; /* the joining thread's */
	atomic_bool ended;
	/* The stage's thread until ended, then constant: */
	struct bmap_map map;
	size_t room; /* pieces that there is memory for */
	struct hasher *hasher;
	bool open; /* a piece was begun */
	uint64_t begin, end; /* what was summed of it */
};

static void *sum_run(void *arg);

static bool is_summed(const struct bmap_map *map, bool only_without_digest, size_t range)
{
	return !only_without_digest || !bmap_range_digest(map, range) ||
	       bmap_range_end(map, range) - bmap_range_begin(map, range) > SUM_LONG_RANGE_BYTES;
}

bool sum_stage_is_needed(const struct bmap_map *map, bool only_without_digest)
{
	if (!map)
		return true;
	for (size_t i = 0; i < map->range_count; i++)
		if (is_summed(map, only_without_digest, i))
			return true;
	return false;
}

struct sum_stage *sum_stage_start(const struct sum_stage_config *config, struct bmap_error *err)
{
	struct sum_stage *stage = calloc(1, sizeof(*stage));

	if (!stage) {
		bmap_error_memory(err, "sum stage");
		return NULL;
	}
	stage->config = *config;
	stage->joined = true;
	stage->map = (struct bmap_map){ .version_major = 2,
					.block_size_bytes = 1,
					.digest = DIGEST_XXH3,
					.digest_bytes = XXH3_BYTES };
	stage->hasher = hasher_new(DIGEST_XXH3, err);
	if (!stage->hasher || !thread_start(&stage->thread, "sum", sum_run, stage, err)) {
		sum_stage_free(stage);
		return NULL;
	}
	stage->joined = false;
	return stage;
}

void sum_stage_join(struct sum_stage *stage)
{
	if (!stage->joined)
		pthread_join(stage->thread, NULL);
	stage->joined = true;
}

bool sum_stage_ended(struct sum_stage *stage)
{
	return atomic_load(&stage->ended);
}

const struct bmap_map *sum_stage_map(const struct sum_stage *stage)
{
	return &stage->map;
}

uint64_t sum_stage_total(struct sum_stage *stage)
{
	uint64_t total;

	hasher_begin(stage->hasher);
	if (stage->map.range_count)
		hasher_update(stage->hasher, stage->map.digests,
			      stage->map.range_count * XXH3_BYTES);
	hasher_finish(stage->hasher, (uint8_t *)&total);
	return total;
}

void sum_stage_free(struct sum_stage *stage)
{
	if (!stage)
		return;
	hasher_free(stage->hasher);
	free(stage->map.ranges);
	free(stage->map.digests);
	free(stage);
}

/* --- the stage's thread --- */

static bool grow(struct sum_stage *stage)
{
	size_t room = stage->room ? 2 * stage->room : FIRST_PIECES;
	struct bmap_map *map = &stage->map;
	struct bmap_range *ranges;
	uint8_t *digests;

	if (room > SIZE_MAX / sizeof(*ranges))
		return false;
	ranges = realloc(map->ranges, room * sizeof(*ranges));
	if (ranges)
		map->ranges = ranges;
	digests = realloc(map->digests, room * XXH3_BYTES);
	if (digests)
		map->digests = digests;
	if (!ranges || !digests)
		return false;
	stage->room = room;
	return true;
}

/* False: no memory, which the job was told. */
static bool close_piece(struct sum_stage *stage)
{
	struct bmap_map *map = &stage->map;
	struct bmap_error err;

	if (!stage->open)
		return true;
	stage->open = false;
	if (map->range_count == stage->room && !grow(stage)) {
		bmap_error_memory(&err, "checksums to read back by");
		job_fail(stage->config.job, &err);
		return false;
	}
	map->ranges[map->range_count].first_block = stage->begin;
	map->ranges[map->range_count].last_block = stage->end - 1;
	hasher_finish(stage->hasher, map->digests + map->range_count * XXH3_BYTES);
	map->range_count++;
	map->mapped_blocks += stage->end - stage->begin;
	map->image_size_bytes = map->blocks_count = stage->end;
	return true;
}

static void add(struct sum_stage *stage, const uint8_t *bytes, uint64_t offset, size_t len)
{
	if (!stage->open) {
		hasher_begin(stage->hasher);
		stage->begin = offset;
	}
	stage->open = true;
	stage->end = offset + len;
	hasher_update(stage->hasher, bytes, len);
}

static bool sum_piece(struct sum_stage *stage, struct walk *walk, const struct piece *piece)
{
	struct ring *ring = stage->config.ring;
	uint64_t offset = piece->image_offset, end = offset + piece->len_bytes;
	bool summed =
		is_summed(stage->config.plan->map, stage->config.only_without_digest, piece->range);

	while (offset < end) {
		/* The ring's memory ends there where it is mapped once only. */
		uint64_t n =
			min_u64(STEP_BYTES, ring_size(ring) - walk->position % ring_size(ring));

		n = min_u64(n, SUM_CHUNK_BYTES - offset % SUM_CHUNK_BYTES);
		n = min_u64(n, end - offset);
		if (summed)
			add(stage, ring_at(ring, walk->position), offset, (size_t)n);
		offset += n;
		walk_take(walk, n);
		if ((offset % SUM_CHUNK_BYTES == 0 || walk->range != piece->range) &&
		    !close_piece(stage))
			return false;
		ring_release(ring, stage->config.consumer, walk->position);
	}
	return true;
}

/* False: stopped or failed. */
static bool sum_all(struct sum_stage *stage)
{
	const struct sum_stage_config *config = &stage->config;
	struct ring *ring = config->ring;
	uint64_t decoded = 0;
	bool finished = false;
	struct piece piece;
	struct walk walk;

	walk_init(&walk, config->plan, config->segments, 0, plan_range_count(config->plan));
	while (!walk_done(&walk)) {
		if (walk_next(&walk, decoded, &piece)) {
			if (!sum_piece(stage, &walk, &piece))
				return false;
			continue;
		}
		if (finished)
			break;
		ring_release(ring, config->consumer, walk.position);
		if (!ring_wait_decoded(ring, decoded, decoded + WAIT_BYTES, &decoded, &finished))
			return false;
	}
	/* A stream of unknown length ends inside the last piece. */
	return close_piece(stage);
}

/* Waits for decoded bytes. Ends behind the last range, with the ring's end, or when it is stopped.
 */
static void *sum_run(void *arg)
{
	struct sum_stage *stage = arg;

	if (sum_all(stage))
		atomic_store(&stage->ended, true);
	ring_detach(stage->config.ring, stage->config.consumer);
	job_ring_bell(stage->config.job);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
#include "pipeline/split_stage.h"
#include "base/checked.h"
#include "base/threads.h"
#include "pipeline/walk.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Looked at between two releases: the decoder gets its room back. */
#define STEP_BYTES (256u * KIB)
/* Sleep until so much is there: a wake-up costs more than looking at it. */
#define WAIT_BYTES (768u * KIB)

struct split_stage {
	struct split_stage_config config; /* constant, but for split: the stage's thread */
	pthread_t thread;
	bool joined; /* the joining thread's */
	atomic_bool ended;
	atomic_uint_least64_t done_bytes;
	bool begun; /* the stage's thread, as are all below: a stretch was begun */
	uint64_t next; /* image offset behind its last byte */
};

static void *split_run(void *arg);

struct split_stage *split_stage_start(const struct split_stage_config *config,
				      struct bmap_error *err)
{
	struct split_stage *stage = calloc(1, sizeof(*stage));

	if (!stage) {
		bmap_error_memory(err, "split stage");
		return NULL;
	}
	stage->config = *config;
	if (!thread_start(&stage->thread, "split", split_run, stage, err)) {
		free(stage);
		return NULL;
	}
	return stage;
}

void split_stage_join(struct split_stage *stage)
{
	if (!stage->joined)
		pthread_join(stage->thread, NULL);
	stage->joined = true;
}

bool split_stage_ended(struct split_stage *stage)
{
	return atomic_load(&stage->ended);
}

uint64_t split_stage_done_bytes(struct split_stage *stage)
{
	return atomic_load(&stage->done_bytes);
}

void split_stage_free(struct split_stage *stage)
{
	free(stage);
}

/* --- the stage's thread --- */

/* Behind a gap in the image, or where the last stretch is full, another one begins. Segments lie
 * on multiples of SEGMENT_ALIGN_BYTES only: the bytes in front of such an offset, to its block's
 * begin, are in no segment, so they are zeros. */
static void go_to(struct split_stage *stage, uint64_t offset)
{
	struct zero_split *split = &stage->config.split;

	if (stage->begun && offset == stage->next && offset % stage->config.stretch_bytes)
		return;
	if (stage->begun)
		zero_split_end(split);
	zero_split_begin(split, offset - offset % split->block_bytes);
	split->at = offset;
	stage->begun = true;
}

static void look_at(struct split_stage *stage, const uint8_t *bytes, uint64_t offset, size_t len)
{
	struct zero_split *split = &stage->config.split;
	bool is_data;

	go_to(stage, offset);
	stage->next = offset + len;
	while (len) {
		size_t n = zero_split_next(split, bytes, len, &is_data);

		if (is_data && split->hasher)
			hasher_update(split->hasher, bytes, n);
		bytes += n;
		len -= n;
	}
}

static void split_piece(struct split_stage *stage, struct walk *walk, const struct piece *piece)
{
	struct ring *ring = stage->config.ring;
	uint64_t offset = piece->image_offset, end = offset + piece->len_bytes;
	uint64_t stretch = stage->config.stretch_bytes;

	while (offset < end) {
		/* The ring's memory ends there where it is mapped once only. */
		uint64_t n =
			min_u64(STEP_BYTES, ring_size(ring) - walk->position % ring_size(ring));

		n = min_u64(n, stretch - offset % stretch);
		n = min_u64(n, end - offset);
		look_at(stage, ring_at(ring, walk->position), offset, (size_t)n);
		offset += n;
		walk_take(walk, n);
		atomic_fetch_add(&stage->done_bytes, n);
		ring_release(ring, stage->config.consumer, walk->position);
	}
}

/* False: stopped or failed. */
static bool split_all(struct split_stage *stage)
{
	const struct split_stage_config *config = &stage->config;
	uint64_t decoded = 0;
	bool finished = false;
	struct piece piece;
	struct walk walk;

	walk_init(&walk, config->plan, config->segments, 0, plan_range_count(config->plan));
	while (!walk_done(&walk)) {
		if (walk_next(&walk, decoded, &piece)) {
			split_piece(stage, &walk, &piece);
			continue;
		}
		if (finished)
			break;
		ring_release(config->ring, config->consumer, walk.position);
		if (!ring_wait_decoded(config->ring, decoded, decoded + WAIT_BYTES, &decoded,
				       &finished))
			return false;
	}
	if (stage->begun)
		zero_split_end(&stage->config.split);
	return true;
}

/* Waits for decoded bytes. Ends with the ring's end, or when it is stopped. */
static void *split_run(void *arg)
{
	struct split_stage *stage = arg;

	if (split_all(stage))
		atomic_store(&stage->ended, true);
	ring_detach(stage->config.ring, stage->config.consumer);
	job_ring_bell(stage->config.job);
	return NULL;
}

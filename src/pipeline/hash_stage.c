/* SPDX-License-Identifier: MIT */
/* Why it is fast: two streams hashed together take less time than one after the other (digest.h),
 * so a thread has two lanes, each with ranges of its own. The second one takes what is there
 * anyway: neither ever waits for the other, and where only one has bytes it goes on alone. */
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

#define LANES 2u

struct lane {
	struct walk walk; /* over the ranges it has claimed; done: it has none */
	struct hasher *hasher;
	struct piece piece; /* to be hashed next; without bytes if none are decoded */
	bool begun; /* bytes of the piece's range were hashed */
};

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

/* A thread's own, on its stack: nobody else's cache line. */
struct worker {
	struct hash_stage *stage;
	size_t consumer;
	struct lane lanes[LANES];
	unsigned lane_count;
	uint64_t released; /* the consumer's cursor */
};

/* The next consecutive ranges that nobody has; false: none is left. With the lock held. */
static bool take_batch(struct hash_stage *stage, struct lane *lane)
{
	const struct image_plan *plan = stage->config.plan;
	size_t count = plan_range_count(plan), first = stage->next_range, i;
	uint64_t bytes = 0;

	for (i = first; i < count && bytes < CLAIM_BYTES && i - first < CLAIM_RANGES; i++)
		bytes += plan_range_end(plan, i) - plan_range_begin(plan, i);
	stage->next_range = i;
	walk_ranges(&lane->walk, first, i);
	return first < i;
}

/* Whether or not anything of it is decoded: the thread's cursor can then follow what is. */
static bool claim(struct hash_stage *stage, struct lane *lane)
{
	bool claimed;

	pthread_mutex_lock(&stage->lock);
	claimed = take_batch(stage, lane);
	pthread_mutex_unlock(&stage->lock);
	return claimed;
}

/* Only if its first bytes are decoded: else it is left to a thread that has nothing to do. */
static void claim_decoded(struct hash_stage *stage, struct lane *lane, uint64_t decoded)
{
	size_t first;

	pthread_mutex_lock(&stage->lock);
	first = stage->next_range;
	walk_ranges(&lane->walk, first, min_u64(first + 1, plan_range_count(stage->config.plan)));
	if (walk_next(&lane->walk, decoded, &lane->piece))
		take_batch(stage, lane);
	else
		walk_ranges(&lane->walk, first, first);
	pthread_mutex_unlock(&stage->lock);
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

/* Passes len bytes of the piece, judges the range if these were its last. */
static bool pass(struct hash_stage *stage, struct lane *lane, uint64_t len)
{
	walk_take(&lane->walk, len);
	lane->piece.position += len;
	lane->piece.len_bytes -= len;
	if (lane->walk.range == lane->piece.range)
		return true;
	lane->begun = false;
	return judge(stage, lane->piece.range, lane->hasher);
}

/* Finds the lane's next bytes to be hashed; of ranges without a checksum there are none. False: the
 * job failed. */
static bool find_piece(struct hash_stage *stage, struct lane *lane, uint64_t decoded)
{
	const struct bmap_map *map = stage->config.plan->map;

	while (lane->piece.len_bytes || walk_next(&lane->walk, decoded, &lane->piece)) {
		if (bmap_range_digest(map, lane->piece.range))
			break;
		if (!pass(stage, lane, lane->piece.len_bytes))
			return false;
	}
	return true;
}

enum lanes_state { LANES_HAVE_RANGES, LANES_DONE, LANES_FAILED };

/* Gives the lanes ranges and pieces. LANES_DONE: they have none, and none is left to claim. */
static enum lanes_state prepare(struct worker *self, uint64_t decoded)
{
	struct hash_stage *stage = self->stage;
	struct lane *a = &self->lanes[0], *b = &self->lanes[1];

	/* Again where a whole batch had no checksums. */
	while (!walk_done(&a->walk) || claim(stage, a)) {
		if (!find_piece(stage, a, decoded))
			return LANES_FAILED;
		if (!walk_done(&a->walk))
			break;
	}
	if (self->lane_count == 1)
		return walk_done(&a->walk) ? LANES_DONE : LANES_HAVE_RANGES;
	if (walk_done(&b->walk))
		claim_decoded(stage, b, decoded);
	if (!find_piece(stage, b, decoded))
		return LANES_FAILED;
	return walk_done(&a->walk) && walk_done(&b->walk) ? LANES_DONE : LANES_HAVE_RANGES;
}

/* The thread's cursor is the lower one of its lanes'. A lane that has no ranges holds nothing: what
 * it claims later lies behind all that was claimed before, and so behind the cursor. */
static void release(struct worker *self)
{
	uint64_t position = UINT64_MAX;

	for (unsigned i = 0; i < self->lane_count; i++)
		if (!walk_done(&self->lanes[i].walk))
			position = min_u64(position, self->lanes[i].walk.position);
	/* Its walk may have stayed far behind meanwhile. */
	if (position == UINT64_MAX || position <= self->released)
		return;
	self->released = position;
	ring_release(self->stage->config.ring, self->consumer, position);
}

/* How much of the lane's piece is hashed at once. */
static size_t part(const struct ring *ring, const struct lane *lane)
{
	uint64_t to_end = ring_size(ring) - lane->piece.position % ring_size(ring);

	/* The ring's memory ends there where it is mapped once only. */
	return (size_t)min_u64(min_u64(lane->piece.len_bytes, CHUNK_BYTES), to_end);
}

static void begin(struct lane *lane)
{
	if (!lane->begun)
		hasher_begin(lane->hasher);
	lane->begun = true;
}

static bool hash_one(struct worker *self, struct lane *lane)
{
	const struct ring *ring = self->stage->config.ring;
	size_t len = part(ring, lane);

	begin(lane);
	hasher_update(lane->hasher, ring_at(ring, lane->piece.position), len);
	return pass(self->stage, lane, len);
}

static bool hash_pair(struct worker *self, struct lane *a, struct lane *b)
{
	const struct ring *ring = self->stage->config.ring;
	size_t len = (size_t)min_u64(part(ring, a), part(ring, b));

	begin(a);
	begin(b);
	hasher_update_pair(a->hasher, ring_at(ring, a->piece.position), b->hasher,
			   ring_at(ring, b->piece.position), len);
	return pass(self->stage, a, len) && pass(self->stage, b, len);
}

/* Hashes what the lanes have of the bytes below decoded; waits for more only if neither has any.
 * False: failed, stopped, or the data ended before the ranges. */
static bool hash_next(struct worker *self, uint64_t decoded, bool finished)
{
	struct ring *ring = self->stage->config.ring;
	struct lane *a = &self->lanes[0], *b = &self->lanes[1];

	if (a->piece.len_bytes && b->piece.len_bytes)
		return hash_pair(self, a, b);
	if (a->piece.len_bytes || b->piece.len_bytes)
		return hash_one(self, a->piece.len_bytes ? a : b);
	return !finished &&
	       ring_wait_decoded(ring, decoded, decoded + WAIT_BYTES, &decoded, &finished);
}

/* True once every range is somebody's and this thread's are done. */
static bool hash_ranges(struct worker *self)
{
	const struct ring *ring = self->stage->config.ring;
	enum lanes_state state;
	uint64_t decoded;
	bool finished;

	for (;;) {
		/* Anew each time: bytes for the second lane may have come. */
		decoded = ring_decoded(ring, &finished);
		state = prepare(self, decoded);
		if (state != LANES_HAVE_RANGES)
			return state == LANES_DONE;
		release(self);
		if (!hash_next(self, decoded, finished))
			return false;
	}
}

static bool open_lanes(struct worker *self, struct bmap_error *err)
{
	const struct hash_stage_config *config = &self->stage->config;

	self->lane_count = 1;
	for (unsigned i = 0; i < self->lane_count; i++) {
		struct lane *lane = &self->lanes[i];

		lane->hasher = hasher_new_pairing(config->plan->map->digest, err);
		if (!lane->hasher)
			return false;
		walk_init(&lane->walk, config->plan, config->segments, 0, 0);
		self->lane_count = hasher_pairs(lane->hasher) ? LANES : 1;
	}
	return true;
}

/* Waits for bytes of the ranges it has claimed. Ends when none is left to claim, or the ring was
 * stopped. */
static void *hash_run(void *arg)
{
	const struct hash_thread *thread = arg;
	struct hash_stage *stage = thread->stage;
	const struct hash_stage_config *config = &stage->config;
	struct worker self = { .stage = stage, .consumer = thread->consumer };
	struct bmap_error err;
	bool good = open_lanes(&self, &err);

	if (!good)
		job_fail(config->job, &err);
	good = good && hash_ranges(&self);
	for (unsigned i = 0; i < self.lane_count; i++)
		hasher_free(self.lanes[i].hasher);
	if (!good) {
		pthread_mutex_lock(&stage->lock);
		stage->incomplete = true;
		pthread_mutex_unlock(&stage->lock);
	}
	ring_detach(config->ring, self.consumer);
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

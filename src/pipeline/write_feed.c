/* SPDX-License-Identifier: MIT */
/* From pieces to requests. A run grows over pieces that touch, in memory and in the image; full
 * requests are cut off its front. Less than a full request goes only when the run is closed (the
 * next piece does not touch), or when the producer waits for room that the run may hold. What does
 * not fill a sector goes to the edges. */
#include "pipeline/write_lane_internal.h"
#include "base/checked.h"

#include <inttypes.h>

#define FEW_TAGS 4u /* submission could sleep in the kernel: have a kernel worker do it */

static bool next_piece(struct lane *lane, struct piece *piece);
static void take_piece(struct lane *lane, const struct piece *piece);
static bool run_extend(struct lane *lane);
static bool run_feed(struct lane *lane);
static bool run_gather(struct lane *lane, uint64_t len);
static bool run_write(struct lane *lane, size_t len);
static void run_advance(struct run *run, uint64_t len);

void feed_begin(struct lane *lane, enum feed_kind kind, uint64_t begin, uint64_t end)
{
	lane->feed = kind;
	lane->feed_next = begin;
	lane->feed_end = end;
	lane->feed_range = 0;
	lane->run = (struct run){ 0 };
	lane->ended = lane->aborted = false;
}

bool feed_step(struct lane *lane)
{
	lane->blocked = false;
	edges_step(lane);
	while (!lane->aborted && run_feed(lane))
		;
	edges_step(lane);
	feed_release(lane);
	if (lane->aborted) /* the lane has left this state, unless it is the last, best effort */
		return lane->state == LANE_REZERO && !lane->in_flight;
	return lane->ended && !lane->run.len_bytes && edges_idle(&lane->edges) && !lane->in_flight;
}

/* --- pieces --- */

static bool ring_piece(struct lane *lane, struct piece *piece)
{
	while (walk_next(&lane->walk, lane->stage->decoded, piece)) {
		lane->saw_first = true;
		if (!lane->withheld || piece->image_offset >= HEAD_BYTES)
			return true;
		/* The collector has a cursor of its own. */
		walk_take(&lane->walk, min_u64(piece->len_bytes, HEAD_BYTES - piece->image_offset));
	}
	lane->ended = lane->stage->finished || walk_done(&lane->walk);
	return false;
}

/* As walk_next(), over the plan's ranges in [feed_next, feed_end). */
static bool buffer_piece(struct lane *lane, struct piece *piece)
{
	const struct image_plan *plan = lane->stage->config.plan;

	for (; lane->feed_range < plan_range_count(plan); lane->feed_range++) {
		uint64_t begin = max_u64(plan_range_begin(plan, lane->feed_range), lane->feed_next);
		uint64_t end = min_u64(plan_range_end(plan, lane->feed_range), lane->feed_end);

		if (begin >= lane->feed_end)
			break;
		if (begin < end) {
			*piece = (struct piece){ .position = begin,
						 .image_offset = begin,
						 .len_bytes = end - begin,
						 .range = lane->feed_range };
			return true;
		}
	}
	lane->ended = true;
	return false;
}

static bool next_piece(struct lane *lane, struct piece *piece)
{
	return lane->feed == FEED_RING ? ring_piece(lane, piece) : buffer_piece(lane, piece);
}

static void take_piece(struct lane *lane, const struct piece *piece)
{
	if (lane->feed == FEED_RING)
		walk_take(&lane->walk, piece->len_bytes);
	else
		lane->feed_next = piece->image_offset + piece->len_bytes;
}

void feed_skip(struct lane *lane)
{
	struct piece piece;

	ring_piece(lane, &piece);
	feed_release(lane);
}

void feed_release(struct lane *lane)
{
	uint64_t needed = lane->walk.position;

	if (lane->left_ring)
		return;
	if (lane->feed == FEED_RING && lane->run.len_bytes && !lane->aborted)
		needed = lane->run.position;
	for (size_t i = 0; i < lane->request_count; i++) {
		const struct write_request *req = &lane->requests[i];

		if (req->in_flight && req->kind == REQUEST_RING)
			needed = min_u64(needed, req->position);
	}
	lane->released = needed;
	ring_release(lane->stage->config.ring, lane->consumer, needed);
}

/* --- memory --- */

const uint8_t *feed_memory(const struct lane *lane, uint64_t position)
{
	switch (lane->feed) {
	case FEED_RING:
		return ring_at(lane->stage->config.ring, position);
	case FEED_ZEROS:
		return lane->stage->head.zeros + position;
	case FEED_HEAD:
		break;
	}
	return lane->stage->head.bytes + position;
}

uint64_t feed_contiguous(const struct lane *lane, uint64_t position)
{
	uint64_t size = ring_size(lane->stage->config.ring);

	return lane->feed == FEED_RING ? size - position % size : HEAD_BYTES - position;
}

/* Where the run stands on a sector's border: from there to the largest request's end, or to the
 * ring's; 0 if the sector itself crosses that. */
uint64_t feed_full_request(const struct lane *lane)
{
	uint64_t max = max_u64(lane->target->max_request_bytes, lane->target->align_bytes);

	return align_down(min_u64(max, feed_contiguous(lane, lane->run.position)),
			  lane->target->align_bytes);
}

/* --- the run --- */

static bool beyond_target(struct lane *lane, const struct piece *piece)
{
	const struct target *target = lane->target;
	uint64_t end = piece->image_offset + piece->len_bytes;
	uint64_t image_size = lane->stage->config.plan->image_size_bytes;
	struct bmap_error err;

	if (!target->has_size || end <= target->size_bytes)
		return false;
	bmap_error_set(&err, BMAP_ERR_REFUSED,
		       "%s: image is larger than the device: it has %s%" PRIu64
		       " bytes, the device %" PRIu64,
		       target->name, image_size == SIZE_UNKNOWN ? "at least " : "",
		       image_size == SIZE_UNKNOWN ? end : image_size, target->size_bytes);
	err.has_offset = true;
	err.offset_bytes = target->size_bytes;
	lane_fail(lane, &err);
	return true;
}

/* Is the piece's end a range's end that no other range touches? */
static bool last_of_touching(const struct image_plan *plan, const struct piece *piece)
{
	uint64_t end = piece->image_offset + piece->len_bytes;

	return end == plan_range_end(plan, piece->range) &&
	       (piece->range + 1 == plan_range_count(plan) ||
		plan_range_begin(plan, piece->range + 1) != end);
}

/* Takes the pieces that touch the run, or begin it; false if the lane failed. */
static bool run_extend(struct lane *lane)
{
	struct run *run = &lane->run;
	struct piece piece;

	while (!run->closed && next_piece(lane, &piece)) {
		if (run->len_bytes && (piece.position != run->position + run->len_bytes ||
				       piece.image_offset != run->image_offset + run->len_bytes)) {
			run->closed = true;
			break;
		}
		if (beyond_target(lane, &piece))
			return false;
		if (!run->len_bytes) {
			run->position = piece.position;
			run->image_offset = piece.image_offset;
		}
		run->len_bytes += piece.len_bytes;
		take_piece(lane, &piece);
		run->closed = last_of_touching(lane->stage->config.plan, &piece);
	}
	if (lane->ended)
		run->closed = true;
	return true;
}

static void run_advance(struct run *run, uint64_t len)
{
	run->position += len;
	run->image_offset += len;
	run->len_bytes -= len;
	if (!run->len_bytes)
		run->closed = false;
}

/* The producer may be waiting for what the run holds. While requests are in flight their
 * completions will make room: then only what is worth a request goes early. */
static bool pressed_to_write(const struct lane *lane)
{
	return lane->stage->pressed &&
	       (!lane->in_flight || lane->run.len_bytes >= lane->target->max_request_bytes / 4);
}

/* One request or fragment from the run's front; false: nothing more can go now. */
static bool run_feed(struct lane *lane)
{
	struct run *run = &lane->run;
	uint64_t align = lane->target->align_bytes, into, full, body;

	if (!run_extend(lane))
		return false;
	if (!run->len_bytes) {
		if (lane->ended)
			edges_pass(lane, UINT64_MAX);
		return false;
	}
	edges_pass(lane, run->image_offset);
	into = run->image_offset % align;
	if (into)
		return run_gather(lane, min_u64(align - into, run->len_bytes));
	full = feed_full_request(lane);
	if (!full)
		return run_gather(lane, min_u64(align, run->len_bytes));
	body = min_u64(full, run->len_bytes - run->len_bytes % align);
	if (body < full && !run->closed && !pressed_to_write(lane))
		return false;
	if (!body)
		return run_gather(lane, run->len_bytes);
	return run_write(lane, body);
}

static bool run_gather(struct lane *lane, uint64_t len)
{
	len = min_u64(len, feed_contiguous(lane, lane->run.position));
	if (!edges_gather(lane, lane->run.image_offset, feed_memory(lane, lane->run.position), len))
		return false;
	run_advance(&lane->run, len);
	return true;
}

static bool run_write(struct lane *lane, size_t len)
{
	struct write_request *req = feed_request(lane, len);

	if (!req)
		return false;
	req->kind = lane->feed == FEED_RING ? REQUEST_RING : REQUEST_BUFFER;
	req->position = lane->run.position;
	req->mapped_bytes = lane->feed == FEED_ZEROS ? 0 : len;
	req->io.op = IO_WRITE;
	req->io.fd = lane->target->fd;
	/* The engine only reads from it: the same request structure serves reads. */
	req->io.data = (uint8_t *)feed_memory(lane, lane->run.position);
	req->io.len_bytes = len;
	req->io.offset_bytes = lane->run.image_offset;
	if (!feed_submit(lane, req))
		return false;
	run_advance(&lane->run, len);
	return true;
}

/* --- requests --- */

static unsigned tags_of(const struct target *target, size_t len)
{
	size_t tag = target->tag_bytes;

	return tag && len > tag ? (unsigned)div_round_up(len, tag) : 1;
}

struct write_request *feed_request(struct lane *lane, size_t len)
{
	struct write_request *req = lane->free_request;
	unsigned tags = tags_of(lane->target, len);

	if (!window_allows(&lane->window, ring_size(lane->stage->config.ring), lane->in_flight,
			   lane->in_flight_bytes, lane->in_flight_tags, len, tags)) {
		window_limited(&lane->window);
		req = NULL;
	}
	if (!req) {
		lane->blocked = true;
		return NULL;
	}
	lane->free_request = req->next_free;
	*req = (struct write_request){ .lane = lane, .tags = tags };
	req->io.owner = req;
	if (lane->target->queue_tags && lane->target->queue_tags <= FEW_TAGS)
		req->io.flags = IO_ASYNC;
	return req;
}

void feed_request_free(struct lane *lane, struct write_request *req)
{
	req->in_flight = false;
	req->next_free = lane->free_request;
	lane->free_request = req;
}

bool feed_submit(struct lane *lane, struct write_request *req)
{
	if (!engine_queue(lane->stage->engine, &req->io)) {
		feed_request_free(lane, req);
		lane->blocked = true;
		return false;
	}
	req->in_flight = true;
	req->queued_ns = lane->stage->now_ns;
	if (!lane->in_flight)
		lane->progress_ns = lane->busy_since_ns = req->queued_ns;
	lane->in_flight++;
	lane->in_flight_bytes += req->io.len_bytes;
	lane->in_flight_tags += req->tags;
	if (lane->feed == FEED_HEAD && req->io.op == IO_WRITE) {
		lane->head_dirty = true;
		lane->head_zeroed = false;
	}
	return true;
}

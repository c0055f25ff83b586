/* SPDX-License-Identifier: MIT */
#include "pipeline/write_lane_internal.h"
#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#define SECTOR_BYTES 512u /* what the kernel's messages count in */

static void lane_advance(struct lane *lane);

unsigned lane_depth(const struct write_stage_config *config, size_t index)
{
	struct window window;

	window_init(&window, config->queue_depth, config->targets[index]->queue_tags);
	return window.max_requests;
}

bool lane_init(struct lane *lane, struct write_stage *stage, size_t index, struct bmap_error *err)
{
	const struct write_stage_config *config = &stage->config;
	struct target *target = config->targets[index];

	*lane = (struct lane){
		.stage = stage,
		.target = target,
		.consumer = config->first_consumer + index,
		.withheld = target->withhold_head && stage->head.end_range > 0,
		.reads_back = config->read_back && target->kind != TARGET_CHARACTER_DEVICE,
		.head_zeroed = target->head_zeroed,
	};
	window_init(&lane->window, config->queue_depth, target->queue_tags);
	lane->request_count = lane->window.max_requests;
	lane->requests = calloc(lane->request_count, sizeof(*lane->requests));
	if (!lane->requests)
		return bmap_error_memory(err, target->name);
	for (size_t i = 0; i < lane->request_count; i++)
		feed_request_free(lane, &lane->requests[i]);
	walk_init(&lane->walk, config->plan, config->segments, 0, plan_range_count(config->plan));
	if (lane->withheld)
		head_commit_block(config->plan, target->align_bytes, &lane->commit_begin,
				  &lane->commit_end);
	feed_begin(lane, FEED_RING, 0, 0);
	lane->shown.window = lane->shown.largest_window = lane->window.requests;
	return true;
}

void lane_free(struct lane *lane)
{
	free(lane->requests);
	edges_free(&lane->edges);
}

/* --- the end of a lane --- */

static bool is_final(const struct lane *lane)
{
	return lane->state == LANE_FINAL;
}

static void leave_ring(struct lane *lane)
{
	if (!lane->left_ring)
		ring_detach(lane->stage->config.ring, lane->consumer);
	lane->left_ring = true;
}

static void enter(struct lane *lane, enum lane_state state)
{
	lane->state = state;
	lane->flush_begun = lane->flush_done = false;
}

static void finish(struct lane *lane, enum bmap_target_state result)
{
	leave_ring(lane);
	lane->result = result;
	lane->target->head_zeroed = lane->head_zeroed;
	enter(lane, LANE_FINAL);
}

/* Does its result stand, whatever comes? */
static bool is_decided(const struct lane *lane)
{
	return lane->failing && lane->result != BMAP_TARGET_DETACHED;
}

/* What is in flight is waited for; nothing more is submitted. */
static void end_with(struct lane *lane, const struct bmap_error *err, enum bmap_target_state result)
{
	lane->aborted = true;
	if (is_decided(lane)) /* the first error stands */
		return;
	lane->failing = true;
	lane->error = *err;
	lane->result = result;
	enter(lane, LANE_DRAIN);
}

void lane_fail(struct lane *lane, const struct bmap_error *err)
{
	end_with(lane, err, BMAP_TARGET_FAILED);
}

void lane_fail_at(struct lane *lane, int errnum, const char *what, uint64_t len_bytes,
		  uint64_t offset_bytes)
{
	struct bmap_error err;

	bmap_error_errnum(
		&err, errnum,
		"%s: cannot %s %" PRIu64 " bytes at offset %" PRIu64 " (sector %" PRIu64 ")",
		lane->target->name, what, len_bytes, offset_bytes, offset_bytes / SECTOR_BYTES);
	err.has_offset = true;
	err.offset_bytes = offset_bytes;
	lane_fail(lane, &err);
}

void lane_give_up(struct lane *lane, const struct bmap_error *why)
{
	lane_fail(lane, why);
	lane->abandoned = lane->in_flight > 0 || lane->reading;
	finish(lane, lane->result);
}

void lane_detach(struct lane *lane)
{
	lane->aborted = lane->failing = true;
	lane->result = BMAP_TARGET_DETACHED;
	leave_ring(lane);
	enter(lane, LANE_DRAIN);
}

/* Has the lane begun its last request? Then a stop is too late, and success is near. */
static bool past_stop(const struct lane *lane)
{
	if (is_decided(lane) || is_final(lane))
		return true;
	if (lane->state == LANE_FLUSH && !lane->withheld && !lane->reads_back)
		return lane->flush_begun;
	return lane->state >= LANE_FIRST && lane->state < LANE_DRAIN;
}

static void heed_stop(struct lane *lane)
{
	const struct bmap_error *why = &lane->stage->why_seen;

	if (lane->stage->stopped && !past_stop(lane))
		end_with(lane, why,
			 why->code == BMAP_ERR_INTERRUPTED ? BMAP_TARGET_INTERRUPTED
							   : BMAP_TARGET_FAILED);
}

/* --- flush --- */

/* True once the device's cache was flushed. */
static bool flush(struct lane *lane)
{
	struct write_request *req;

	if (lane->flush_done || lane->flush_begun)
		return lane->flush_done;
	/* The lane is drained: window and free list have room. */
	req = feed_request(lane, 0);
	if (!req)
		return false;
	req->kind = REQUEST_FLUSH;
	req->io.op = IO_DATASYNC;
	req->io.fd = lane->target->fd;
	lane->flush_begun = feed_submit(lane, req);
	return false;
}

static void flush_completed(struct lane *lane, const struct write_request *req)
{
	struct bmap_error err;

	if (lane->state >= LANE_FLUSH && lane->state <= LANE_FIRST_FLUSH)
		lane->flush_ns += lane->stage->now_ns - req->queued_ns;
	lane->flush_done = true;
	if (req->io.result >= 0)
		return;
	bmap_error_errnum(&err, (int)-req->io.result,
			  "%s: cannot flush: what was written may not be on the medium",
			  lane->target->name);
	lane_fail(lane, &err);
}

/* --- the steps of a life --- */

static void enter_head(struct lane *lane, enum lane_state state, enum feed_kind kind,
		       uint64_t begin, uint64_t end)
{
	feed_begin(lane, kind, begin, min_u64(end, lane->stage->head.end_bytes));
	enter(lane, state);
}

static void enter_body(struct lane *lane)
{
	feed_begin(lane, FEED_RING, 0, 0);
	enter(lane, LANE_BODY);
}

/* Until the image's first wanted byte was decoded, nothing is touched. How much of the head a
 * stream of unknown length maps is known only when it was collected. */
static void wait_first(struct lane *lane)
{
	const struct write_stage *stage = lane->stage;
	bool size_known = stage->config.plan->image_size_bytes != SIZE_UNKNOWN;

	feed_skip(lane);
	if (!lane->saw_first && !lane->ended)
		return;
	if (lane->withheld && !size_known && !stage->head.collected)
		return;
	lane->withheld = lane->withheld && lane->saw_first;
	if (lane->withheld)
		enter_head(lane, LANE_ZERO, FEED_ZEROS, 0, HEAD_BYTES);
	else
		enter_body(lane);
}

static void body_written(struct lane *lane)
{
	leave_ring(lane);
	enter(lane, LANE_VERDICT);
}

static uint64_t mapped_head_bytes(const struct write_stage *stage)
{
	const struct image_plan *plan = stage->config.plan;
	uint64_t sum = 0;

	for (size_t i = 0; i < stage->head.end_range; i++)
		sum += min_u64(plan_range_end(plan, i), HEAD_BYTES) - plan_range_begin(plan, i);
	return sum;
}

/* The other stages vouch for the source; this checks ourselves: all that is mapped, no more, no
 * less, was written. */
static bool all_is_written(struct lane *lane)
{
	const struct image_plan *plan = lane->stage->config.plan;
	uint64_t expected = plan->map ? bmap_mapped_bytes(plan->map) : plan->image_size_bytes;
	uint64_t written = lane->completed_bytes;
	struct bmap_error err;

	if (expected == SIZE_UNKNOWN)
		return true;
	if (lane->withheld)
		written += mapped_head_bytes(lane->stage);
	if (written == expected)
		return true;
	bmap_error_set(&err, BMAP_ERR_DATA,
		       "%s: the image ended early: %" PRIu64 " of %" PRIu64
		       " mapped bytes were written",
		       lane->target->name, written, expected);
	lane_fail(lane, &err);
	return false;
}

static void verdict(struct lane *lane)
{
	if (!lane->stage->committed || !all_is_written(lane))
		return;
	if (lane->target->needs_flush || lane->withheld)
		enter(lane, LANE_FLUSH);
	else
		finish(lane, BMAP_TARGET_DONE);
}

static void body_is_good(struct lane *lane)
{
	if (lane->withheld)
		enter_head(lane, LANE_HEAD, FEED_HEAD, lane->commit_end, HEAD_BYTES);
	else
		finish(lane, BMAP_TARGET_DONE);
}

static void ask_read_back(struct lane *lane, enum lane_state state, enum read_back_step step)
{
	enter(lane, state);
	back_begin(lane, step);
}

static void body_flushed(struct lane *lane)
{
	if (lane->reads_back)
		ask_read_back(lane, LANE_READ_BACK, READ_BACK_BODY);
	else
		body_is_good(lane);
}

/* True once what was asked for was read back and found good. */
static bool read_back(struct lane *lane)
{
	if (lane->reading)
		return false;
	if (lane->read_back_answer.code == BMAP_ERR_NONE)
		return true;
	/* The stop that ended it is seen in the next turn. */
	if (lane->read_back_answer.code == BMAP_ERR_INTERRUPTED)
		return false;
	lane_fail(lane, &lane->read_back_answer);
	return false;
}

static void enter_first(struct lane *lane)
{
	enter_head(lane, LANE_FIRST, FEED_HEAD, lane->commit_begin, lane->commit_end);
}

static void first_flushed(struct lane *lane)
{
	if (lane->reads_back)
		ask_read_back(lane, LANE_HEAD_BACK, READ_BACK_HEAD);
	else
		finish(lane, BMAP_TARGET_DONE);
}

static void head_written(struct lane *lane)
{
	if (lane->head_dirty)
		enter(lane, LANE_HEAD_FLUSH);
	else /* nothing is mapped behind the commit block */
		enter_first(lane);
}

static void drained(struct lane *lane)
{
	edges_reset(lane);
	leave_ring(lane);
	if (lane->head_dirty)
		enter_head(lane, LANE_REZERO, FEED_ZEROS, 0, HEAD_BYTES);
	else
		finish(lane, lane->result);
}

static void lane_advance(struct lane *lane)
{
	switch (lane->state) {
	case LANE_WAIT:
		wait_first(lane);
		break;
	case LANE_ZERO:
		if (feed_step(lane))
			enter(lane, LANE_ZERO_FLUSH);
		break;
	case LANE_ZERO_FLUSH:
		if (flush(lane)) {
			lane->head_zeroed = !lane->failing;
			enter_body(lane);
		}
		break;
	case LANE_BODY:
		if (feed_step(lane))
			body_written(lane);
		break;
	case LANE_VERDICT:
		verdict(lane);
		break;
	case LANE_FLUSH:
		if (flush(lane))
			body_flushed(lane);
		break;
	case LANE_READ_BACK:
		if (read_back(lane))
			body_is_good(lane);
		break;
	case LANE_HEAD:
		if (feed_step(lane))
			head_written(lane);
		break;
	case LANE_HEAD_FLUSH:
		if (flush(lane))
			enter_first(lane);
		break;
	case LANE_FIRST:
		if (feed_step(lane))
			enter(lane, LANE_FIRST_FLUSH);
		break;
	case LANE_FIRST_FLUSH:
		if (flush(lane))
			first_flushed(lane);
		break;
	case LANE_HEAD_BACK:
		if (read_back(lane))
			finish(lane, BMAP_TARGET_DONE);
		break;
	case LANE_DRAIN:
		feed_release(lane);
		if (!lane->in_flight && !lane->reading)
			drained(lane);
		break;
	case LANE_REZERO:
		if (feed_step(lane))
			enter(lane, LANE_REZERO_FLUSH);
		break;
	case LANE_REZERO_FLUSH:
		if (flush(lane)) {
			lane->head_zeroed = !lane->aborted;
			finish(lane, lane->result);
		}
		break;
	case LANE_FINAL:
		break;
	}
}

void lane_step(struct lane *lane)
{
	enum lane_state before;

	back_hear(lane);
	heed_stop(lane);
	do {
		before = lane->state;
		lane_advance(lane);
	} while (lane->state != before);
}

/* --- completions --- */

static void write_completed(struct lane *lane, struct write_request *req)
{
	const char *what = req->io.op == IO_READ ? "read" : "write";
	ssize_t result = req->io.result;

	if (result >= 0 && req->io.op == IO_WRITE && (size_t)result != req->io.len_bytes)
		result = -EIO; /* engine.h promises it all */
	if (result < 0)
		lane_fail_at(lane, (int)-result, what, req->io.len_bytes, req->io.offset_bytes);
	else if (req->kind == REQUEST_EDGE)
		edges_completed(lane, req);
	else
		lane->completed_bytes += req->mapped_bytes;
}

/* Some file systems accept O_DIRECT when a file is opened and refuse the first request. */
static bool without_direct(struct lane *lane)
{
	struct target *target = lane->target;
	int flags;

	if (!target->direct)
		return true;
	flags = fcntl(target->fd, F_GETFL);
	if (flags < 0 || fcntl(target->fd, F_SETFL, flags & ~O_DIRECT) < 0)
		return false;
	target->direct = false;
	log_info(job_log(lane->stage->config.job),
		 "%s: its file system does not do direct I/O: goes through the page cache",
		 target->name);
	return true;
}

/* True if the request is in flight again. */
static bool again_without_direct(struct lane *lane, struct write_request *req)
{
	if (req->io.result != -EINVAL || req->direct_refused || lane->aborted ||
	    req->kind == REQUEST_FLUSH || lane->target->kind != TARGET_REGULAR_FILE)
		return false;
	req->direct_refused = true;
	return without_direct(lane) && engine_queue(lane->stage->engine, &req->io);
}

void lane_completed(struct lane *lane, struct write_request *req)
{
	uint64_t now = lane->stage->now_ns;

	if (again_without_direct(lane, req))
		return;
	/* First, on every path: the drain counts on it. */
	lane->in_flight--;
	if (!lane->in_flight)
		lane->busy_ns += now - lane->busy_since_ns;
	lane->retries += req->io.resubmitted;
	lane->in_flight_bytes -= req->io.len_bytes;
	lane->in_flight_tags -= req->tags;
	lane->progress_ns = now;
	lane->stall_said = false;
	if (is_final(lane)) { /* given up, and answers after all */
		lane->abandoned = lane->in_flight > 0 || lane->reading;
	} else if (req->kind == REQUEST_FLUSH) {
		flush_completed(lane, req);
	} else {
		window_completed(&lane->window, req->io.len_bytes, req->queued_ns, now);
		write_completed(lane, req);
	}
	feed_request_free(lane, req);
}

/* --- what others see --- */

bool lane_wants(const struct lane *lane, uint64_t *have, uint64_t *want)
{
	const struct run *run = &lane->run;
	uint64_t next = lane->walk.position;

	if (lane->state != LANE_WAIT && lane->state != LANE_BODY)
		return false;
	if (lane->ended || lane->blocked)
		return false;
	if (lane->state == LANE_BODY && run->len_bytes)
		next = run->position;
	*have = next;
	/* What completions will soon release need not be hurried: see pressed_to_write(). */
	if (lane->in_flight && run->len_bytes < lane->target->max_request_bytes / 4)
		*have = max_u64(next, lane->stage->decoded);
	*want = next + max_u64(lane->target->max_request_bytes, 1);
	if (lane->state == LANE_BODY && run->len_bytes)
		*want = next + max_u64(feed_full_request(lane), lane->target->align_bytes);
	return true;
}

static enum bmap_target_state shown_state(const struct lane *lane)
{
	switch (lane->state) {
	case LANE_WAIT:
		return BMAP_TARGET_WAITING;
	case LANE_ZERO:
	case LANE_ZERO_FLUSH:
	case LANE_BODY:
		return BMAP_TARGET_WRITING;
	case LANE_VERDICT:
		return BMAP_TARGET_WRITTEN;
	case LANE_FLUSH:
		return BMAP_TARGET_FLUSHING;
	case LANE_READ_BACK:
		return BMAP_TARGET_READING_BACK;
	case LANE_HEAD:
	case LANE_HEAD_FLUSH:
	case LANE_FIRST:
	case LANE_FIRST_FLUSH:
	case LANE_HEAD_BACK:
		return BMAP_TARGET_HEAD;
	case LANE_DRAIN:
	case LANE_REZERO:
	case LANE_REZERO_FLUSH:
		if (lane->result == BMAP_TARGET_DETACHED)
			break;
		return lane->shown.state; /* not final yet: as it was */
	case LANE_FINAL:
		break;
	}
	return lane->result;
}

void lane_publish(struct lane *lane)
{
	struct write_stage *stage = lane->stage;
	struct lane_status *shown =
		&lane->shown; /* only this thread writes it: read without lock */
	enum bmap_target_state state = shown_state(lane);
	bool changed = state != shown->state || lane->abandoned != shown->abandoned;

	if (!changed && lane->completed_bytes == shown->completed_bytes &&
	    lane->window.requests == shown->window && lane->flush_ns == shown->flush_ns)
		return;
	pthread_mutex_lock(&stage->lock);
	shown->state = state;
	shown->completed_bytes = lane->completed_bytes;
	shown->window = lane->window.requests;
	shown->largest_window = lane->window.largest;
	shown->flush_ns = lane->flush_ns;
	shown->busy_ns = lane->busy_ns;
	if (lane->in_flight)
		shown->busy_ns += stage->now_ns - lane->busy_since_ns;
	shown->retries = lane->retries;
	shown->head_zeroed = lane->head_zeroed;
	shown->abandoned = lane->abandoned;
	shown->read_back_ns = lane->read_back_ns;
	if (is_final(lane)) {
		shown->error = lane->error;
		pthread_cond_broadcast(&stage->read_back_cond);
	}
	pthread_mutex_unlock(&stage->lock);
	if (changed)
		job_ring_bell(stage->config.job);
}

/* SPDX-License-Identifier: MIT */
/* The rule. A target's own speed is what it completed over the time in which it had requests in
 * flight. All targets complete the same bytes, but for the ring's depth: so one that was busy for
 * less than half of the time in which the straggler was is held below half of its own speed, and
 * no bytes need to be compared. A target that completes nothing at all fits in without a case of
 * its own. The decoder is held likewise if it waited for room for more than half of the span.
 *
 * "The others" are at least half of those that are still being written: two slow cards among eight
 * are both left for later, but seven are not, for the sake of one that is fast.
 *
 * A span begins when a straggler is first seen, and begins anew whenever its sums no longer show
 * one. What comes in bursts, as flash memory does, is so judged by what it does on average. */
#include "pipeline/write_straggler.h"
#include "pipeline/write_lane_internal.h"
#include "base/checked.h"
#include "base/clock.h"

#include <stdlib.h>

#define LOOKS_A_SPAN 8u

static size_t most_holding(const struct straggler_share *lanes, size_t count)
{
	size_t most = STRAGGLER_NONE;

	for (size_t i = 0; i < count; i++)
		if (lanes[i].running &&
		    (most == STRAGGLER_NONE || lanes[i].holding_ns > lanes[most].holding_ns))
			most = i;
	return most;
}

size_t straggler_find(const struct straggler_share *lanes, size_t count, uint64_t span_ns,
		      uint64_t room_wait_ns)
{
	size_t slowest = most_holding(lanes, count), others = 0, held = 0;

	if (slowest == STRAGGLER_NONE || lanes[slowest].holding_ns < span_ns / 2 ||
	    room_wait_ns < span_ns / 2)
		return STRAGGLER_NONE;
	for (size_t i = 0; i < count; i++) {
		if (i == slowest || !lanes[i].running)
			continue;
		others++;
		held += lanes[i].busy_ns < lanes[slowest].busy_ns / 2;
	}
	return others && held >= others - held ? slowest : STRAGGLER_NONE;
}

/* --- in the write stage --- */

static bool is_running(const struct lane *lane)
{
	return lane->state <= LANE_BODY && !lane->failing;
}

static uint64_t busy_ns(const struct lane *lane)
{
	uint64_t now = lane->stage->now_ns;

	return lane->busy_ns + (lane->in_flight ? now - lane->busy_since_ns : 0);
}

static void begin_span(struct write_stage *stage)
{
	struct straggler_watch *watch = &stage->watch;

	watch->span_begin_ns = stage->now_ns;
	watch->span_room_wait_ns = 0;
	for (size_t i = 0; i < stage->config.target_count; i++) {
		struct lane *lane = &stage->lanes[i];

		lane->span_busy_ns = busy_ns(lane);
		lane->span_holding_ns = 0;
		lane->span_completed_bytes = lane->completed_bytes;
	}
}

bool straggler_init(struct write_stage *stage, struct bmap_error *err)
{
	struct straggler_watch *watch = &stage->watch;

	if (!stage->config.detach || stage->config.target_count < 2)
		return true;
	watch->look_ns = stage->config.straggler_seconds * NS_PER_S / LOOKS_A_SPAN;
	watch->shares = calloc(stage->config.target_count, sizeof(*watch->shares));
	return watch->shares || bmap_error_memory(err, "targets");
}

void straggler_free(struct write_stage *stage)
{
	free(stage->watch.shares);
}

uint64_t straggler_next_look_ns(const struct write_stage *stage)
{
	const struct straggler_watch *watch = &stage->watch;
	unsigned running = 0;

	if (!watch->shares)
		return UINT64_MAX;
	for (size_t i = 0; i < stage->config.target_count; i++)
		running += is_running(&stage->lanes[i]);
	return running > 1 ? watch->looked_ns + watch->look_ns : UINT64_MAX;
}

/* The lane that the decoder waits for; NULL: it waits for another consumer, or for nobody. */
static struct lane *lane_at_tail(struct write_stage *stage)
{
	struct lane *last = NULL;

	for (size_t i = 0; i < stage->config.target_count; i++) {
		struct lane *lane = &stage->lanes[i];

		if (is_running(lane) && (!last || lane->released < last->released))
			last = lane;
	}
	return last && last->released <= ring_tail(stage->config.ring) ? last : NULL;
}

/* What has been since the last time: the lanes are as they were when the stage went to sleep. */
static void account(struct write_stage *stage, uint64_t elapsed_ns)
{
	struct straggler_watch *watch = &stage->watch;
	uint64_t room_wait_ns = ring_room_wait_ns(stage->config.ring);
	uint64_t waited_ns = room_wait_ns - watch->room_wait_ns;
	const struct lane *tail = lane_at_tail(stage);

	watch->room_wait_ns = room_wait_ns;
	if (tail)
		watch->span_room_wait_ns += waited_ns;
	for (size_t i = 0; i < stage->config.target_count; i++) {
		struct lane *lane = &stage->lanes[i];

		if (!lane->in_flight || !is_running(lane))
			continue;
		if (lane->blocked)
			lane->span_holding_ns += elapsed_ns;
		else if (lane == tail)
			lane->span_holding_ns += min_u64(waited_ns, elapsed_ns);
	}
}

static size_t find(struct write_stage *stage)
{
	struct straggler_watch *watch = &stage->watch;

	for (size_t i = 0; i < stage->config.target_count; i++) {
		const struct lane *lane = &stage->lanes[i];

		watch->shares[i] = (struct straggler_share){
			.running = is_running(lane),
			.busy_ns = busy_ns(lane) - lane->span_busy_ns,
			.holding_ns = lane->span_holding_ns,
		};
	}
	return straggler_find(watch->shares, stage->config.target_count,
			      stage->now_ns - watch->span_begin_ns, watch->span_room_wait_ns);
}

static void cut_loose(struct write_stage *stage, size_t i)
{
	struct lane *lane = &stage->lanes[i];
	uint64_t bytes = lane->completed_bytes - lane->span_completed_bytes;
	double seconds = (double)max_u64(stage->watch.shares[i].busy_ns, 1) / 1e9;

	log_info(job_log(stage->config.job),
		 "%s: so slow (%.1f MB/s) that the others wait for it: left for a pass of its own",
		 lane->target->name, (double)bytes / 1e6 / seconds);
	lane_detach(lane);
}

void straggler_step(struct write_stage *stage)
{
	struct straggler_watch *watch = &stage->watch;
	uint64_t elapsed_ns = stage->now_ns - watch->accounted_ns;
	uint64_t span_ns, i;

	if (!watch->shares)
		return;
	account(stage, elapsed_ns);
	watch->accounted_ns = stage->now_ns;
	/* Nobody sleeps longer than until the next look: this process was stopped for a while, and
	 * whoever seems to have been busy all that time was not. Less cannot tip the scales. */
	if (elapsed_ns > stage->config.straggler_seconds * NS_PER_S / 2) {
		begin_span(stage);
		watch->looked_ns = stage->now_ns;
	}
	if (stage->now_ns - watch->looked_ns < watch->look_ns)
		return;
	watch->looked_ns = stage->now_ns;
	span_ns = stage->now_ns - watch->span_begin_ns;
	i = find(stage);
	if (i != STRAGGLER_NONE && span_ns < stage->config.straggler_seconds * NS_PER_S)
		return;
	/* Who is nearly as slow as the slowest held the others just as well. */
	for (; i != STRAGGLER_NONE; i = find(stage))
		cut_loose(stage, i);
	begin_span(stage);
}

/* SPDX-License-Identifier: MIT */
/* Why it is fast and cannot hang: one thread submits and reaps, and sleeps in one place, in
 * engine_wait(), whatever it waits for: completions, decoded bytes (the ring's waker), the verdict
 * or a stop (engine_wake() by the asking thread). So completions are always reaped, and room in the
 * ring is released, whoever waits for what. */
#include "pipeline/write_lane_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/threads.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define REAP_MAX 64
#define STALL_WARN_SECONDS 30u
/* The kernel's SCSI layer tries a command up to six times for 30 s each before it reports an error
 * (180 s); where that error still comes, it says more than we could. */
#define STALL_GIVE_UP_SECONDS 240u
/* A flush has to wait for everything that the page cache below a loop device, or a file system
 * without O_DIRECT, has taken in. */
#define FLUSH_PATIENCE 4u

#define STRAGGLER_SECONDS 10u

static void *stage_run(void *arg);
static bool stage_turn(struct write_stage *stage);
static void wake_by_ring(void *arg);

static bool stage_init(struct write_stage *stage, const struct write_stage_config *config,
		       struct bmap_error *err)
{
	stage->config = *config;
	if (!stage->config.stall_warn_seconds)
		stage->config.stall_warn_seconds = STALL_WARN_SECONDS;
	if (!stage->config.stall_give_up_seconds)
		stage->config.stall_give_up_seconds = STALL_GIVE_UP_SECONDS;
	if (!stage->config.straggler_seconds)
		stage->config.straggler_seconds = STRAGGLER_SECONDS;
	if (!head_init(stage, err) || !straggler_init(stage, err))
		return false;
	stage->lanes = calloc(config->target_count, sizeof(*stage->lanes));
	if (!stage->lanes && config->target_count)
		return bmap_error_memory(err, "targets");
	for (size_t i = 0; i < config->target_count; i++)
		if (!lane_init(&stage->lanes[i], stage, i, err))
			return false;
	return true;
}

/* The engine is opened on the thread that will own it; its failure is ours. */
static bool wait_for_start(struct write_stage *stage, struct bmap_error *err)
{
	bool good;

	pthread_mutex_lock(&stage->lock);
	while (!stage->started)
		pthread_cond_wait(&stage->started_cond, &stage->lock);
	good = stage->start_error.code == BMAP_ERR_NONE;
	if (!good && err)
		*err = stage->start_error;
	pthread_mutex_unlock(&stage->lock);
	return good;
}

struct write_stage *write_stage_start(const struct write_stage_config *config,
				      struct bmap_error *err)
{
	struct write_stage *stage = calloc(1, sizeof(*stage));

	if (!stage) {
		bmap_error_memory(err, "write stage");
		return NULL;
	}
	pthread_mutex_init(&stage->lock, NULL);
	pthread_cond_init(&stage->started_cond, NULL);
	pthread_cond_init(&stage->read_back_cond, NULL);
	if (!stage_init(stage, config, err))
		goto failed;
	ring_set_waker(config->ring, wake_by_ring, stage);
	if (!thread_start(&stage->thread, "write", stage_run, stage, err))
		goto failed;
	if (wait_for_start(stage, err))
		return stage;
	pthread_join(stage->thread, NULL);
failed:
	write_stage_free(stage);
	return NULL;
}

/* --- other threads --- */

/* With the lock held: the engine is closed under it. */
static void wake_engine(struct write_stage *stage)
{
	if (stage->engine)
		engine_wake(stage->engine);
}

/* The producer's thread, or the stage's own out of ring_arm_waker(). */
static void wake_by_ring(void *arg)
{
	struct write_stage *stage = arg;

	atomic_store(&stage->ring_woke, true);
	pthread_mutex_lock(&stage->lock);
	wake_engine(stage);
	pthread_mutex_unlock(&stage->lock);
}

void write_stage_commit(struct write_stage *stage)
{
	pthread_mutex_lock(&stage->lock);
	stage->commit_asked = true;
	wake_engine(stage);
	pthread_mutex_unlock(&stage->lock);
}

void write_stage_stop(struct write_stage *stage, const struct bmap_error *why)
{
	pthread_mutex_lock(&stage->lock);
	if (!stage->stop_asked)
		stage->why = *why;
	stage->stop_asked = true;
	wake_engine(stage);
	pthread_mutex_unlock(&stage->lock);
}

bool write_stage_ended(struct write_stage *stage)
{
	bool ended;

	pthread_mutex_lock(&stage->lock);
	ended = stage->ended;
	pthread_mutex_unlock(&stage->lock);
	return ended;
}

void write_stage_status(struct write_stage *stage, size_t lane, struct lane_status *out)
{
	pthread_mutex_lock(&stage->lock);
	*out = stage->lanes[lane].shown;
	out->read_back_bytes = stage->lanes[lane].talk.bytes;
	pthread_mutex_unlock(&stage->lock);
}

void write_stage_counters(struct write_stage *stage, struct write_stage_counters *out)
{
	*out = stage->counters;
}

void write_stage_join(struct write_stage *stage)
{
	if (!stage->joined)
		pthread_join(stage->thread, NULL);
	stage->joined = true;
}

bool write_stage_free(struct write_stage *stage)
{
	if (!stage || stage->leaked)
		return stage != NULL;
	for (size_t i = 0; stage->lanes && i < stage->config.target_count; i++)
		lane_free(&stage->lanes[i]);
	free(stage->lanes);
	straggler_free(stage);
	head_free(&stage->head);
	pthread_cond_destroy(&stage->started_cond);
	pthread_cond_destroy(&stage->read_back_cond);
	pthread_mutex_destroy(&stage->lock);
	free(stage);
	return false;
}

/* --- the stage's thread --- */

static bool open_engine(struct write_stage *stage)
{
	const struct write_stage_config *config = &stage->config;
	const struct bmap_log *log = job_log(config->job);
	struct bmap_error err = { 0 };
	struct io_engine *engine;
	unsigned depth = 0;

	for (size_t i = 0; i < config->target_count; i++)
		depth += lane_depth(config, i);
	engine = engine_make(config->engine, depth ? depth : 1, log, &err);
	if (engine) {
		stage->counters.engine = engine->ops->name;
		stage->counters.registered_buffer = engine_register_buffer(
			engine, ring_base(config->ring), ring_size(config->ring));
		if (!stage->counters.registered_buffer)
			log_debug(log, "%s: the ring is not registered: works without",
				  engine->ops->name);
	}
	pthread_mutex_lock(&stage->lock);
	stage->engine = engine;
	stage->start_error = err;
	stage->started = true;
	pthread_cond_signal(&stage->started_cond);
	pthread_mutex_unlock(&stage->lock);
	return engine != NULL;
}

static bool still_reading(const struct write_stage *stage)
{
	for (size_t i = 0; i < stage->config.target_count; i++)
		if (stage->lanes[i].reading)
			return true;
	return false;
}

static void close_engine(struct write_stage *stage)
{
	struct io_engine *engine = stage->engine;
	bool in_use = engine->in_flight > 0;

	stage->counters.io = engine->counters;
	stage->counters.edge_writes = stage->edge_writes;
	stage->leaked = in_use || still_reading(stage);
	pthread_mutex_lock(&stage->lock);
	stage->engine = NULL;
	stage->ended = true;
	pthread_cond_broadcast(&stage->read_back_cond);
	pthread_mutex_unlock(&stage->lock);
	if (!in_use)
		engine_free(engine);
	job_ring_bell(stage->config.job);
}

/* Waits in engine_wait() only; ends when every lane is final. */
static void *stage_run(void *arg)
{
	struct write_stage *stage = arg;

	if (!open_engine(stage))
		return NULL;
	while (stage_turn(stage))
		;
	close_engine(stage);
	return NULL;
}

static void ask_others(struct write_stage *stage)
{
	pthread_mutex_lock(&stage->lock);
	stage->committed = stage->commit_asked;
	if (stage->stop_asked && !stage->stopped)
		stage->why_seen = stage->why;
	stage->stopped = stage->stop_asked;
	pthread_mutex_unlock(&stage->lock);
}

/* After ask_others(): whoever committed had seen the ring finished. */
static void ask_ring(struct write_stage *stage)
{
	bool woke = atomic_exchange(&stage->ring_woke, false);

	stage->decoded = ring_decoded(stage->config.ring, &stage->finished);
	/* Woken for fewer bytes than were wanted: the producer waits for room. */
	stage->pressed = woke && !stage->finished && stage->decoded < stage->armed_want;
}

static bool all_final(const struct write_stage *stage)
{
	for (size_t i = 0; i < stage->config.target_count; i++)
		if (stage->lanes[i].state != LANE_FINAL)
			return false;
	return true;
}

/* For the neediest: who has least needs the fewest bytes to go on. */
static void arm_waker(struct write_stage *stage)
{
	uint64_t have = UINT64_MAX, want = UINT64_MAX, lane_have, lane_want;

	/* Then nothing can come, and the waker would call back at once, for ever. */
	if (stage->finished || ring_stopped(stage->config.ring))
		return;
	head_wants(stage, &have, &want);
	for (size_t i = 0; i < stage->config.target_count; i++) {
		if (!lane_wants(&stage->lanes[i], &lane_have, &lane_want))
			continue;
		have = min_u64(have, lane_have);
		want = min_u64(want, lane_want);
	}
	stage->armed_want = want;
	if (want != UINT64_MAX)
		ring_arm_waker(stage->config.ring, have, want);
}

/* --- who stalls --- */

/* Is there something that must be answered? */
static bool is_awaited(const struct lane *lane)
{
	return lane->state != LANE_FINAL && (lane->in_flight || lane->reading);
}

static uint64_t give_up_ns(const struct lane *lane)
{
	uint64_t ns = lane->stage->config.stall_give_up_seconds * NS_PER_S;

	return lane->flush_begun && !lane->flush_done ? ns * FLUSH_PATIENCE : ns;
}

/* What a device is silent about: "with 3 requests in flight". */
static const char *silent_about(const struct lane *lane, char text[64])
{
	if (lane->reading)
		snprintf(text, 64, "while it was read back");
	else
		snprintf(text, 64, "with %u request%s in flight", lane->in_flight,
			 lane->in_flight == 1 ? "" : "s");
	return text;
}

static void judge_lane(struct lane *lane)
{
	struct write_stage *stage = lane->stage;
	const char *name = lane->target->name;
	uint64_t silent_ns;
	unsigned seconds;
	struct bmap_error err;
	char about[64];

	back_hear(lane);
	silent_ns = stage->now_ns - lane->progress_ns;
	seconds = (unsigned)(silent_ns / NS_PER_S);
	if (!is_awaited(lane))
		return;
	if (silent_ns >= give_up_ns(lane)) {
		bmap_error_set(&err, BMAP_ERR_STALLED,
			       "%s: the device did not answer for %u s %s: given up", name, seconds,
			       silent_about(lane, about));
		lane_give_up(lane, &err);
	} else if (!lane->stall_said && silent_ns >= stage->config.stall_warn_seconds * NS_PER_S) {
		lane->stall_said = true;
		log_warning(job_log(stage->config.job),
			    "%s: the device has not answered for %u s %s; waiting up to %u s", name,
			    seconds, silent_about(lane, about),
			    (unsigned)(give_up_ns(lane) / NS_PER_S));
	}
}

/* Until a lane must be judged again. */
static int timeout_ms(const struct write_stage *stage)
{
	uint64_t next_ns = straggler_next_look_ns(stage), wait_ms;

	for (size_t i = 0; i < stage->config.target_count; i++) {
		const struct lane *lane = &stage->lanes[i];
		uint64_t warn_ns = stage->config.stall_warn_seconds * NS_PER_S;
		uint64_t limit_ns = give_up_ns(lane);

		if (!is_awaited(lane))
			continue;
		if (!lane->stall_said)
			limit_ns = min_u64(limit_ns, warn_ns);
		next_ns = min_u64(next_ns, lane->progress_ns + limit_ns);
	}
	if (next_ns == UINT64_MAX)
		return -1;
	if (next_ns <= stage->now_ns)
		return 0;
	wait_ms = div_round_up(next_ns - stage->now_ns, NS_PER_MS);
	return (int)min_u64(wait_ms, INT_MAX);
}

/* Nothing can be expected from the engine any more, also not for what is in flight. */
static void engine_broke(struct write_stage *stage, int errnum)
{
	struct bmap_error err;

	for (size_t i = 0; i < stage->config.target_count; i++) {
		struct lane *lane = &stage->lanes[i];

		if (lane->state == LANE_FINAL)
			continue;
		bmap_error_errnum(&err, errnum, "%s: %s gave up", lane->target->name,
				  stage->engine->ops->name);
		lane_give_up(lane, &err);
	}
}

static void reap(struct write_stage *stage)
{
	struct io_request *done[REAP_MAX];
	int n = engine_wait(stage->engine, done, REAP_MAX, timeout_ms(stage));

	stage->now_ns = clock_now_ns();
	straggler_step(stage);
	if (n < 0)
		engine_broke(stage, -n);
	for (int i = 0; i < n; i++) {
		struct write_request *req = done[i]->owner;

		lane_completed(req->lane, req);
	}
	/* Only by all that has completed: after this process was stopped for long, more may wait.
	 */
	for (size_t i = 0; n < REAP_MAX && i < stage->config.target_count; i++)
		judge_lane(&stage->lanes[i]);
}

/* False once every lane is final. */
static bool stage_turn(struct write_stage *stage)
{
	stage->now_ns = clock_now_ns();
	ask_others(stage);
	ask_ring(stage);
	head_collect(stage);
	for (size_t i = 0; i < stage->config.target_count; i++) {
		lane_step(&stage->lanes[i]);
		lane_publish(&stage->lanes[i]);
	}
	if (all_final(stage)) {
		head_leave(stage);
		return false;
	}
	arm_waker(stage);
	reap(stage);
	return true;
}

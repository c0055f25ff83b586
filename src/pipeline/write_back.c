/* SPDX-License-Identifier: MIT */
/* Who reads a target back is another thread, which may take its time or hang in the device: the
 * lane only waits for what it says, and the stage judges it by the progress that it reports. */
#include "pipeline/write_lane_internal.h"

/* --- the stage's thread --- */

void back_begin(struct lane *lane, enum read_back_step step)
{
	struct write_stage *stage = lane->stage;

	lane->reading = true;
	lane->reading_since_ns = lane->progress_ns = stage->now_ns;
	lane->stall_said = false;
	pthread_mutex_lock(&stage->lock);
	lane->talk.asked = step;
	lane->talk.answered = false;
	pthread_cond_broadcast(&stage->read_back_cond);
	pthread_mutex_unlock(&stage->lock);
}

void back_hear(struct lane *lane)
{
	struct write_stage *stage = lane->stage;

	if (!lane->reading)
		return;
	pthread_mutex_lock(&stage->lock);
	if (lane->talk.beats != lane->beats_heard) {
		lane->progress_ns = stage->now_ns;
		lane->stall_said = false;
	}
	lane->beats_heard = lane->talk.beats;
	if (lane->talk.answered) {
		lane->reading = false;
		lane->read_back_answer = lane->talk.answer;
		lane->read_back_ns += stage->now_ns - lane->reading_since_ns;
	}
	pthread_mutex_unlock(&stage->lock);
	if (lane->state == LANE_FINAL) /* given up, and answers after all */
		lane->abandoned = lane->in_flight > 0 || lane->reading;
}

/* --- other threads --- */

static bool nothing_will_be_asked(const struct write_stage *stage, const struct lane *lane)
{
	enum bmap_target_state state = lane->shown.state;

	return stage->ended || state == BMAP_TARGET_DONE || state == BMAP_TARGET_FAILED ||
	       state == BMAP_TARGET_INTERRUPTED || state == BMAP_TARGET_DETACHED;
}

enum read_back_step write_stage_read_back_wait(struct write_stage *stage, size_t lane_index)
{
	const struct lane *lane = &stage->lanes[lane_index];
	enum read_back_step step = READ_BACK_NOTHING;

	pthread_mutex_lock(&stage->lock);
	while ((lane->talk.asked == READ_BACK_NOTHING || lane->talk.answered) &&
	       !nothing_will_be_asked(stage, lane))
		pthread_cond_wait(&stage->read_back_cond, &stage->lock);
	if (!lane->talk.answered)
		step = lane->talk.asked;
	pthread_mutex_unlock(&stage->lock);
	return step;
}

const uint8_t *write_stage_head(const struct write_stage *stage, size_t lane, uint64_t *len_bytes)
{
	*len_bytes = stage->head.end_bytes;
	return stage->lanes[lane].withheld ? stage->head.bytes : NULL;
}

void write_stage_read_back_progress(struct write_stage *stage, size_t lane, uint64_t bytes)
{
	struct read_back_talk *talk = &stage->lanes[lane].talk;

	pthread_mutex_lock(&stage->lock);
	talk->bytes = bytes;
	talk->beats++;
	pthread_mutex_unlock(&stage->lock);
}

void write_stage_read_back(struct write_stage *stage, size_t lane, const struct bmap_error *bad)
{
	struct read_back_talk *talk = &stage->lanes[lane].talk;

	pthread_mutex_lock(&stage->lock);
	talk->answer = bad ? *bad : (struct bmap_error){ 0 };
	talk->answered = true;
	if (stage->engine)
		engine_wake(stage->engine);
	pthread_mutex_unlock(&stage->lock);
}

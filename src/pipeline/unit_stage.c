/* SPDX-License-Identifier: MIT */
/* unit_stage.c - compressed sources: workers cut units off the source in turn and decode them side
 * by side, straight into the image ring; a serial stretch is stepped through by whoever meets it.
 *
 * Two locks, taken in this order, never waited for by each other's holder:
 *   cut     the source reader's position, the splitter, the output's position: held while one unit
 *           is cut off and gets its room (waiting for both), or through a whole serial stretch.
 *   order   the queue of units that are being decoded: the ring's decoded cursor moves over
 * finished ones in order. Room is handed out under `cut`, in unit order, so the oldest unit can
 *           always finish, and its bytes are what a waiting cutter waits for. */
#include "base/checked.h"
#include "base/threads.h"
#include "pipeline/unit_stage_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Room asked for by one step of a serial stream, where the ring has it: what is decoded is handed
 * on while it is still in the cache. */
#define STEP_BYTES (512u * KIB)
#define MAX_WORKERS 64u
/* Units cut off and not yet published: behind one slow unit, fast workers finish many small ones.
 */
#define MAX_UNITS 256u
#define SERIAL_AHEAD_BYTES (2u * MIB)
#define MAX_AHEAD_BYTES (16u * MIB)

enum cut_result { CUT_TAKEN, CUT_DONE, CUT_GIVEN_UP };

void unit_stage_stop_units(struct unit_stage *units)
{
	pthread_mutex_lock(&units->order);
	units->stopped = true;
	pthread_cond_broadcast(&units->moved);
	pthread_mutex_unlock(&units->order);
}

void unit_stage_fail(struct unit_stage *units, const struct bmap_error *err)
{
	job_fail(units->stage.config.job, err);
	unit_stage_stop_units(units);
}

/* Until every unit that was cut off is published; false: stopped. */
static bool wait_until_published(struct unit_stage *units)
{
	bool stopped;

	pthread_mutex_lock(&units->order);
	while (units->count && !units->stopped)
		pthread_cond_wait(&units->moved, &units->order);
	stopped = units->stopped;
	pthread_mutex_unlock(&units->order);
	return !stopped;
}

/* Waits for a place: the oldest unit's worker needs nothing that the caller holds. NULL: stopped.
 */
static struct open_unit *enqueue(struct unit_stage *units, uint64_t position_end)
{
	struct open_unit *slot = NULL;

	pthread_mutex_lock(&units->order);
	while (units->count == MAX_UNITS && !units->stopped)
		pthread_cond_wait(&units->moved, &units->order);
	if (!units->stopped) {
		slot = &units->units[(units->first + units->count++) % MAX_UNITS];
		*slot = (struct open_unit){ .position_end = position_end };
	}
	pthread_mutex_unlock(&units->order);
	return slot;
}

static void unit_done(struct unit_stage *units, struct open_unit *slot)
{
	uint64_t position = 0;

	pthread_mutex_lock(&units->order);
	slot->done = true;
	while (units->count && units->units[units->first].done) {
		position = units->units[units->first].position_end;
		units->first = (units->first + 1) % MAX_UNITS;
		units->count--;
	}
	if (position && !units->stopped) {
		decode_stage_publish(&units->stage, position);
		pthread_cond_broadcast(&units->moved);
	}
	pthread_mutex_unlock(&units->order);
}

/* --- a serial stretch, all under `cut` --- */

static void say_note(struct unit_stage *units)
{
	struct decoder *splitter = units->splitter;

	if (!splitter->note[0])
		return;
	log_info(job_log(units->stage.config.job), "%s: %s", units->limits.name, splitter->note);
	splitter->note[0] = '\0';
}

/* One step with what there is of input and room. False: stopped, or failed with *failed set. */
static bool step_once(struct unit_stage *units, struct in_span *in, enum decode_status *status,
		      struct bmap_error *err, bool *failed)
{
	struct decoder *splitter = units->splitter;
	struct decode_output *out = &units->stage.output;
	struct ring *ring = units->stage.config.ring;
	uint64_t most = min_u64(STEP_BYTES, ring_size(ring) - splitter->history_bytes);
	struct out_span span;
	size_t room, taken, len = in->len;

	if (!decode_output_open(out, err)) {
		*failed = true;
		return false;
	}
	if (!ring_wait_room(ring, out->position + max_u64(splitter->want_room, 1)))
		return false;
	most = max_u64(most, splitter->want_room);
	room = (size_t)min_u64(ring_room_end(ring) - out->position, most);
	span = (struct out_span){ .data = ring_at(ring, out->position), .room = room };
	*status = splitter->ops->step(splitter, in, &span, err);
	say_note(units);
	taken = len - in->len;
	*failed = true;
	if (*status == DECODE_FAILED) {
		decode_stage_add_image_offset(&units->stage, splitter->image_offset, err);
		return false;
	}
	if (!decode_output_take(out, room - span.room, err)) {
		decode_stage_add_source_offset(&units->stage, splitter->source_offset, err);
		return false;
	}
	*failed = false;
	source_reader_consume(units->reader, taken);
	if (room != span.room)
		decode_stage_publish(&units->stage, out->position);
	return true;
}

/* --- parts of the source that were not read, all under `cut` --- */

/* The units read so far led to another place than the index says, or one does not end there. */
static void index_is_wrong(struct unit_stage *units, struct bmap_error *err)
{
	uint64_t offset = units->splitter->source_offset;

	bmap_error_data(err, offset,
			"%s: broken %s data at offset %" PRIu64
			": the index at its end does not match what lies there",
			units->limits.name, units->splitter->ops->name, offset);
	decode_stage_add_image_offset(&units->stage, units->splitter->image_offset, err);
}

static bool pass_gap(struct unit_stage *units, const struct source_gap *gap, struct bmap_error *err)
{
	struct decode_output *out = &units->stage.output;
	struct decoder *splitter = units->splitter;
	uint64_t source_bytes = gap->unit.source_bytes, image_bytes = gap->unit.image_bytes;

	if (splitter->source_offset != gap->source_offset ||
	    out->image_offset != gap->image_offset || decode_output_wanted(out, image_bytes)) {
		index_is_wrong(units, err);
		return false;
	}
	if (!splitter->ops->pass_indexed(splitter, &gap->unit, err)) {
		decode_stage_add_image_offset(&units->stage, splitter->image_offset, err);
		return false;
	}
	source_reader_pass_gap(units->reader);
	decode_output_pass(out, image_bytes);
	splitter->source_offset += source_bytes;
	splitter->image_offset += image_bytes;
	return true;
}

/* Steps to the end of the unit (UNIT_END) or of the source (END). */
static bool decode_serially(struct unit_stage *units, enum decode_status *status,
			    struct bmap_error *err, bool *failed)
{
	struct in_span in;

	if (!wait_until_published(units))
		return false;
	do {
		if (!source_reader_peek(units->reader, units->splitter->want_input, &in))
			return false;
		/* Goes on with the same input until it wants more: a peek costs a wait and two
		 * atomic loads. */
		do {
			if (!step_once(units, &in, status, err, failed))
				return false;
		} while (*status == DECODE_ROOM);
		if (*status == DECODE_INPUT && source_reader_gap(units->reader)) {
			index_is_wrong(units, err);
			*failed = true;
			return false;
		}
	} while (*status == DECODE_INPUT);
	return true;
}

/* --- cutting, all under `cut` --- */

bool unit_stage_keep_input(struct worker *worker, const uint8_t *data, size_t len,
			   struct bmap_error *err)
{
	if (worker->input_room < len) {
		uint8_t *grown = realloc(worker->input, len);

		if (!grown)
			return bmap_error_memory(err, "unit");
		worker->input = grown;
		worker->input_room = len;
	}
	memcpy(worker->input, data, len);
	return true;
}

static void pass_unit(struct unit_stage *units, const struct decode_unit *unit)
{
	source_reader_consume(units->reader, unit->source_len_bytes);
	units->splitter->source_offset += unit->source_len_bytes;
	units->splitter->image_offset += unit->image_len_bytes;
}

/* Gives the unit at the front of the input its room, and its bytes to the worker. */
static enum cut_result take_unit(struct worker *worker, const struct in_span *in,
				 const struct decode_unit *unit, struct cut_unit *taken,
				 struct bmap_error *err, bool *failed)
{
	struct unit_stage *units = worker->stage;
	struct decode_output *out = &units->stage.output;

	*failed = !unit_stage_keep_input(worker, in->data, unit->source_len_bytes, err) ||
		  !decode_output_open(out, err);
	if (*failed)
		return CUT_GIVEN_UP;
	*taken = (struct cut_unit){
		.source_offset = units->splitter->source_offset,
		.image_offset = out->image_offset,
		.position = out->position,
		.context = unit->context,
		.source_len = unit->source_len_bytes,
		.image_len = unit->image_len_bytes,
	};
	*failed = !decode_output_take(out, unit->image_len_bytes, err);
	if (*failed)
		decode_stage_add_source_offset(&units->stage, taken->source_offset, err);
	if (*failed || !ring_wait_room(units->stage.config.ring, out->position))
		return CUT_GIVEN_UP;
	pass_unit(units, unit);
	taken->slot = enqueue(units, out->position);
	return taken->slot ? CUT_TAKEN : CUT_GIVEN_UP;
}

/* Goes on until there is a unit to decode, or nothing more. */
static enum cut_result cut_next(struct worker *worker, struct cut_unit *taken,
				struct bmap_error *err, bool *failed)
{
	struct unit_stage *units = worker->stage;
	struct decoder *splitter = units->splitter;
	const struct source_gap *gap;
	enum decode_status status;
	struct decode_unit unit;
	struct in_span in;
	size_t want = 0;

	for (;;) {
		if (!splitter->ops->cut) {
			if (!decode_serially(units, &status, err, failed))
				return CUT_GIVEN_UP;
			return CUT_DONE;
		}
		if (!source_reader_peek(units->reader, want, &in))
			return CUT_GIVEN_UP;
		want = 0;
		gap = source_reader_gap(units->reader);
		if (gap && !in.len) {
			*failed = !pass_gap(units, gap, err);
			if (*failed)
				return CUT_GIVEN_UP;
			continue;
		}
		switch (splitter->ops->cut(splitter, &in, &unit, err)) {
		case CUT_UNIT:
			/* What only frames others (headers, end marks) is done when it is cut. */
			if (unit.image_len_bytes &&
			    !decode_output_skip(&units->stage.output, unit.image_len_bytes))
				return take_unit(worker, &in, &unit, taken, err, failed);
			pass_unit(units, &unit);
			break;
		case CUT_INPUT:
			want = splitter->want_input;
			if (gap) {
				index_is_wrong(units, err);
				*failed = true;
				return CUT_GIVEN_UP;
			}
			break;
		case CUT_SERIAL:
			if (!decode_serially(units, &status, err, failed))
				return CUT_GIVEN_UP;
			if (status == DECODE_END)
				return CUT_DONE;
			break;
		case CUT_END:
			return CUT_DONE;
		case CUT_FAILED:
			decode_stage_add_image_offset(&units->stage, splitter->image_offset, err);
			*failed = true;
			return CUT_GIVEN_UP;
		}
	}
}

/* The end of the source, seen by one worker: waits for the others' units. */
static void finish_source(struct unit_stage *units, struct bmap_error *err)
{
	if (!wait_until_published(units))
		return;
	if (decode_output_end(&units->stage.output, err)) {
		decode_stage_finish(&units->stage);
		return;
	}
	decode_stage_add_source_offset(&units->stage, units->splitter->source_offset, err);
	unit_stage_fail(units, err);
}

static bool decode_unit(struct worker *worker, const struct cut_unit *unit, struct bmap_error *err)
{
	struct decode_stage *stage = &worker->stage->stage;
	struct decoder *decoder = worker->decoder;

	decoder->unit_context = unit->context;
	decoder->image_offset = unit->image_offset;
	if (decoder->ops->unit(decoder, worker->input, unit->source_len,
			       ring_at(stage->config.ring, unit->position), unit->image_len,
			       unit->source_offset, err))
		return true;
	decode_stage_add_image_offset(stage, decoder->image_offset, err);
	return false;
}

/* Waits for the cut lock, then for source bytes or room. Ends with the source, on failure, or when
 * rings and reader were stopped. */
static void *worker_run(void *arg)
{
	struct worker *worker = arg;
	struct unit_stage *units = worker->stage;
	enum cut_result result;
	struct cut_unit unit;
	struct bmap_error err;
	bool failed = false;

	for (;;) {
		pthread_mutex_lock(&units->cut);
		result = units->cut_ended ? CUT_GIVEN_UP : cut_next(worker, &unit, &err, &failed);
		if (result != CUT_TAKEN)
			units->cut_ended = true;
		pthread_mutex_unlock(&units->cut);
		if (result != CUT_TAKEN)
			break;
		failed = !decode_unit(worker, &unit, &err);
		if (failed)
			break;
		unit_done(units, unit.slot);
	}
	if (failed)
		unit_stage_fail(units, &err);
	else if (result == CUT_DONE)
		finish_source(units, &err);
	return NULL;
}

/* --- start and end --- */

static void unit_stage_stop(struct decode_stage *stage)
{
	struct unit_stage *units = (struct unit_stage *)stage;

	ring_stop(stage->config.ring);
	source_reader_stop(units->reader);
	unit_stage_stop_units(units);
}

static void unit_stage_join(struct decode_stage *stage)
{
	struct unit_stage *units = (struct unit_stage *)stage;

	for (; units->started; units->started--)
		pthread_join(units->workers[units->started - 1].thread, NULL);
}

static uint64_t unit_stage_source_bytes(const struct decode_stage *stage)
{
	return source_reader_bytes(((const struct unit_stage *)stage)->reader);
}

static void unit_stage_free(struct decode_stage *stage)
{
	struct unit_stage *units = (struct unit_stage *)stage;

	source_reader_free(units->reader);
	for (unsigned i = 0; i < units->worker_count; i++) {
		if (units->workers[i].decoder)
			units->workers[i].decoder->ops->close(units->workers[i].decoder);
		free(units->workers[i].input);
		free(units->workers[i].scratch);
	}
	if (units->splitter)
		units->splitter->ops->close(units->splitter);
	pthread_cond_destroy(&units->moved);
	pthread_mutex_destroy(&units->order);
	pthread_mutex_destroy(&units->cut);
	free(units);
}

static const struct stage_kind unit_stage_kind = {
	.stop = unit_stage_stop,
	.join = unit_stage_join,
	.source_bytes = unit_stage_source_bytes,
	.free = unit_stage_free,
};

/* Compressed bytes read ahead: a little for a stream; for units each must fit whole. */
static size_t ahead_bytes(const struct decode_stage_config *config)
{
	uint64_t unit = config->decoder_plan.unit_bytes;

	if (!unit)
		return SERIAL_AHEAD_BYTES;
	return (size_t)min_u64(align_up(unit + MIB, RING_ALIGN_BYTES), MAX_AHEAD_BYTES);
}

static bool open_decoders(struct unit_stage *units, struct bmap_error *err)
{
	const struct decode_stage_config *config = &units->stage.config;
	size_t ring = ring_size(config->ring);
	size_t ahead = config->input ? ring_size(config->input) : ahead_bytes(config);
	const struct source_gaps_config gaps = {
		.format = config->format,
		.plan = config->plan,
		.one_of_many = config->decoder_plan.unit_bytes &&
			       config->decoder_plan.unit_bytes < config->plan->image_size_bytes,
	};
	/* A wrong index cannot do harm where checksums judge all that is used. */
	bool use_gaps = !config->check_content;

	units->limits = (struct decoder_limits){
		.name = config->source->name,
		/* History and the room of one step share the ring. */
		.history_max_bytes = ring - 2 * MIB,
		.room_max_bytes = ring / 2,
		.input_max_bytes = ahead - SOURCE_READER_SLACK_BYTES,
		.memory_bytes = config->memory_bytes,
		.check_content = config->check_content,
		.member = config->member,
	};
	units->splitter = config->format->open(&units->limits, err);
	if (!units->splitter)
		return false;
	for (unsigned i = 0; i < units->worker_count && config->format->cut; i++) {
		units->workers[i].decoder = config->format->open(&units->limits, err);
		if (!units->workers[i].decoder)
			return false;
	}
	units->reader = config->input
				? source_reader_over(config->input, err)
				: source_reader_start(config->source, ahead,
						      use_gaps ? &gaps : NULL, config->job, err);
	return units->reader;
}

struct decode_stage *unit_stage_start(const struct decode_stage_config *config,
				      struct bmap_error *err)
{
	unsigned count = config->decoder_plan.unit_bytes
				 ? (unsigned)min_u64(max_u64(config->workers, 1), MAX_WORKERS)
				 : 1;
	struct unit_stage *units = calloc(1, sizeof(*units) + count * sizeof(units->workers[0]));

	if (!units) {
		bmap_error_memory(err, "decode stage");
		return NULL;
	}
	decode_stage_init(&units->stage, &unit_stage_kind, config);
	pthread_mutex_init(&units->cut, NULL);
	pthread_mutex_init(&units->order, NULL);
	pthread_cond_init(&units->moved, NULL);
	units->worker_count = count;
	if (!open_decoders(units, err))
		goto fail;
	for (unsigned i = 0; i < count; i++) {
		units->workers[i].stage = units;
		if (!thread_start(&units->workers[i].thread, "decode",
				  config->format->begin_unit ? unit_turns_run : worker_run,
				  &units->workers[i], err)) {
			unit_stage_stop(&units->stage);
			unit_stage_join(&units->stage);
			goto fail;
		}
		units->started++;
	}
	return &units->stage;
fail:
	unit_stage_free(&units->stage);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/* unit_turns.c - units whose image size nobody knows beforehand: each worker decodes ahead into its
 * scratch, and puts the bytes into the ring when it is the unit's turn. Where the scratch does not
 * hold a unit, its worker stops, and goes on straight into the ring once it is its turn: one small
 * unit may decode to any length, so only the oldest may use the ring.
 *
 * The output belongs to the worker whose turn it is. Turns are passed on in the order of cuts. */
#include "base/checked.h"
#include "pipeline/unit_stage_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TURN_SCRATCH_BYTES (4u * MIB)
/* Into the ring at once, in this order of magnitude: others read it while it is in the cache. */
#define TURN_STEP_BYTES (512u * KIB)

struct turn_unit {
	struct decode_unit unit;
	uint64_t source_offset;
	uint64_t ticket;
	/* What decoding ahead gave: */
	enum decode_status status;
	size_t len; /* bytes in the scratch */
	struct bmap_error err; /* with DECODE_FAILED: an error only if the unit is wanted */
};

enum turn_cut { TURN_TAKEN, TURN_END, TURN_LEAVE, TURN_FAILED };

/* Under `cut`. TURN_END has a ticket, too. */
static enum turn_cut cut_unit(struct worker *worker, struct turn_unit *taken,
			      struct bmap_error *err)
{
	struct unit_stage *units = worker->stage;
	struct decoder *splitter = units->splitter;
	enum cut_status status;
	struct in_span in;
	size_t want = 0;

	do {
		if (!source_reader_peek(units->reader, want, &in))
			return TURN_LEAVE;
		status = splitter->ops->cut(splitter, &in, &taken->unit, err);
		want = splitter->want_input;
	} while (status == CUT_INPUT);
	taken->source_offset = splitter->source_offset;
	taken->ticket = units->next_ticket++;
	switch (status) {
	case CUT_UNIT:
		if (!unit_stage_keep_input(worker, in.data, taken->unit.view_len_bytes, err))
			return TURN_FAILED;
		source_reader_consume(units->reader, taken->unit.source_len_bytes);
		splitter->source_offset += taken->unit.source_len_bytes;
		return TURN_TAKEN;
	case CUT_END:
		return TURN_END;
	default:
		return TURN_FAILED;
	}
}

static bool have_scratch(struct worker *worker, struct bmap_error *err)
{
	if (worker->scratch)
		return true;
	worker->scratch = aligned_alloc(RING_ALIGN_BYTES, TURN_SCRATCH_BYTES);
	if (!worker->scratch)
		return bmap_error_memory(err, "unit");
	/* First touches are dear: huge pages where there are any. */
	madvise(worker->scratch, TURN_SCRATCH_BYTES, MADV_HUGEPAGE);
	return true;
}

static void decode_ahead(struct worker *worker, struct turn_unit *unit)
{
	const struct decoder_ops *ops = worker->decoder->ops;
	struct out_span out = { .data = worker->scratch, .room = TURN_SCRATCH_BYTES };

	unit->status = DECODE_FAILED;
	if (ops->begin_unit(worker->decoder, worker->input, &unit->unit, unit->source_offset,
			    &unit->err))
		unit->status = ops->step_unit(worker->decoder, &out, &unit->err);
	unit->len = TURN_SCRATCH_BYTES - out.room;
}

static bool wait_for_turn(struct unit_stage *units, uint64_t ticket)
{
	bool stopped;

	pthread_mutex_lock(&units->order);
	while (units->turn != ticket && !units->stopped)
		pthread_cond_wait(&units->moved, &units->order);
	stopped = units->stopped;
	pthread_mutex_unlock(&units->order);
	return !stopped;
}

static void pass_turn(struct unit_stage *units)
{
	pthread_mutex_lock(&units->order);
	units->turn++;
	pthread_cond_broadcast(&units->moved);
	pthread_mutex_unlock(&units->order);
}

/* --- with the turn --- */

static bool take(struct decode_stage *stage, struct turn_unit *unit, size_t len)
{
	if (decode_output_take(&stage->output, len, &unit->err))
		return true;
	decode_stage_add_source_offset(stage, unit->source_offset, &unit->err);
	return false;
}

/* What the worker or the splitter found wrong, len bytes behind the last that was put out. */
static bool fault(struct decode_stage *stage, struct turn_unit *unit, size_t len)
{
	decode_stage_add_image_offset(stage, stage->output.image_offset + len, &unit->err);
	return false;
}

/* What was decoded ahead. False: stopped, or failed with *failed set. */
static bool place_scratch(struct worker *worker, struct turn_unit *unit, bool *failed)
{
	struct decode_stage *stage = &worker->stage->stage;
	struct decode_output *out = &stage->output;
	const uint8_t *from = worker->scratch;
	struct ring *ring = stage->config.ring;
	size_t len = unit->len;

	if (decode_output_skip(out, len))
		return true;
	while (len) {
		size_t n = (size_t)min_u64(len, TURN_STEP_BYTES);
		uint64_t at;

		*failed = !decode_output_open(out, &unit->err);
		at = out->position;
		if (!*failed)
			*failed = !take(stage, unit, n);
		if (*failed || !ring_wait_room(ring, out->position))
			return false;
		memcpy(ring_at(ring, at), from, n);
		decode_stage_publish(stage, out->position);
		from += n;
		len -= n;
	}
	return true;
}

/* The rest of a unit that is larger than the scratch. */
static bool place_rest(struct worker *worker, struct turn_unit *unit, bool *failed)
{
	struct decode_stage *stage = &worker->stage->stage;
	struct decode_output *out = &stage->output;
	struct ring *ring = stage->config.ring;

	while (unit->status == DECODE_ROOM) {
		struct out_span span = { .room = TURN_STEP_BYTES };
		size_t got;

		*failed = !decode_output_open(out, &unit->err);
		if (*failed || !ring_wait_room(ring, out->position + TURN_STEP_BYTES))
			return false;
		span.data = ring_at(ring, out->position);
		unit->status = worker->decoder->ops->step_unit(worker->decoder, &span, &unit->err);
		got = TURN_STEP_BYTES - span.room;
		*failed = unit->status == DECODE_FAILED ? !fault(stage, unit, got)
							: !take(stage, unit, got);
		if (*failed)
			return false;
		decode_stage_publish(stage, out->position);
	}
	return true;
}

static bool place(struct worker *worker, struct turn_unit *unit, bool *failed)
{
	struct decoder *splitter = worker->stage->splitter;
	struct decode_stage *stage = &worker->stage->stage;

	if (!splitter->ops->unit_wanted(splitter, &unit->unit))
		return true; /* a wrong guess */
	*failed = unit->status == DECODE_FAILED;
	if (*failed)
		return fault(stage, unit, unit->len);
	if (!place_scratch(worker, unit, failed) || !place_rest(worker, unit, failed))
		return false;
	*failed = !splitter->ops->unit_ended(splitter, &unit->unit, worker->decoder, &unit->err);
	return !*failed || fault(stage, unit, 0);
}

static bool finish_source(struct unit_stage *units, struct turn_unit *unit)
{
	struct decode_stage *stage = &units->stage;

	if (!units->splitter->ops->units_end(units->splitter, &unit->err))
		return fault(stage, unit, 0);
	if (!decode_output_end(&stage->output, &unit->err)) {
		decode_stage_add_source_offset(stage, unit->source_offset, &unit->err);
		return false;
	}
	decode_stage_finish(stage);
	return true;
}

/* True while there may be more. */
static bool turn_once(struct worker *worker, struct turn_unit *unit, bool *failed)
{
	struct unit_stage *units = worker->stage;
	enum turn_cut cut = TURN_LEAVE;

	pthread_mutex_lock(&units->cut);
	if (!units->cut_ended)
		cut = cut_unit(worker, unit, &unit->err);
	if (cut != TURN_TAKEN)
		units->cut_ended = true;
	pthread_mutex_unlock(&units->cut);
	if (cut == TURN_LEAVE)
		return false;
	if (cut == TURN_TAKEN)
		decode_ahead(worker, unit);
	/* What is wrong with the source further on is said after what lies before it. */
	if (!wait_for_turn(units, unit->ticket))
		return false;
	if (cut == TURN_TAKEN) {
		if (!place(worker, unit, failed))
			return false;
		pass_turn(units);
		return true;
	}
	*failed = cut == TURN_FAILED ? !fault(&units->stage, unit, 0) : !finish_source(units, unit);
	return false;
}

/* Waits for the cut lock, source bytes, its turn, and room. Ends with the source, on failure, or
 * when rings and reader were stopped. */
void *unit_turns_run(void *arg)
{
	struct worker *worker = arg;
	struct turn_unit unit;
	bool failed = !have_scratch(worker, &unit.err);

	while (!failed && turn_once(worker, &unit, &failed))
		;
	if (failed)
		unit_stage_fail(worker->stage, &unit.err);
	return NULL;
}

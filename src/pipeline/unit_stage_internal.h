/* SPDX-License-Identifier: MIT */
/* pipeline/unit_stage_internal.h - what unit_stage.c (units of known size, serial stretches) and
 * unit_turns.c (units of unknown size) share. Threads: as the comments at the members say. */
#ifndef PIPELINE_UNIT_STAGE_INTERNAL_H
#define PIPELINE_UNIT_STAGE_INTERNAL_H

#include "pipeline/decode_stage_internal.h"
#include "pipeline/source_reader.h"

#include <pthread.h>

#define MAX_WORKERS 64u
/* Units cut off and not yet published: behind one slow unit, fast workers finish many small ones.
 */
#define MAX_UNITS 256u

struct open_unit {
	uint64_t position_end;
	bool done;
};

struct worker {
	struct unit_stage *stage;
	pthread_t thread;
	struct decoder *decoder; /* the worker's */
	uint8_t *input; /* the worker's copy of its unit's compressed bytes */
	size_t input_room;
	uint8_t *scratch; /* the worker's: TURN_SCRATCH_BYTES, units of unknown size only */
};

/* What a worker takes out of the cut lock. */
struct cut_unit {
	struct open_unit *slot;
	uint64_t source_offset, image_offset, position, context;
	size_t source_len, image_len;
};

struct unit_stage {
	struct decode_stage stage; /* first; its output belongs to cut */
	struct source_reader *reader; /* peek and consume: cut */
	struct decoder_limits limits; /* constant */

	pthread_mutex_t cut;
	struct decoder *splitter; /* cut */
	bool cut_ended; /* cut: nothing more to cut off, or given up */

	pthread_mutex_t order;
	pthread_cond_t moved; /* a unit was published, or the stage stopped */
	struct open_unit units[MAX_UNITS]; /* order: a queue */
	unsigned first, count; /* order */
	bool stopped; /* order */
	uint64_t next_ticket; /* cut: units of unknown size are numbered as they are cut */
	uint64_t turn; /* order: the number whose turn it is; its worker owns the output */

	unsigned worker_count, started;
	struct worker workers[];
};

/* The worker's own copy of its unit's bytes. */
bool unit_stage_keep_input(struct worker *worker, const uint8_t *data, size_t len,
			   struct bmap_error *err);
/* Ends all waits of the stage's own. */
void unit_stage_stop_units(struct unit_stage *units);
void unit_stage_fail(struct unit_stage *units, const struct bmap_error *err);

/* A worker's thread, where units have no known size. */
void *unit_turns_run(void *arg);

#endif

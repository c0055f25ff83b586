/* SPDX-License-Identifier: MIT */
/* write_bed.h - the write stage between a producer thread and model devices.
 *
 * Image bytes are 1..127, what the devices held before 128..255: so each byte of a device says
 * whose it is, or was zeroed. Always checked, with every completion of a device that withholds its
 * head: after a power cut now, could the commit block be whole while another mapped byte is not on
 * the medium? And with every write behind the head: is the old head gone from the medium? */
#ifndef WRITE_BED_H
#define WRITE_BED_H

#include "unit_test.h"
#include "model_device.h"
#include "pipeline/write_stage.h"

/* Sweeps take every n-th case: what runs slowly takes a part. */
#ifdef __SANITIZE_THREAD__
#define BED_STRIDE 5
#else
#define BED_STRIDE 1
#endif

/* What the one who reads a device back says to a question. */
enum bed_answer {
	ANSWER_GOOD, /* after it has looked at every byte */
	ANSWER_BAD,
	ANSWER_LATE, /* GOOD, with a sign of life every 0.3 s for 3 s */
	ANSWER_NEVER, /* until the stage has ended without it */
	ANSWER_INTERRUPTED, /* 20 ms before the stage is stopped: by itself */
	ANSWER_WHEN_STOPPED, /* BAD, 20 ms after the stage was stopped: by itself, while asked */
};

struct write_bed {
	uint64_t seed;
	uint64_t image_size;
	struct bmap_map *map; /* NULL: the whole image */
	bool size_unknown; /* to the plan */
	struct target targets[MODEL_MAX];
	size_t target_count;
	bool left_out[MODEL_MAX]; /* of this run */
	struct target *lanes[MODEL_MAX]; /* the others */
	size_t lane_count;
	struct model model;
	size_t ring_bytes; /* default 2 MiB */
	bool packed; /* holes are left out of the ring */
	uint64_t start_position;
	size_t chunk_bytes; /* room that the producer asks for at once, 0: random, up to 200,000 */
	unsigned queue_depth, warn_seconds, give_up_seconds;
	bool detach;
	unsigned straggler_seconds;
	bool never_commit; /* the source turned out bad: stopped instead */
	uint64_t stop_after_us; /* stopped so long after the start, 0: not */
	bool stop_at_commit; /* stopped as soon as the commit block of device 0 is on its way */
	enum bmap_error_code stop_code;
	bool read_back;
	enum bed_answer body_answer[MODEL_MAX], head_answer[MODEL_MAX];
	const struct engine_factory *engine; /* in place of the model */
	/* Results: */
	struct lane_status status[MODEL_MAX];
	struct write_stage_counters counters;
	bool leaked;
	unsigned asked_body[MODEL_MAX], asked_head[MODEL_MAX]; /* how often */
	unsigned warnings, infos, detachings;
	uint64_t ended_ns[MODEL_MAX]; /* since the start of the run, when it was final */
	/* Inside: */
	uint8_t *image, *mapped; /* mapped: a byte each, 1 if it is */
	uint64_t mapped_bytes, first_mapped;
	bool body_begun[MODEL_MAX]; /* a byte behind the head was written */
	struct write_stage *stage;
	struct ring *ring;
	struct segments *segments;
	struct image_plan plan;
};

/* A device of align bytes, of the size that holds the image, that withholds its head. */
void bed_init(struct write_bed *bed, uint64_t seed, uint64_t image_size);
void bed_map(struct write_bed *bed, uint64_t block_size, const struct bmap_range *ranges,
	     size_t count);
/* count ranges of up to max_blocks blocks, gaps of up to max_gap blocks (0: they may touch). */
void bed_random_map(struct write_bed *bed, uint64_t block_size, unsigned max_blocks,
		    unsigned max_gap);
struct target *bed_add(struct write_bed *bed, enum target_kind kind, size_t align);
void bed_run(struct write_bed *bed);
/* With an engine that cannot be opened, write_stage_start() fails and leaves nothing. */
void bed_expect_no_start(struct write_bed *bed);
/* Of device i: every mapped byte is the image's, on the medium, every other one as it was. */
void bed_expect_done(struct write_bed *bed, size_t i);
/* Ended otherwise; its neighbours' bytes are as they were, its head is not whole. */
void bed_expect_ended(struct write_bed *bed, size_t i, enum bmap_target_state state,
		      enum bmap_error_code code);
void bed_free(struct write_bed *bed);

#endif

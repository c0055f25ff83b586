/* SPDX-License-Identifier: MIT */
/* raw_ranges.c - a raw image from a server that can send a part of a file: only what is mapped is
 * asked for, and read straight into the image ring.
 *
 * As in raw_extents.c ranges are rounded out to pages and joined where little lies between them;
 * here that is JOIN_BYTES, which a usual line brings in the time that asking again takes. */
#include "base/checked.h"
#include "base/threads.h"
#include "pipeline/decode_stage_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define JOIN_BYTES (1u * MIB)
#define READ_BYTES (1u * MIB)
#define LEAST_ROOM_BYTES (64u * KIB)

struct raw_ranges {
	struct decode_stage stage; /* first */
	pthread_t thread;
	bool started;
	_Atomic uint64_t read_bytes;
	/* The thread's: */
	uint64_t image_end;
	uint64_t at; /* the next byte that the source gives */
	uint64_t extent_begin, extent_end;
	size_t next_range;
};

/* The next run of ranges that lie close together; false: none is left. */
static bool next_extent(struct raw_ranges *raw)
{
	const struct image_plan *plan = raw->stage.config.plan;
	size_t count = plan_range_count(plan), i = raw->next_range;
	uint64_t end;

	if (i >= count)
		return false;
	raw->extent_begin = align_down(plan_range_begin(plan, i), SEGMENT_ALIGN_BYTES);
	end = plan_range_end(plan, i);
	for (i++; i < count && plan_range_begin(plan, i) - end < JOIN_BYTES; i++)
		end = plan_range_end(plan, i);
	raw->next_range = i;
	raw->extent_end = min_u64(align_up(end, SEGMENT_ALIGN_BYTES), raw->image_end);
	return raw->extent_begin < raw->extent_end;
}

/* False with *stopped: the ring was stopped, which is no failure. */
static bool read_piece(struct raw_ranges *raw, bool *stopped, struct bmap_error *err)
{
	struct decode_stage *stage = &raw->stage;
	struct decode_output *out = &stage->output;
	struct ring *ring = stage->config.ring;
	uint64_t left = raw->extent_end - raw->at, room;
	ssize_t n;

	if (!decode_output_open(out, err))
		return false;
	if (!ring_wait_room(ring, out->position + min_u64(left, LEAST_ROOM_BYTES))) {
		*stopped = true;
		return false;
	}
	room = min_u64(ring_room_end(ring) - out->position, min_u64(left, READ_BYTES));
	n = source_read(stage->config.source, ring_at(ring, out->position), (size_t)room, err);
	if (n < 0)
		return false;
	if (!n)
		return bmap_error_data(err, raw->at,
				       "%s: ends at offset %" PRIu64
				       ", but the image should have %" PRIu64 " bytes",
				       out->name, raw->at, raw->image_end);
	raw->at += (uint64_t)n;
	atomic_fetch_add(&raw->read_bytes, (uint64_t)n);
	if (!decode_output_take(out, (uint64_t)n, err))
		return false;
	decode_stage_publish(stage, out->position);
	return true;
}

static bool read_extent(struct raw_ranges *raw, bool *stopped, struct bmap_error *err)
{
	struct source *source = raw->stage.config.source;
	struct decode_output *out = &raw->stage.output;

	if (raw->extent_begin > raw->at) {
		if (!source_skip(source, raw->extent_begin - raw->at, err))
			return false;
		raw->at = raw->extent_begin;
	}
	source_expect(source, raw->extent_end - raw->at);
	if (out->image_offset != raw->extent_begin) {
		out->image_offset = raw->extent_begin;
		out->open = false;
	}
	while (raw->at < raw->extent_end)
		if (!read_piece(raw, stopped, err))
			return false;
	return true;
}

/* Waits for the source and for room in the ring. Ends with the last extent, on failure, or when the
 * ring was stopped. */
static void *raw_ranges_run(void *arg)
{
	struct raw_ranges *raw = arg;
	struct decode_stage *stage = &raw->stage;
	struct bmap_error err;
	bool stopped = false;

	while (next_extent(raw))
		if (!read_extent(raw, &stopped, &err)) {
			if (!stopped)
				job_fail(stage->config.job, &err);
			return NULL;
		}
	if (!ring_stopped(stage->config.ring)) {
		stage->output.image_offset = raw->image_end;
		decode_stage_finish(stage);
	}
	return NULL;
}

static void raw_ranges_stop(struct decode_stage *stage)
{
	/* The thread waits only on the ring and on the source, whose stop object is the job's. */
	ring_stop(stage->config.ring);
}

static void raw_ranges_join(struct decode_stage *stage)
{
	struct raw_ranges *raw = (struct raw_ranges *)stage;

	if (raw->started)
		pthread_join(raw->thread, NULL);
	raw->started = false;
}

static uint64_t raw_ranges_source_bytes(const struct decode_stage *stage)
{
	return atomic_load(&((const struct raw_ranges *)stage)->read_bytes);
}

static void raw_ranges_free(struct decode_stage *stage)
{
	free(stage);
}

static const struct stage_kind raw_ranges_kind = {
	.stop = raw_ranges_stop,
	.join = raw_ranges_join,
	.source_bytes = raw_ranges_source_bytes,
	.free = raw_ranges_free,
};

struct decode_stage *raw_ranges_start(const struct decode_stage_config *config,
				      struct bmap_error *err)
{
	struct raw_ranges *raw = calloc(1, sizeof(*raw));

	if (!raw) {
		bmap_error_memory(err, "raw ranges");
		return NULL;
	}
	decode_stage_init(&raw->stage, &raw_ranges_kind, config);
	raw->image_end = min_u64(config->plan->image_size_bytes, config->source->size_bytes);
	raw->started = thread_start(&raw->thread, "source", raw_ranges_run, raw, err);
	if (!raw->started) {
		free(raw);
		return NULL;
	}
	return &raw->stage;
}

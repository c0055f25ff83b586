/* SPDX-License-Identifier: MIT */
/* raw_stream.c - a raw image from a pipe: read straight into the image ring. */
#include "base/checked.h"
#include "base/threads.h"
#include "pipeline/decode_stage_internal.h"

#include <stdlib.h>

#define READ_BYTES (1u * MIB)
#define LEAST_ROOM_BYTES (64u * KIB)

struct raw_stream {
	struct decode_stage stage; /* first */
	pthread_t thread;
	bool started;
	_Atomic uint64_t read_bytes;
};

/* True while there may be more. */
static bool read_piece(struct raw_stream *raw, struct bmap_error *err, bool *failed)
{
	struct decode_stage *stage = &raw->stage;
	struct decode_output *out = &stage->output;
	struct ring *ring = stage->config.ring;
	size_t room;
	ssize_t n;

	if (!decode_output_open(out, err)) {
		*failed = true;
		return false;
	}
	if (!ring_wait_room(ring, out->position + LEAST_ROOM_BYTES))
		return false;
	room = (size_t)min_u64(ring_room_end(ring) - out->position, READ_BYTES);
	n = source_read(stage->config.source, ring_at(ring, out->position), room, err);
	*failed = n < 0 || (n == 0 ? !decode_output_end(out, err)
				   : !decode_output_take(out, (uint64_t)n, err));
	if (*failed)
		return false;
	atomic_fetch_add(&raw->read_bytes, (uint64_t)n);
	if (n)
		decode_stage_publish(stage, out->position);
	else
		decode_stage_finish(stage);
	return n > 0;
}

/* Waits for the source and for room in the ring. Ends with the source, on failure, or when the ring
 * was stopped. */
static void *raw_stream_run(void *arg)
{
	struct raw_stream *raw = arg;
	struct bmap_error err;
	bool failed = false;

	while (read_piece(raw, &err, &failed))
		;
	if (failed)
		job_fail(raw->stage.config.job, &err);
	return NULL;
}

static void raw_stream_stop(struct decode_stage *stage)
{
	/* The thread waits only on the ring and on the source, whose stop object is the job's. */
	ring_stop(stage->config.ring);
}

static void raw_stream_join(struct decode_stage *stage)
{
	struct raw_stream *raw = (struct raw_stream *)stage;

	if (raw->started)
		pthread_join(raw->thread, NULL);
	raw->started = false;
}

static uint64_t raw_stream_source_bytes(const struct decode_stage *stage)
{
	return atomic_load(&((const struct raw_stream *)stage)->read_bytes);
}

static void raw_stream_free(struct decode_stage *stage)
{
	free(stage);
}

static const struct stage_kind raw_stream_kind = {
	.stop = raw_stream_stop,
	.join = raw_stream_join,
	.source_bytes = raw_stream_source_bytes,
	.free = raw_stream_free,
};

struct decode_stage *raw_stream_start(const struct decode_stage_config *config,
				      struct bmap_error *err)
{
	struct raw_stream *raw = calloc(1, sizeof(*raw));

	if (!raw) {
		bmap_error_memory(err, "raw stream");
		return NULL;
	}
	decode_stage_init(&raw->stage, &raw_stream_kind, config);
	raw->started = thread_start(&raw->thread, "source", raw_stream_run, raw, err);
	if (!raw->started) {
		free(raw);
		return NULL;
	}
	return &raw->stage;
}

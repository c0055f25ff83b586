/* SPDX-License-Identifier: MIT */
/* raw_extents.c - a raw image in a file or on a device: its mapped extents are read at queue depth,
 * straight into the image ring.
 *
 * Ranges are rounded out to pages, and joined where less than JOIN_BYTES lie between them: bytes in
 * such gaps are read, but neither hashed nor written. Wider gaps are not read at all. A read with
 * gaps in it that fails is done again range by range: what nobody wants may be unreadable. */
#include "base/checked.h"
#include "base/threads.h"
#include "pipeline/decode_stage_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define JOIN_BYTES (64u * KIB)
#define READ_BYTES (1u * MIB)
#define DEFAULT_DEPTH 8u
#define MAX_DEPTH 64u

struct raw_read {
	struct io_request io; /* first */
	uint64_t position, position_end; /* published when this and all before have come */
	uint64_t begin, end; /* in the image */
	size_t range; /* the first that ends behind begin; by_range: the next to be read */
	bool by_range; /* io is a range's piece of it */
	bool done;
};

struct raw_extents {
	struct decode_stage stage; /* first */
	pthread_t thread;
	bool started;
	_Atomic uint64_t read_bytes;
	/* The thread's: */
	struct io_engine *engine;
	unsigned depth;
	uint64_t image_end; /* end of the image: the map's, or the file's */
	uint64_t extent_offset, extent_end; /* being cut into reads */
	size_t next_range;
	size_t range; /* the first that ends behind extent_offset */
	struct raw_read reads[MAX_DEPTH]; /* a queue: first..first+count, modulo depth */
	unsigned first, count;
};

/* The next run of ranges that lie close together; false: none is left. */
static bool next_extent(struct raw_extents *raw)
{
	const struct image_plan *plan = raw->stage.config.plan;
	size_t count = plan_range_count(plan), i = raw->next_range;
	uint64_t end;

	if (i >= count)
		return false;
	raw->extent_offset = align_down(plan_range_begin(plan, i), SEGMENT_ALIGN_BYTES);
	end = plan_range_end(plan, i);
	for (i++; i < count && plan_range_begin(plan, i) - end < JOIN_BYTES; i++)
		end = plan_range_end(plan, i);
	raw->next_range = i;
	raw->extent_end = min_u64(align_up(end, SEGMENT_ALIGN_BYTES), raw->image_end);
	return raw->extent_offset < raw->extent_end;
}

/* The engine's depth is ours: there is room for each read's one request. */
static void read_span(struct raw_extents *raw, struct raw_read *read, uint64_t begin, uint64_t end)
{
	read->io = (struct io_request){
		.op = IO_READ,
		.fd = raw->stage.config.source->fd,
		.data = ring_at(raw->stage.config.ring, read->position + (begin - read->begin)),
		.len_bytes = (size_t)(end - begin),
		.offset_bytes = begin,
	};
	engine_queue(raw->engine, &read->io);
}

/* Puts the next read into the queue, if there is one and room for it (which is waited for only if
 * nothing is in flight). False: nothing was queued. */
static bool queue_read(struct raw_extents *raw, struct bmap_error *err, bool *failed)
{
	struct decode_stage *stage = &raw->stage;
	struct decode_output *out = &stage->output;
	struct ring *ring = stage->config.ring;
	struct raw_read *read;
	uint64_t begin, end, len;

	if (raw->count == raw->depth)
		return false;
	if (raw->extent_offset == raw->extent_end && !next_extent(raw))
		return false;
	len = min_u64(raw->extent_end - raw->extent_offset, READ_BYTES);
	begin = raw->extent_offset == out->image_offset && out->open
			? out->position
			: align_up(out->position, SEGMENT_ALIGN_BYTES);
	end = begin + len;
	if (ring_room_end(ring) < end && (raw->count || !ring_wait_room(ring, end)))
		return false;
	if (raw->extent_offset != out->image_offset) {
		out->image_offset = raw->extent_offset;
		out->open = false;
	}
	if (!decode_output_open(out, err) || !decode_output_take(out, len, err)) {
		*failed = true;
		return false;
	}
	while (plan_range_end(stage->config.plan, raw->range) <= raw->extent_offset)
		raw->range++;
	read = &raw->reads[(raw->first + raw->count) % raw->depth];
	*read = (struct raw_read){
		.position = begin,
		.position_end = out->position,
		.begin = raw->extent_offset,
		.end = raw->extent_offset + len,
		.range = raw->range,
	};
	raw->extent_offset += len;
	raw->count++;
	read_span(raw, read, read->begin, read->end);
	return true;
}

/* One range covers it: there is nothing that could be left out. */
static bool is_wanted_whole(const struct raw_extents *raw, const struct raw_read *read)
{
	const struct image_plan *plan = raw->stage.config.plan;

	return plan_range_begin(plan, read->range) <= read->begin &&
	       plan_range_end(plan, read->range) >= read->end;
}

/* Queues what the next range has of this read; false: no range has more of it. */
static bool read_next_range(struct raw_extents *raw, struct raw_read *read)
{
	const struct image_plan *plan = raw->stage.config.plan;
	size_t i = read->range;

	if (i == plan_range_count(plan) || plan_range_begin(plan, i) >= read->end)
		return false;
	read->range++;
	read_span(raw, read, max_u64(plan_range_begin(plan, i), read->begin),
		  min_u64(plan_range_end(plan, i), read->end));
	return true;
}

/* After a completion: is there more of this read to come? */
static bool goes_on_by_range(struct raw_extents *raw, struct raw_read *read)
{
	if (read->io.result < 0) {
		if (read->by_range || is_wanted_whole(raw, read))
			return false;
		read->by_range = true;
		log_info(job_log(raw->stage.config.job),
			 "%s: cannot read %" PRIu64 " bytes at offset %" PRIu64
			 ": %s: reading only what is mapped of them",
			 raw->stage.config.source->name, read->end - read->begin, read->begin,
			 strerror((int)-read->io.result));
		return read_next_range(raw, read);
	}
	return read->by_range && (size_t)read->io.result == read->io.len_bytes &&
	       read_next_range(raw, read);
}

static bool check_read(struct raw_extents *raw, const struct raw_read *read, struct bmap_error *err)
{
	const char *name = raw->stage.config.source->name;
	uint64_t offset = read->io.offset_bytes;

	if (read->io.result < 0) {
		bmap_error_errnum(err, (int)-read->io.result, "%s: cannot read at offset %" PRIu64,
				  name, offset);
		err->has_offset = true;
		err->offset_bytes = offset;
		return false;
	}
	if ((size_t)read->io.result < read->io.len_bytes)
		return bmap_error_data(err, offset + (uint64_t)read->io.result,
				       "%s: ends at offset %" PRIu64
				       ", but the image should have %" PRIu64 " bytes",
				       name, offset + (uint64_t)read->io.result, raw->image_end);
	return true;
}

/* Publishes what has come, in order. */
static void publish_done(struct raw_extents *raw)
{
	uint64_t position = 0;

	while (raw->count && raw->reads[raw->first].done) {
		position = raw->reads[raw->first].position_end;
		raw->first = (raw->first + 1) % raw->depth;
		raw->count--;
	}
	if (position)
		decode_stage_publish(&raw->stage, position);
}

static bool reap(struct raw_extents *raw, struct bmap_error *err)
{
	struct io_request *done[MAX_DEPTH];
	bool good = true;
	int n = engine_wait(raw->engine, done, MAX_DEPTH, -1);

	if (n < 0)
		return bmap_error_errnum(err, -n, "%s: reading failed",
					 raw->stage.config.source->name);
	for (int i = 0; i < n; i++) {
		struct raw_read *read = (struct raw_read *)done[i];

		atomic_fetch_add(&raw->read_bytes,
				 (uint64_t)(read->io.result > 0 ? read->io.result : 0));
		if (good && goes_on_by_range(raw, read))
			continue;
		read->done = true;
		if (good && !check_read(raw, read, err))
			good = false;
	}
	if (good)
		publish_done(raw);
	return good;
}

/* Memory the kernel may still write is not left: waits for every read in flight. */
static void drain(struct raw_extents *raw)
{
	struct io_request *done[MAX_DEPTH];

	while (raw->engine->in_flight && engine_wait(raw->engine, done, MAX_DEPTH, -1) >= 0)
		;
}

/* Waits for reads, and for room in the ring when none is in flight. Ends when all extents were
 * read, on failure, or when the ring was stopped. */
static void *raw_extents_run(void *arg)
{
	struct raw_extents *raw = arg;
	struct decode_stage *stage = &raw->stage;
	struct bmap_error err;
	bool failed = false;

	/* Without a log: the write stage has an engine of the same kind, and says what it is. */
	raw->engine = engine_make(stage->config.engine, raw->depth, NULL, &err);
	failed = !raw->engine;
	while (!failed) {
		while (queue_read(raw, &err, &failed))
			;
		if (failed || !raw->count || ring_stopped(stage->config.ring))
			break;
		failed = !reap(raw, &err);
	}
	if (raw->engine)
		drain(raw);
	if (raw->engine &&
	    !raw->engine->in_flight) /* else it is broken, and left alone: engine.h */
		engine_free(raw->engine);
	if (failed) {
		job_fail(stage->config.job, &err);
	} else if (!ring_stopped(stage->config.ring)) {
		stage->output.image_offset = raw->image_end;
		decode_stage_finish(stage);
	}
	return NULL;
}

static void raw_extents_stop(struct decode_stage *stage)
{
	ring_stop(stage->config.ring); /* reads of files and devices end by themselves */
}

static void raw_extents_join(struct decode_stage *stage)
{
	struct raw_extents *raw = (struct raw_extents *)stage;

	if (raw->started)
		pthread_join(raw->thread, NULL);
	raw->started = false;
}

static uint64_t raw_extents_source_bytes(const struct decode_stage *stage)
{
	return atomic_load(&((const struct raw_extents *)stage)->read_bytes);
}

static void raw_extents_free(struct decode_stage *stage)
{
	free(stage);
}

static const struct stage_kind raw_extents_kind = {
	.stop = raw_extents_stop,
	.join = raw_extents_join,
	.source_bytes = raw_extents_source_bytes,
	.free = raw_extents_free,
};

struct decode_stage *raw_extents_start(const struct decode_stage_config *config,
				       struct bmap_error *err)
{
	struct raw_extents *raw = calloc(1, sizeof(*raw));

	if (!raw) {
		bmap_error_memory(err, "raw extents");
		return NULL;
	}
	decode_stage_init(&raw->stage, &raw_extents_kind, config);
	raw->depth = (unsigned)min_u64(config->queue_depth ? config->queue_depth : DEFAULT_DEPTH,
				       MAX_DEPTH);
	raw->image_end = min_u64(config->plan->image_size_bytes, config->source->size_bytes);
	raw->started = thread_start(&raw->thread, "source", raw_extents_run, raw, err);
	if (!raw->started) {
		free(raw);
		return NULL;
	}
	return &raw->stage;
}

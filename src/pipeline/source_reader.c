/* SPDX-License-Identifier: MIT */
#include "pipeline/source_reader.h"
#include "base/checked.h"
#include "base/threads.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* A read asks for so much at most: the decoder can begin while the rest is still on its way. */
#define READ_BYTES (512u * KIB)

struct source_reader {
	struct source *source; /* the reader thread's */
	struct job_state *job; /* constant, as is ring */
	struct ring *ring; /* the reader's own, unless it is borrowed */
	bool borrowed;
	struct source_gaps_config gaps_config; /* constant; without a format: no gaps */
	struct source_gaps gaps; /* the reader thread's before its first publish, then constant */
	/* Whoever may peek: */
	uint64_t consumed; /* ring position */
	uint64_t passed_bytes; /* in gaps: source offset less ring position */
	size_t next_gap;
	bool at_gap; /* the last peek ended at next_gap */
	pthread_t thread;
	bool started;
};

static bool find_gaps(struct source_reader *reader, struct bmap_error *err)
{
	const struct source_gaps *gaps = &reader->gaps;
	uint64_t bytes = 0;

	if (!reader->gaps_config.format)
		return true;
	if (!source_gaps_find(&reader->gaps, reader->source, &reader->gaps_config, err))
		return false;
	for (size_t i = 0; i < gaps->count; i++)
		bytes += gaps->gaps[i].unit.source_bytes;
	if (bytes)
		log_debug(job_log(reader->job),
			  "%s: %" PRIu64 " bytes hold nothing that is mapped: not read",
			  reader->source->name, bytes);
	return true;
}

/* From source offset *at, over the gaps that begin there; and tells the source where the next one
 * does. */
static bool jump(struct source_reader *reader, size_t *next, uint64_t *at, struct bmap_error *err)
{
	const struct source_gaps *gaps = &reader->gaps;
	uint64_t len = 0;

	for (; *next < gaps->count && gaps->gaps[*next].source_offset == *at + len; ++*next)
		len += gaps->gaps[*next].unit.source_bytes;
	if (len && !source_skip(reader->source, len, err))
		return false;
	*at += len;
	if (*next < gaps->count)
		source_expect(reader->source, gaps->gaps[*next].source_offset - *at);
	return true;
}

static bool read_all(struct source_reader *reader, struct bmap_error *err)
{
	const struct source_gaps *gaps = &reader->gaps;
	uint64_t position = 0, at = 0; /* in the ring, in the source */
	size_t next = 0;
	ssize_t n;

	if (!find_gaps(reader, err) || !jump(reader, &next, &at, err))
		return false;
	while (ring_wait_room(reader->ring, position + SOURCE_READER_SLACK_BYTES)) {
		uint64_t room = min_u64(ring_room_end(reader->ring) - position, READ_BYTES);

		if (next < gaps->count)
			room = min_u64(room, gaps->gaps[next].source_offset - at);
		n = source_read(reader->source, ring_at(reader->ring, position), (size_t)room, err);
		if (n < 0)
			return false;
		if (n == 0) {
			ring_finish(reader->ring);
			break;
		}
		position += (uint64_t)n;
		at += (uint64_t)n;
		ring_publish(reader->ring, position);
		if (next < gaps->count && at == gaps->gaps[next].source_offset &&
		    !jump(reader, &next, &at, err))
			return false;
	}
	return true;
}

/* Waits for the source and for room. Ends with the source, on failure, or when stopped. */
static void *reader_run(void *arg)
{
	struct source_reader *reader = arg;
	struct bmap_error err;

	if (!read_all(reader, &err)) {
		job_fail(reader->job, &err);
		ring_stop(reader->ring);
	}
	return NULL;
}

struct source_reader *source_reader_start(struct source *source, size_t ahead_bytes,
					  const struct source_gaps_config *gaps,
					  struct job_state *job, struct bmap_error *err)
{
	struct source_reader *reader = calloc(1, sizeof(*reader));

	if (!reader) {
		bmap_error_memory(err, "source reader");
		return NULL;
	}
	reader->source = source;
	reader->job = job;
	if (gaps)
		reader->gaps_config = *gaps;
	reader->ring = ring_new(ahead_bytes, 1, RING_DOUBLE, NULL, err);
	if (reader->ring)
		reader->started = thread_start(&reader->thread, "source", reader_run, reader, err);
	if (!reader->started) {
		source_reader_free(reader);
		return NULL;
	}
	return reader;
}

struct source_reader *source_reader_over(struct ring *ring, struct bmap_error *err)
{
	struct source_reader *reader = calloc(1, sizeof(*reader));

	if (!reader) {
		bmap_error_memory(err, "source reader");
		return NULL;
	}
	reader->ring = ring;
	reader->borrowed = true;
	return reader;
}

/* Of the next gap in the ring. */
static uint64_t gap_position(const struct source_reader *reader)
{
	if (reader->next_gap == reader->gaps.count)
		return UINT64_MAX;
	return reader->gaps.gaps[reader->next_gap].source_offset - reader->passed_bytes;
}

bool source_reader_peek(struct source_reader *reader, size_t want, struct in_span *span)
{
	uint64_t decoded, end;
	bool finished;

	if (!ring_wait_decoded(reader->ring, reader->consumed, reader->consumed + max_u64(want, 1),
			       &decoded, &finished))
		return false;
	end = gap_position(reader);
	reader->at_gap = end <= decoded;
	*span = (struct in_span){
		.data = ring_at(reader->ring, reader->consumed),
		.len = (size_t)(min_u64(decoded, end) - reader->consumed),
		.ended = finished && end == UINT64_MAX,
	};
	return true;
}

const struct source_gap *source_reader_gap(const struct source_reader *reader)
{
	return reader->at_gap ? &reader->gaps.gaps[reader->next_gap] : NULL;
}

void source_reader_pass_gap(struct source_reader *reader)
{
	assert(gap_position(reader) == reader->consumed);
	reader->passed_bytes += reader->gaps.gaps[reader->next_gap++].unit.source_bytes;
	reader->at_gap = false;
}

void source_reader_consume(struct source_reader *reader, size_t len)
{
	reader->consumed += len;
	ring_release(reader->ring, 0, reader->consumed);
}

uint64_t source_reader_bytes(const struct source_reader *reader)
{
	bool finished;

	return ring_decoded(reader->ring, &finished);
}

void source_reader_stop(struct source_reader *reader)
{
	ring_stop(reader->ring);
}

void source_reader_free(struct source_reader *reader)
{
	if (!reader)
		return;
	if (reader->started) {
		ring_stop(reader->ring);
		pthread_join(reader->thread, NULL);
	}
	if (!reader->borrowed)
		ring_free(reader->ring);
	source_gaps_free(&reader->gaps);
	free(reader);
}

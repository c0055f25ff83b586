/* SPDX-License-Identifier: MIT */
#include "pipeline/source_reader.h"
#include "base/checked.h"
#include "base/threads.h"

#include <stdlib.h>

/* A read asks for so much at most: the decoder can begin while the rest is still on its way. */
#define READ_BYTES (512u * KIB)

struct source_reader {
	struct source *source; /* the reader thread's */
	struct job_state *job; /* constant, as is ring */
	struct ring *ring; /* the reader's own, unless it is borrowed */
	bool borrowed;
	uint64_t consumed; /* whoever may peek */
	pthread_t thread;
	bool started;
};

/* Waits for the source and for room. Ends with the source, on failure, or when stopped. */
static void *reader_run(void *arg)
{
	struct source_reader *reader = arg;
	struct bmap_error err;
	uint64_t position = 0;
	ssize_t n;

	while (ring_wait_room(reader->ring, position + SOURCE_READER_SLACK_BYTES)) {
		size_t room = (size_t)min_u64(ring_room_end(reader->ring) - position, READ_BYTES);

		n = source_read(reader->source, ring_at(reader->ring, position), room, &err);
		if (n < 0) {
			job_fail(reader->job, &err);
			ring_stop(reader->ring);
			break;
		}
		if (n == 0) {
			ring_finish(reader->ring);
			break;
		}
		position += (uint64_t)n;
		ring_publish(reader->ring, position);
	}
	return NULL;
}

struct source_reader *source_reader_start(struct source *source, size_t ahead_bytes,
					  struct job_state *job, struct bmap_error *err)
{
	struct source_reader *reader = calloc(1, sizeof(*reader));

	if (!reader) {
		bmap_error_memory(err, "source reader");
		return NULL;
	}
	reader->source = source;
	reader->job = job;
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

bool source_reader_peek(struct source_reader *reader, size_t want, struct in_span *span)
{
	uint64_t decoded;
	bool finished;

	if (!ring_wait_decoded(reader->ring, reader->consumed, reader->consumed + max_u64(want, 1),
			       &decoded, &finished))
		return false;
	*span = (struct in_span){
		.data = ring_at(reader->ring, reader->consumed),
		.len = (size_t)(decoded - reader->consumed),
		.ended = finished,
	};
	return true;
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
	free(reader);
}

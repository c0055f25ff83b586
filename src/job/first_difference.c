/* SPDX-License-Identifier: MIT */
#include "job/first_difference.h"
#include "base/checked.h"
#include "digest/digest.h"
#include "pipeline/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES (256u * KIB)
#define WAIT_MS 5 /* the ring does not ring: asked so often, it is never empty for long */

struct search {
	const struct read_back *back;
	struct image_stream stream; /* the image once more */
	uint64_t begin, end; /* of the bad range */
	struct hasher *hasher; /* over the image's bytes in it: are they what was written? */
	uint8_t *data; /* STEP_BYTES of the target */
	uint64_t found; /* UINT64_MAX: not yet */
	void (*beat)(void *arg);
	void *arg;
	struct bmap_error error;
};

static bool search_all(struct search *search);
static bool compare_piece(struct search *search, const uint8_t *image, uint64_t offset, size_t len);

static void not_known(struct first_difference *difference, const char *why)
{
	difference->offset_bytes = UINT64_MAX;
	snprintf(difference->why, sizeof(difference->why), "%.*s", (int)sizeof(difference->why) - 1,
		 why);
}

static void judge(struct search *search, const struct read_back_bad *bad,
		  struct first_difference *difference)
{
	uint8_t digest[BMAP_DIGEST_MAX_BYTES];

	hasher_finish(search->hasher, digest);
	if (memcmp(digest, bmap_range_digest(bad->map, bad->range), bad->map->digest_bytes))
		not_known(difference, "the image has changed since it was written");
	else if (search->found == UINT64_MAX)
		not_known(difference, "read once more, the target had the right bytes");
	else
		difference->offset_bytes = search->found;
}

/* The image's consumer is this thread. */
static bool start(struct search *search, const struct image_stream *stream)
{
	if (!image_stream_open_beside(&search->stream, stream, search->back->stop, &search->error))
		return false;
	if (image_stream_start(&search->stream, 1, NULL, NULL, &search->error))
		return true;
	image_stream_close(&search->stream, false);
	return false;
}

void first_difference_find(const struct read_back *back, const struct image_stream *stream,
			   const struct read_back_bad *bad, void (*beat)(void *arg), void *arg,
			   struct first_difference *difference)
{
	struct search search = {
		.back = back,
		.begin = bmap_range_begin(bad->map, bad->range),
		.end = bmap_range_end(bad->map, bad->range),
		.found = UINT64_MAX,
		.beat = beat,
		.arg = arg,
	};
	void *memory = NULL;

	if (!image_stream_repeatable(stream)) {
		not_known(difference, "the image cannot be read twice");
		return;
	}
	search.hasher = hasher_new(bad->map->digest, &search.error);
	if (posix_memalign(&memory, READ_BACK_ALIGN_BYTES, STEP_BYTES))
		bmap_error_memory(&search.error, back->target.name);
	search.data = memory;
	if (search.hasher && memory && start(&search, stream)) {
		hasher_begin(search.hasher);
		if (search_all(&search))
			judge(&search, bad, difference);
		image_stream_close(&search.stream, false);
	}
	if (search.error.code != BMAP_ERR_NONE)
		not_known(difference, search.error.text);
	hasher_free(search.hasher);
	free(memory);
}

/* Takes what is decoded below decoded. False: failed. *done: all of the range was seen. */
static bool take_decoded(struct search *search, struct walk *walk, uint64_t decoded, bool *done)
{
	struct ring *ring = search->stream.ring;
	struct piece piece;

	while (!*done && walk_next(walk, decoded, &piece)) {
		uint64_t skip = search->begin - min_u64(search->begin, piece.image_offset);
		uint64_t len = min_u64(piece.len_bytes, STEP_BYTES / 2);

		*done = piece.image_offset + len >= search->end;
		if (skip < len && !compare_piece(search, ring_at(ring, piece.position + skip),
						 piece.image_offset + skip,
						 min_u64(piece.image_offset + len, search->end) -
							 (piece.image_offset + skip)))
			return false;
		walk_take(walk, len);
		ring_release(ring, 0, walk->position);
		search->beat(search->arg);
	}
	ring_release(ring, 0, walk->position);
	return true;
}

/* False: search->error says why. */
static bool search_all(struct search *search)
{
	struct image_stream *stream = &search->stream;
	size_t count = plan_range_count(&stream->plan), first = 0;
	bool finished = false, done = false;
	struct walk walk;

	while (first + 1 < count && plan_range_end(&stream->plan, first) <= search->begin)
		first++;
	walk_init(&walk, &stream->plan, stream->segments, first, count);
	while (!done) {
		uint64_t decoded = ring_decoded(stream->ring, &finished);

		if (job_failed(stream->job, &search->error))
			return false;
		if (!take_decoded(search, &walk, decoded, &done))
			return false;
		if (done)
			break;
		if (finished)
			return bmap_error_set(&search->error, BMAP_ERR_DATA,
					      "the image has changed since it was written");
		if (image_stream_wait(stream, WAIT_MS) == STREAM_STOPPED)
			return bmap_error_set(&search->error, BMAP_ERR_INTERRUPTED, "interrupted");
		search->beat(search->arg); /* the source is its own judge */
	}
	return true;
}

/* len is at most half a step: rounded out it fits the memory. */
static bool compare_piece(struct search *search, const uint8_t *image, uint64_t offset, size_t len)
{
	const struct read_back *back = search->back;
	uint64_t from = align_down(offset, READ_BACK_ALIGN_BYTES);
	const uint8_t *target = search->data + (offset - from);
	size_t at = 0;

	hasher_update(search->hasher, image, len);
	if (search->found != UINT64_MAX)
		return true;
	if (!read_back_bytes(back, from, search->data,
			     align_up(offset + len, READ_BACK_ALIGN_BYTES) - from, &search->error))
		return false;
	/* A withheld head is not there yet: it was compared from memory. */
	if (back->head && offset < back->head_bytes)
		at = min_u64(len, back->head_bytes - offset);
	while (at < len && target[at] == image[at])
		at++;
	if (at < len)
		search->found = offset + at;
	return true;
}

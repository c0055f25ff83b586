/* SPDX-License-Identifier: MIT */
#include "pipeline/segments.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct segments {
	pthread_mutex_t lock; /* all below: looked up once a segment and consumer, so it is cheap */
	struct segment *list;
	size_t count, room;
};

struct segments *segments_new(struct bmap_error *err)
{
	struct segments *segments = calloc(1, sizeof(*segments));

	if (!segments) {
		bmap_error_memory(err, "segments");
		return NULL;
	}
	pthread_mutex_init(&segments->lock, NULL);
	return segments;
}

static bool grow(struct segments *segments)
{
	size_t room = segments->room ? segments->room * 2 : 64;
	struct segment *list = reallocarray(segments->list, room, sizeof(*list));

	if (!list)
		return false;
	segments->list = list;
	segments->room = room;
	return true;
}

bool segments_append(struct segments *segments, struct segment segment, struct bmap_error *err)
{
	bool ok;

	assert(segment.position % SEGMENT_ALIGN_BYTES == 0);
	assert(segment.image_offset % SEGMENT_ALIGN_BYTES == 0);
	pthread_mutex_lock(&segments->lock);
	assert(!segments->count || segments->list[segments->count - 1].position < segment.position);
	ok = segments->count < segments->room || grow(segments);
	if (ok)
		segments->list[segments->count++] = segment;
	pthread_mutex_unlock(&segments->lock);
	return ok || bmap_error_memory(err, "segments");
}

size_t segments_count(struct segments *segments)
{
	size_t count;

	pthread_mutex_lock(&segments->lock);
	count = segments->count;
	pthread_mutex_unlock(&segments->lock);
	return count;
}

struct segment segments_get(struct segments *segments, size_t i)
{
	struct segment segment;

	pthread_mutex_lock(&segments->lock);
	assert(i < segments->count);
	segment = segments->list[i];
	pthread_mutex_unlock(&segments->lock);
	return segment;
}

void segments_free(struct segments *segments)
{
	if (!segments)
		return;
	pthread_mutex_destroy(&segments->lock);
	free(segments->list);
	free(segments);
}

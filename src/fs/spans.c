/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "fs/fs_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_ROOM 256u

void used_spans_free(struct used_spans *spans)
{
	free(spans->items);
	*spans = (struct used_spans){ 0 };
}

static bool grow(struct used_spans *spans)
{
	size_t room = spans->room ? 2 * spans->room : FIRST_ROOM;
	struct used_span *items = reallocarray(spans->items, room, sizeof(*items));

	if (!items)
		return false;
	spans->items = items;
	spans->room = room;
	return true;
}

bool fs_add(const struct fs_volume *volume, struct used_spans *spans, uint64_t begin_bytes,
	    uint64_t end_bytes, struct bmap_error *err)
{
	struct used_span *last = spans->count ? &spans->items[spans->count - 1] : NULL;
	uint64_t begin = volume->begin_bytes + min_u64(begin_bytes, volume->size_bytes);
	uint64_t end = volume->begin_bytes + min_u64(end_bytes, volume->size_bytes);

	if (begin >= end)
		return true;
	if (last && begin >= last->begin_bytes && begin <= last->end_bytes) {
		last->end_bytes = max_u64(last->end_bytes, end);
		return true;
	}
	if (spans->count == spans->room && !grow(spans))
		return bmap_error_memory(err, volume->name);
	spans->items[spans->count++] = (struct used_span){ begin, end };
	return true;
}

bool fs_read(const struct fs_volume *volume, uint64_t offset_bytes, void *data, size_t len,
	     struct bmap_error *err)
{
	uint64_t offset = volume->begin_bytes + offset_bytes;
	uint8_t *to = data;
	ssize_t n = 0;

	while (len) {
		n = pread(volume->fd, to, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		to += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	if (!len)
		return true;
	if (n < 0)
		bmap_error_errno(err, "%s: cannot read its file systems at offset %" PRIu64,
				 volume->name, offset);
	else
		bmap_error_set(err, BMAP_ERR_DATA,
			       "%s: ends at offset %" PRIu64 ": it was changed while it was read",
			       volume->name, offset);
	return false;
}

enum fs_verdict fs_whole(char why[FS_WHY_BYTES], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, FS_WHY_BYTES, fmt, args);
	va_end(args);
	return FS_WHOLE;
}

/* SPDX-License-Identifier: MIT */
#include "job/create_internal.h"
#include "base/checked.h"
#include "base/cleanup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int compare_spans(const void *a, const void *b)
{
	const struct bmap_span *x = a, *y = b;

	return x->begin_bytes < y->begin_bytes ? -1 : x->begin_bytes > y->begin_bytes;
}

static bool check_span(const struct bmap_span *span, const char *name, uint64_t size_bytes,
		       struct bmap_error *err)
{
	if (span->begin_bytes < span->end_bytes && span->begin_bytes < size_bytes)
		return true;
	return bmap_error_set(
		err, BMAP_ERR_USAGE, "%s: bytes %" PRIu64 " to %" PRIu64 " are to be mapped: %s",
		name, span->begin_bytes, span->end_bytes,
		span->begin_bytes < span->end_bytes ? "but the image ends before them"
						    : "the end is not behind the start");
}

bool create_spans(struct extents *forced, const struct bmap_create_options *options,
		  const char *name, uint64_t size_bytes, struct bmap_error *err)
{
	size_t count = options->span_count, bytes = count * sizeof(struct bmap_span);
	CLEANUP_FREE struct bmap_span *spans = malloc(max_u64(bytes, 1));
	bool good = true;

	if (!spans)
		return bmap_error_memory(err, name);
	if (count) {
		memcpy(spans, options->spans, bytes);
		qsort(spans, count, sizeof(*spans), compare_spans);
	}
	for (size_t i = 0; good && i < count; i++)
		good = check_span(&spans[i], name, size_bytes, err) &&
		       extents_add(forced, name, spans[i].begin_bytes, spans[i].end_bytes,
				   size_bytes, err);
	if (!good)
		extents_free(forced);
	return good;
}

bool create_add_spans(struct extents *extents, const struct extents *forced, const char *name,
		      uint64_t size_bytes, struct bmap_error *err)
{
	uint64_t block = extents->block_size_bytes;
	struct extents both = { .block_size_bytes = block };
	size_t i = 0, k = 0;
	bool good = true;

	if (!forced->count)
		return true;
	while (good && (i < extents->count || k < forced->count)) {
		bool first = k == forced->count ||
			     (i < extents->count &&
			      extents->ranges[i].first_block <= forced->ranges[k].first_block);
		const struct bmap_range *range =
			first ? &extents->ranges[i++] : &forced->ranges[k++];

		good = extents_add(&both, name, range->first_block * block,
				   (range->last_block + 1) * block, size_bytes, err);
	}
	extents_free(extents);
	if (good)
		*extents = both;
	else
		extents_free(&both);
	return good;
}

bool create_keep(struct extents *extents, const struct extents *other, const char *name,
		 uint64_t size_bytes, struct bmap_error *err)
{
	uint64_t block = extents->block_size_bytes;
	struct extents both = { .block_size_bytes = block };
	size_t i = 0, k = 0;
	bool good = true;

	while (good && i < extents->count && k < other->count) {
		const struct bmap_range *a = &extents->ranges[i], *b = &other->ranges[k];
		uint64_t first = max_u64(a->first_block, b->first_block);
		uint64_t last = min_u64(a->last_block, b->last_block);

		if (first <= last)
			good = extents_add(&both, name, first * block, (last + 1) * block,
					   size_bytes, err);
		if (a->last_block < b->last_block)
			i++;
		else
			k++;
	}
	extents_free(extents);
	if (good)
		*extents = both;
	else
		extents_free(&both);
	return good;
}

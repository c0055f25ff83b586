/* SPDX-License-Identifier: MIT */
#include "job/range_reads.h"
#include "base/checked.h"

#include <stdlib.h>

/* Reading this much too much costs less than one more request. */
#define MAX_GAP_BYTES (64u * KIB)
/* A batch is a part of what is left, so that the workers end together; not so small that the lock
 * or seeks would count, nor so large that one ends late. */
#define MIN_BATCH_BYTES (256u * KIB)
#define MAX_BATCH_BYTES (16u * MIB)
#define BATCHES_A_WORKER 4u
#define MAX_BATCH_RANGES 8192u
/* Shorter ones cannot keep the others waiting. */
#define MIN_LONG_BYTES (16u * MIB)
#define LONG_SHARE 16u /* longer than 1/16 of what one worker gets */

static uint64_t length_of(const struct bmap_map *map, size_t range)
{
	return bmap_range_end(map, range) - bmap_range_begin(map, range);
}

static bool is_dealt(const struct read_share *share, size_t range)
{
	return (!share->only_with_digest || bmap_range_digest(share->map, range)) &&
	       length_of(share->map, range) <= share->longest_bytes;
}

/* qsort_r(3): by length, longest first; then in the file's order. */
static int compare_length(const void *a, const void *b, void *map)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	uint64_t len_x = length_of(map, x), len_y = length_of(map, y);

	if (len_x != len_y)
		return len_x > len_y ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void sum_up(struct read_share *share)
{
	for (size_t i = 0; i < share->map->range_count; i++) {
		if (is_dealt(share, i))
			share->total_bytes += length_of(share->map, i);
	}
	share->left_bytes = share->total_bytes;
	share->long_bytes =
		max_u64(MIN_LONG_BYTES, share->total_bytes / share->workers / LONG_SHARE);
}

bool read_share_init(struct read_share *share, const struct bmap_map *map, bool only_with_digest,
		     uint64_t longest_bytes, unsigned workers, struct bmap_error *err)
{
	*share = (struct read_share){ .map = map,
				      .only_with_digest = only_with_digest,
				      .longest_bytes = longest_bytes,
				      .workers = workers };
	sum_up(share);
	/* No more than that many can be so long. */
	share->long_ranges = calloc(share->total_bytes / share->long_bytes + 1, sizeof(size_t));
	if (!share->long_ranges)
		return bmap_error_memory(err, "list of ranges");
	for (size_t i = 0; i < map->range_count; i++) {
		if (is_dealt(share, i) && length_of(map, i) >= share->long_bytes) {
			share->long_ranges[share->long_count++] = i;
			share->left_bytes -= length_of(map, i);
		}
	}
	qsort_r(share->long_ranges, share->long_count, sizeof(size_t), compare_length, (void *)map);
	pthread_mutex_init(&share->lock, NULL);
	return true;
}

void read_share_end(struct read_share *share)
{
	pthread_mutex_destroy(&share->lock);
	free(share->long_ranges);
}

size_t read_share_find(const struct read_share *share, size_t range, size_t end_range, bool is_long)
{
	while (range < end_range && (!is_dealt(share, range) || (length_of(share->map, range) >=
								 share->long_bytes) != is_long))
		range++;
	return range;
}

void read_cursor_init(struct read_cursor *cursor, struct read_share *share, size_t max_bytes)
{
	*cursor = (struct read_cursor){ .share = share, .max_bytes = max_bytes };
}

static void start_batch(struct read_cursor *cursor, size_t range, size_t end_range, bool is_long)
{
	cursor->range = range;
	cursor->end_range = end_range;
	cursor->offset = bmap_range_begin(cursor->share->map, range);
	cursor->is_long = is_long;
}

/* With the lock held. */
static bool claim_short(struct read_cursor *cursor)
{
	struct read_share *share = cursor->share;
	uint64_t want = share->left_bytes / share->workers / BATCHES_A_WORKER, got = 0;
	size_t count = share->map->range_count;
	size_t first = read_share_find(share, share->next_range, count, false), end = first;

	want = min_u64(max_u64(want, MIN_BATCH_BYTES), MAX_BATCH_BYTES);
	while (end < count && got < want && end - first < MAX_BATCH_RANGES) {
		got += length_of(share->map, end);
		end = read_share_find(share, end + 1, count, false);
	}
	share->next_range = end;
	share->left_bytes -= got;
	if (first < end)
		start_batch(cursor, first, end, false);
	return first < end;
}

static bool claim(struct read_cursor *cursor)
{
	struct read_share *share = cursor->share;
	bool claimed = true;

	pthread_mutex_lock(&share->lock);
	if (share->next_long < share->long_count) {
		size_t range = share->long_ranges[share->next_long++];

		start_batch(cursor, range, range + 1, true);
	} else
		claimed = claim_short(cursor);
	pthread_mutex_unlock(&share->lock);
	return claimed;
}

bool read_cursor_next(struct read_cursor *cursor, struct range_read *read)
{
	const struct bmap_map *map = cursor->share->map;
	uint64_t limit, end;

	if (cursor->range == cursor->end_range && !claim(cursor))
		return false;
	limit = align_down(cursor->offset, READ_ALIGN_BYTES) + cursor->max_bytes;
	*read = (struct range_read){ .begin = cursor->offset,
				     .first_range = cursor->range,
				     .is_long = cursor->is_long };
	for (;;) {
		end = bmap_range_end(map, cursor->range);
		if (end > limit) {
			end = cursor->offset = limit;
			break;
		}
		cursor->range = read_share_find(cursor->share, cursor->range + 1, cursor->end_range,
						cursor->is_long);
		if (cursor->range == cursor->end_range)
			break;
		cursor->offset = bmap_range_begin(map, cursor->range);
		if (cursor->offset - end >= MAX_GAP_BYTES || cursor->offset >= limit)
			break;
	}
	read->end = end;
	return true;
}

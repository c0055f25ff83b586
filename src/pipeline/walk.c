/* SPDX-License-Identifier: MIT */
#include "pipeline/walk.h"
#include "base/checked.h"

#define NO_SEGMENT UINT64_MAX

void walk_init(struct walk *walk, const struct image_plan *plan, struct segments *segments,
	       size_t first_range, size_t end_range)
{
	*walk = (struct walk){
		.plan = plan,
		.segments = segments,
		.current.position = NO_SEGMENT,
		.following.position = NO_SEGMENT,
		.range = first_range,
		.range_end = end_range,
	};
}

void walk_ranges(struct walk *walk, size_t first_range, size_t end_range)
{
	walk->range = first_range;
	walk->range_end = end_range;
}

/* Looks the next segment up if it was not there the last time. */
static bool next_segment_known(struct walk *walk)
{
	size_t next = walk->current.position == NO_SEGMENT ? 0 : walk->segment + 1;

	if (walk->following.position == NO_SEGMENT && next < segments_count(walk->segments))
		walk->following = segments_get(walk->segments, next);
	return walk->following.position != NO_SEGMENT;
}

static void enter_next_segment(struct walk *walk)
{
	if (walk->current.position != NO_SEGMENT)
		walk->segment++;
	walk->current = walk->following;
	walk->position = walk->current.position;
	walk->following.position = NO_SEGMENT;
}

/* Makes current the segment that position lies in; false if all that is decoded was passed. */
static bool find_segment(struct walk *walk, uint64_t decoded)
{
	while (walk->position < decoded) {
		/* Who has seen a byte as decoded sees its segment: segments.h. */
		bool known = next_segment_known(walk);

		if (walk->current.position != NO_SEGMENT &&
		    (!known || walk->position < walk->following.position))
			return true;
		if (!known || walk->following.position >= decoded)
			break;
		enter_next_segment(walk);
	}
	return false;
}

/* End of what is decoded of the current segment. */
static uint64_t segment_end(const struct walk *walk, uint64_t decoded)
{
	return min_u64(walk->following.position, decoded);
}

bool walk_next(struct walk *walk, uint64_t decoded, struct piece *piece)
{
	while (walk->range < walk->range_end && find_segment(walk, decoded)) {
		uint64_t end = segment_end(walk, decoded);
		uint64_t base = walk->current.image_offset;
		uint64_t image = base + (walk->position - walk->current.position);
		uint64_t image_end = base + (end - walk->current.position);
		uint64_t begin = plan_range_begin(walk->plan, walk->range);
		uint64_t range_end = plan_range_end(walk->plan, walk->range);

		if (range_end <= image) {
			walk->range++;
		} else if (begin >= image_end) {
			walk->position = end;
		} else {
			uint64_t from = max_u64(begin, image);

			walk->position += from - image;
			*piece = (struct piece){
				.position = walk->position,
				.image_offset = from,
				.len_bytes = min_u64(range_end, image_end) - from,
				.range = walk->range,
			};
			return true;
		}
	}
	/* A walk that is done stays: what follows may be given to it, or to another, later. */
	if (walk->range < walk->range_end && walk->position < decoded)
		walk->position = decoded;
	return false;
}

void walk_take(struct walk *walk, uint64_t len_bytes)
{
	uint64_t image = walk->current.image_offset + (walk->position - walk->current.position);

	walk->position += len_bytes;
	if (image + len_bytes >= plan_range_end(walk->plan, walk->range))
		walk->range++;
}

bool walk_done(const struct walk *walk)
{
	return walk->range >= walk->range_end;
}

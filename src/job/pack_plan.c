/* SPDX-License-Identifier: MIT */
#include "job/pack_plan.h"

/* A shorter hole is cheaper to decode than to cut out: a frame costs its header, its own start of
 * compression and a turn of the decode stage. */
#define LEAST_HOLE_BYTES (256u * KIB)

void pack_plan_init(struct pack_plan *plan, const struct bmap_map *map)
{
	*plan = (struct pack_plan){ .map = map };
}

/* Where the next mapped byte from offset on lies, or the image's end. */
static uint64_t next_mapped(struct pack_plan *plan, uint64_t offset)
{
	const struct bmap_map *map = plan->map;

	while (plan->range < map->range_count && bmap_range_end(map, plan->range) <= offset)
		plan->range++;
	if (plan->range == map->range_count)
		return map->image_size_bytes;
	return max_u64(offset, bmap_range_begin(map, plan->range));
}

/* Where the data that begins at begin ends: at a hole that is worth it, at limit, or at the
 * image's end. */
static uint64_t data_end(struct pack_plan *plan, uint64_t begin, uint64_t limit)
{
	uint64_t end = begin;

	while (end < limit) {
		uint64_t mapped = next_mapped(plan, end);

		if (mapped - end >= LEAST_HOLE_BYTES)
			return end;
		if (plan->range == plan->map->range_count)
			return min_u64(limit, mapped);
		end = bmap_range_end(plan->map, plan->range);
	}
	return limit;
}

bool pack_plan_next(struct pack_plan *plan, struct pack_item *item)
{
	uint64_t size = plan->map->image_size_bytes, mapped;

	if (plan->offset == size)
		return false;
	*item = (struct pack_item){ .hole_begin = plan->offset, .begin = plan->offset };
	mapped = next_mapped(plan, plan->offset);
	if (plan->offset && mapped - plan->offset >= LEAST_HOLE_BYTES)
		item->begin = mapped;
	item->range = plan->range;
	item->end = item->begin + min_u64(PACK_FRAME_BYTES, size - item->begin);
	if (plan->offset) /* all but the first */
		item->end = data_end(plan, item->begin, item->end);
	next_mapped(plan, item->end);
	plan->offset = item->end;
	return true;
}

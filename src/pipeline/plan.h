/* SPDX-License-Identifier: MIT */
/* pipeline/plan.h - which bytes of the image are wanted: a map's ranges as bytes, or, without a
 * map, one range that is the whole image.
 *
 * Threads: constant once the stages run. Ownership: borrows the map. */
#ifndef PIPELINE_PLAN_H
#define PIPELINE_PLAN_H

#include <bmap/map.h>
#include <stdint.h>

#define SIZE_UNKNOWN UINT64_MAX

struct image_plan {
	const struct bmap_map *map; /* NULL: no map */
	uint64_t image_size_bytes; /* SIZE_UNKNOWN without a map, for streams */
};

static inline size_t plan_range_count(const struct image_plan *plan)
{
	return plan->map ? plan->map->range_count : 1;
}

static inline uint64_t plan_range_begin(const struct image_plan *plan, size_t i)
{
	return plan->map ? bmap_range_begin(plan->map, i) : 0;
}

static inline uint64_t plan_range_end(const struct image_plan *plan, size_t i)
{
	return plan->map ? bmap_range_end(plan->map, i) : plan->image_size_bytes;
}

#endif

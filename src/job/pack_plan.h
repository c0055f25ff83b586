/* SPDX-License-Identifier: MIT */
/* job/pack_plan.h - into which frames an image is cut. No I/O.
 *
 * Frames end where mapped ranges begin and end, so that holes are frames of their own, which a
 * decoder with the map passes by without decoding or writing a byte of them; but not at every small
 * hole: ranges that lie close together share a frame, with the zeros between them. The first
 * frame is always as long as a frame can be: from its header decoders choose how much room they
 * give to all. No frame is longer than PACK_FRAME_BYTES.
 *
 * Threads: one at a time. The map must outlive the plan. */
#ifndef JOB_PACK_PLAN_H
#define JOB_PACK_PLAN_H

#include "base/checked.h"

#include <bmap/map.h>

/* 1, 2, 4, 8, 16 MiB on 2 cores, system files: 5.0, 2.4, 0.9, 0.2, -0.2 % larger than one frame;
 * decoded and written to /dev/null in 0.51, 0.49, 0.51, 0.51, 0.59 of its time. A decoder holds one
 * for each worker and one more in its ring: no larger than it has to be. */
#define PACK_FRAME_BYTES (4u * MIB)

/* A hole of any length or none, and the frame behind it. Items follow each other without a gap. */
struct pack_item {
	uint64_t hole_begin;
	uint64_t begin, end; /* of the data; equal: only the hole at the image's end */
	size_t range; /* first one that ends behind begin */
};

struct pack_plan {
	const struct bmap_map *map;
	uint64_t offset; /* where the next item begins */
	size_t range; /* first one that ends behind offset */
};

void pack_plan_init(struct pack_plan *plan, const struct bmap_map *map);
/* False: the whole image was handed out. */
bool pack_plan_next(struct pack_plan *plan, struct pack_item *item);

#endif

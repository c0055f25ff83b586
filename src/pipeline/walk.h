/* SPDX-License-Identifier: MIT */
/* pipeline/walk.h - one consumer's walk over segments and ranges: which decoded bytes are wanted.
 *
 * Threads: a walk belongs to one thread. */
#ifndef PIPELINE_WALK_H
#define PIPELINE_WALK_H

#include "pipeline/plan.h"
#include "pipeline/segments.h"

struct walk {
	const struct image_plan *plan;
	struct segments *segments;
	uint64_t position; /* all below was passed */
	size_t segment; /* index of the segment position lies in */
	struct segment current, following; /* following.position UINT64_MAX: not known to exist */
	size_t range; /* first range that ends behind position's image offset */
	size_t range_end; /* ranges from here on are not this walk's */
};

struct piece {
	uint64_t position; /* of its first byte in the ring */
	uint64_t image_offset;
	uint64_t len_bytes; /* at least 1 */
	size_t range; /* the one range that it is part of */
};

/* A walk over ranges [first, end) of the plan. */
void walk_init(struct walk *walk, const struct image_plan *plan, struct segments *segments,
	       size_t first_range, size_t end_range);
/* Goes on with ranges [first, end), which lie behind all passed ones, from where the walk is. */
void walk_ranges(struct walk *walk, size_t first_range, size_t end_range);
/* Passes bytes that are not wanted, up to decoded; the next wanted bytes from there on, as far as
 * they are decoded, in one segment and one range. False: none below decoded (position is then at
 * least decoded; but a walk that is done stays where it is). */
bool walk_next(struct walk *walk, uint64_t decoded, struct piece *piece);
/* Passes len bytes of the piece that walk_next() gave. */
void walk_take(struct walk *walk, uint64_t len_bytes);
/* No wanted byte is left, whatever is decoded later. */
bool walk_done(const struct walk *walk);

#endif

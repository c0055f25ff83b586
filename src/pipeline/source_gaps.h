/* SPDX-License-Identifier: MIT */
/* pipeline/source_gaps.h - the parts of a compressed source that need not be read: runs of units
 * that the index at the source's end, or marks before the units, place between the map's ranges.
 *
 * An index is hostile input. Here it has to add up with the sizes of source and image; whoever
 * passes a gap compares its two offsets with those that the units read so far have led to; and all
 * of it is only for images whose every wanted byte a checksum judges.
 * Threads: found by one thread, then constant. */
#ifndef PIPELINE_SOURCE_GAPS_H
#define PIPELINE_SOURCE_GAPS_H

#include "decode/decoder.h"
#include "pipeline/plan.h"
#include "source/source.h"

struct source_gap {
	uint64_t source_offset, image_offset; /* where it begins */
	struct indexed_unit unit; /* what lies in it: one unit, or several added up */
};

struct source_gaps {
	struct source_gap *gaps; /* in order; none of them empty */
	size_t count;
};

struct source_gaps_config {
	const struct decoder_ops *format;
	const struct image_plan *plan;
	bool one_of_many; /* the source's head begins with a unit that is smaller than the image */
};

/* Before the first source_read(). Reads the source's end, where the source can, and goes back.
 * Finding none is no failure. False: interrupted, or no memory. */
bool source_gaps_find(struct source_gaps *found, struct source *source,
		      const struct source_gaps_config *config, struct bmap_error *err);
void source_gaps_free(struct source_gaps *gaps); /* accepts what was zeroed, too */

#endif

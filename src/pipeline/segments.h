/* SPDX-License-Identifier: MIT */
/* pipeline/segments.h - where in the image the ring's positions lie.
 *
 * Segment i covers positions [position, position of segment i+1), and maps position p to image
 * offset image_offset + (p - position). Positions and image offsets rise; both are multiples of
 * SEGMENT_ALIGN_BYTES, so that a position and its image offset are congruent and writes need no
 * copy. Image bytes between two segments are not in the ring: no range has bytes there. The end of
 * a segment may be followed by padding up to the next position: it maps to image bytes that no
 * range has, too.
 * Order: the decode stage appends a segment before it publishes a byte of it; whoever has seen
 *        that byte as decoded sees the segment.
 * Threads: one appender, any readers. */
#ifndef PIPELINE_SEGMENTS_H
#define PIPELINE_SEGMENTS_H

#include "base/error.h"

#include <stddef.h>

#define SEGMENT_ALIGN_BYTES 4096u

struct segment {
	uint64_t position;
	uint64_t image_offset;
};

struct segments;
struct segments *segments_new(struct bmap_error *err);
bool segments_append(struct segments *segments, struct segment segment, struct bmap_error *err);
size_t segments_count(struct segments *segments);
struct segment segments_get(struct segments *segments, size_t i); /* i < count */
void segments_free(struct segments *segments);

#endif

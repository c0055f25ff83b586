/* SPDX-License-Identifier: MIT */
/* pipeline/decode_output.h - the decode stage's side of the image ring: which position comes next,
 * to which image byte it belongs, and when a new segment has to begin.
 *
 * Threads: whoever holds the stage's lock, or its only thread. */
#ifndef PIPELINE_DECODE_OUTPUT_H
#define PIPELINE_DECODE_OUTPUT_H

#include "pipeline/plan.h"
#include "pipeline/ring.h"
#include "pipeline/segments.h"

struct decode_output {
	struct ring *ring;
	struct segments *segments;
	const struct image_plan *plan;
	const char *name; /* of the source, for messages */
	uint64_t position; /* next to be handed out */
	uint64_t image_offset; /* of the byte that comes next */
	bool open; /* position continues a segment */
	uint64_t gap_bytes; /* image bytes skipped since the last segment */
	size_t range; /* first range that ends behind image_offset */
};

/* Has the plan a byte in the next len image bytes? */
bool decode_output_wanted(struct decode_output *out, uint64_t len);
/* Passes the next len image bytes by, if none of them is wanted and the gap is wide enough not to
 * bring wanted bytes into a segment's padding. False: they have to be decoded. */
bool decode_output_skip(struct decode_output *out, uint64_t len);
/* The same by force: the caller knows that none of them is wanted, and that, together with what it
 * passes by directly before and behind, they are 8 KiB at least. */
void decode_output_pass(struct decode_output *out, uint64_t len);
/* Makes position belong to image_offset: begins a segment if it has to. */
bool decode_output_open(struct decode_output *out, struct bmap_error *err);
/* Hands out [position, position + len). False with code DATA: the image goes on behind the size
 * that its map says. */
bool decode_output_take(struct decode_output *out, uint64_t len, struct bmap_error *err);
/* At the source's end: is the image as long as its map says? */
bool decode_output_end(const struct decode_output *out, struct bmap_error *err);

#endif

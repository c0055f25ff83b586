/* SPDX-License-Identifier: MIT */
#include "pipeline/decode_output.h"
#include "base/checked.h"

#include <inttypes.h>

/* The padding behind a segment (less than a page) and in front of the next one's first byte (less
 * than a page, too) both map to skipped image bytes then. */
#define LEAST_GAP_BYTES (2u * SEGMENT_ALIGN_BYTES)

bool decode_output_wanted(struct decode_output *out, uint64_t len)
{
	size_t count = plan_range_count(out->plan);
	uint64_t begin;

	while (out->range < count && plan_range_end(out->plan, out->range) <= out->image_offset)
		out->range++;
	if (!len || out->range == count)
		return false;
	begin = plan_range_begin(out->plan, out->range);
	return begin <= out->image_offset || begin - out->image_offset < len;
}

bool decode_output_skip(struct decode_output *out, uint64_t len)
{
	/* Behind the image's end there is nothing to skip: taking it says what is wrong. */
	if (decode_output_wanted(out, len) || len > out->plan->image_size_bytes - out->image_offset)
		return false;
	/* A gap that is wide enough already may grow by less. */
	if (out->gap_bytes < LEAST_GAP_BYTES && len < LEAST_GAP_BYTES)
		return false;
	decode_output_pass(out, len);
	return true;
}

void decode_output_pass(struct decode_output *out, uint64_t len)
{
	out->open = false;
	out->gap_bytes += len;
	out->image_offset += len;
}

bool decode_output_open(struct decode_output *out, struct bmap_error *err)
{
	struct segment segment = {
		.position = align_up(out->position, SEGMENT_ALIGN_BYTES),
		.image_offset = align_down(out->image_offset, SEGMENT_ALIGN_BYTES),
	};

	if (out->open)
		return true;
	if (!segments_append(out->segments, segment, err))
		return false;
	out->position = segment.position + out->image_offset % SEGMENT_ALIGN_BYTES;
	out->open = true;
	out->gap_bytes = 0;
	return true;
}

bool decode_output_take(struct decode_output *out, uint64_t len, struct bmap_error *err)
{
	uint64_t end = out->image_offset + len;

	if (end < len || end > out->plan->image_size_bytes)
		return bmap_error_data(
			err, out->plan->image_size_bytes,
			"%s: the image goes on behind byte %" PRIu64
			", where it has to end: image and bmap do not belong together",
			out->name, out->plan->image_size_bytes);
	out->position += len;
	out->image_offset = end;
	return true;
}

bool decode_output_end(const struct decode_output *out, struct bmap_error *err)
{
	uint64_t size = out->plan->image_size_bytes;

	if (size == SIZE_UNKNOWN || size == out->image_offset)
		return true;
	return bmap_error_data(err, out->image_offset,
			       "%s: the image ends after %" PRIu64
			       " bytes, but should have %" PRIu64
			       ": it is truncated, or image and bmap do not belong together",
			       out->name, out->image_offset, size);
}

/* SPDX-License-Identifier: MIT */
#include "job/pack_output.h"

#include "base/checked.h"
#include "job/pack_plan.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES (256u * KIB)

bool pack_output_init(struct pack_output *out, struct output_file *file, const struct bmap_log *log,
		      struct bmap_error *err)
{
	*out = (struct pack_output){ .file = file, .log = log, .piece = malloc(PIECE_BYTES) };
	if (!out->piece)
		return bmap_error_memory(err, file->name);
	return zero_frames_init(&out->zeros, PACK_FRAME_BYTES, err);
}

static bool flush_piece(struct pack_output *out, struct bmap_error *err)
{
	size_t len = out->piece_len;

	out->piece_len = 0;
	return output_file_write(out->file, out->piece, len, err);
}

static bool put(void *user, const uint8_t *data, size_t len, struct bmap_error *err)
{
	struct pack_output *out = user;

	out->packed_bytes += len;
	if (len > PIECE_BYTES - out->piece_len && !flush_piece(out, err))
		return false;
	if (len > PIECE_BYTES / 2)
		return flush_piece(out, err) && output_file_write(out->file, data, len, err);
	memcpy(out->piece + out->piece_len, data, len);
	out->piece_len += len;
	return true;
}

bool pack_output_frame(struct pack_output *out, const uint8_t *frame, size_t frame_len,
		       size_t image_len, struct bmap_error *err)
{
	out->frames++;
	return seek_table_add(&out->table, frame_len, image_len, err) &&
	       put(out, frame, frame_len, err);
}

bool pack_output_hole(struct pack_output *out, uint64_t len, struct bmap_error *err)
{
	uint8_t frame[ZERO_FRAME_BOUND(PACK_FRAME_BYTES)];
	size_t frame_len = 0, image_len = 0;

	while (len) {
		size_t n = (size_t)min_u64(len, PACK_FRAME_BYTES);

		if (n != image_len) /* most are like the one before */
			frame_len = zero_frame_make(&out->zeros, n, frame);
		image_len = n;
		if (!pack_output_frame(out, frame, frame_len, n, err))
			return false;
		out->hole_frames++;
		len -= n;
	}
	return true;
}

bool pack_output_finish(struct pack_output *out, struct bmap_error *err)
{
	const struct encode_sink sink = { put, out };

	if (!seek_table_fits(&out->table))
		log_info(out->log, "%s: has no seek table: more frames than it can count",
			 out->file->name);
	else if (!seek_table_write(&out->table, &sink, err))
		return false;
	return flush_piece(out, err);
}

void pack_output_end(struct pack_output *out)
{
	zero_frames_end(&out->zeros);
	seek_table_end(&out->table);
	free(out->piece);
	*out = (struct pack_output){ 0 };
}

/* SPDX-License-Identifier: MIT */
/* job/pack_output.h - the packed file as it grows: frames, holes as frames, the seek table.
 * Threads: one at a time. */
#ifndef JOB_PACK_OUTPUT_H
#define JOB_PACK_OUTPUT_H

#include "base/log.h"
#include "encode/zstd_frames.h"
#include "job/output_file.h"

struct pack_output {
	struct output_file *file;
	const struct bmap_log *log;
	struct zero_frames zeros;
	struct seek_table table;
	uint8_t *piece; /* small frames are collected */
	size_t piece_len;
	uint64_t packed_bytes, frames, hole_frames;
};

/* After a failure end it too. */
bool pack_output_init(struct pack_output *out, struct output_file *file, const struct bmap_log *log,
		      struct bmap_error *err);
/* Zeros of any length, in frames of PACK_FRAME_BYTES and a shorter last one. */
bool pack_output_hole(struct pack_output *out, uint64_t len, struct bmap_error *err);
bool pack_output_frame(struct pack_output *out, const uint8_t *frame, size_t frame_len,
		       size_t image_len, struct bmap_error *err);
/* The table, and what is not written yet. The file is still to be committed. */
bool pack_output_finish(struct pack_output *out, struct bmap_error *err);
void pack_output_end(struct pack_output *out);

#endif

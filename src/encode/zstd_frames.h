/* SPDX-License-Identifier: MIT */
/* encode/zstd_frames.h - an image as many zstd frames (RFC 8878), each for itself, and the table
 * that finds them again.
 *
 * Every frame declares its content's size, so that a decoder can give it its place before it is
 * decoded, and ends with the XXH64 of it. Frames of zeros are made without compressing anything.
 * The seek table is the last frame, a skippable one, as zstd's contrib/seekable_format describes
 * it (version 0.1.0): every decoder passes it by.
 *
 * Threads: a packer and a table belong to one thread at a time; zero_frames are constant once they
 *          were made. */
#ifndef ENCODE_ZSTD_FRAMES_H
#define ENCODE_ZSTD_FRAMES_H

#include "encode/encoder.h"

#define ZSTD_FRAMES_MAX_LEVEL 19 /* above, the window is more than decoders take unasked */

struct zstd_packer;

/* level: 1..ZSTD_FRAMES_MAX_LEVEL. NULL without memory. */
struct zstd_packer *zstd_packer_new(unsigned level, struct bmap_error *err);
/* Most bytes that a frame of len bytes can take. */
size_t zstd_packer_bound(size_t len);
/* One frame; room is at least the bound. The same bytes for the same input, whichever packer. */
bool zstd_packer_pack(struct zstd_packer *packer, const void *data, size_t len, uint8_t *frame,
		      size_t room, size_t *frame_len, struct bmap_error *err);
/* What it has allocated: all it ever will, once it has packed the longest piece. */
size_t zstd_packer_memory_bytes(const struct zstd_packer *packer);
void zstd_packer_free(struct zstd_packer *packer); /* accepts NULL */

struct zero_frames {
	size_t max_len;
	uint8_t *bytes; /* max_len zeros: never written, so they take no memory */
	uint32_t *checksums; /* [i]: of (i + 1) * 4096 zeros */
};

/* For frames of up to max_len zeros, a multiple of 4096. Ended by zero_frames_end(). */
bool zero_frames_init(struct zero_frames *zeros, size_t max_len, struct bmap_error *err);
void zero_frames_end(struct zero_frames *zeros);
/* Most bytes that a frame of len zeros takes: header, a first block of one byte, one for each
 * 128 KiB, checksum. */
#define ZERO_FRAME_BOUND(len) (9 + 4 * (2 + (len) / (128u * 1024u)) + 4)
/* 1 <= len <= max_len. Returns how many bytes were written. */
size_t zero_frame_make(const struct zero_frames *zeros, size_t len, uint8_t *frame);

/* Runs of frames that are alike take one entry, so that a hole of any length does. */
struct seek_run {
	uint32_t frame_len, image_len;
	uint64_t count;
};

struct seek_table {
	struct seek_run *runs;
	size_t run_count, room;
	uint64_t frames;
};

/* Zeroed it is empty. */
bool seek_table_add(struct seek_table *table, size_t frame_len, size_t image_len,
		    struct bmap_error *err);
/* The format counts no further than 2^27 frames: a longer table is none. */
bool seek_table_fits(const struct seek_table *table);
/* The whole skippable frame; only if it fits. */
bool seek_table_write(const struct seek_table *table, const struct encode_sink *sink,
		      struct bmap_error *err);
void seek_table_end(struct seek_table *table);

#endif

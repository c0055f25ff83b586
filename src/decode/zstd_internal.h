/* SPDX-License-Identifier: MIT */
/* decode/zstd_internal.h - the zstd decoder's parts (RFC 8878):
 *   zstd_header.c   frame headers; trusts nothing
 *   zstd_decoder.c  step(): the frames one after another, and which way to decode each
 *   zstd_blocks.c   a frame block by block, the ring being the window; optional
 *   zstd_units.c    cut() and unit(): whole small frames, in parallel
 *   zstd_index.c    the seek table, and marks before frames: which need not be read */
#ifndef DECODE_ZSTD_INTERNAL_H
#define DECODE_ZSTD_INTERNAL_H

#include "decode/decoder_internal.h"

/* ZSTD_d_forceIgnoreChecksum and the buffer-less calls stand in the experimental part. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_FRAME_MAGIC 0xFD2FB528u
#define ZSTD_SIZE_UNKNOWN UINT64_MAX
#define ZSTD_BLOCK_MAX_BYTES (128u * KIB) /* RFC 8878 3.1.1.2.4 */
#define ZSTD_HEADER_MAX_BYTES 18u
/* A larger frame is decoded serially, straight into the ring: it could not be written before it
 * is whole, and as many of them as there are workers would have to fit in memory. */
#define ZSTD_UNIT_MAX_BYTES (32u * MIB)

struct zstd_header {
	bool skippable; /* then only skip_bytes counts */
	uint64_t skip_bytes; /* behind the 8 bytes of the header */
	size_t header_bytes;
	uint64_t window_bytes; /* as declared, or the content's size */
	uint64_t content_bytes; /* or ZSTD_SIZE_UNKNOWN */
	uint32_t block_max_bytes; /* of image bytes; <= ZSTD_BLOCK_MAX_BYTES */
	bool checksum; /* 4 bytes follow the last block */
};

enum zstd_header_status {
	ZSTD_HEADER_OK,
	ZSTD_HEADER_MORE, /* need_bytes says how many, from its first byte */
	ZSTD_HEADER_GARBAGE, /* no frame begins here */
	ZSTD_HEADER_REFUSED, /* reason says why */
};

enum zstd_header_status zstd_header_parse(const uint8_t *data, size_t len,
					  struct zstd_header *header, size_t *need_bytes,
					  const char **reason);
/* How far back the frame's blocks can reach: the window, or the content if that is less. */
uint64_t zstd_history_bytes(const struct zstd_header *header);

enum zstd_phase {
	ZSTD_BETWEEN, /* at a frame's first byte or the source's end */
	ZSTD_SKIPPING, /* in a skippable frame */
	ZSTD_IN_BLOCKS, /* in a frame that zstd_blocks.c decodes */
	ZSTD_IN_STREAM, /* in a frame that the streaming call decodes */
};

/* cut() goes on where it stopped when it comes back with more input: state of that walk. */
struct zstd_walk {
	uint64_t start; /* source_offset that the rest belongs to */
	size_t pos; /* bytes walked over from there */
	bool in_frame; /* header was read, pos is at a block header */
	bool last_seen; /* pos is behind the last block */
	struct zstd_header frame;
};

struct zstd_decoder {
	struct decoder base;
	ZSTD_DCtx *ctx;
	enum zstd_phase phase;
	uint64_t skip_left_bytes; /* ZSTD_SKIPPING */
	struct zstd_header frame; /* current, for step() */
	uint64_t frame_offset; /* where it begins in the source */
	uint64_t frame_image_bytes; /* put out of it so far */
	bool seen_frame; /* a source of nothing but skippable frames is no image */
	struct zstd_walk walk;
};

/* Passes on what the library wrote, unless it is more than the frame declares. */
bool zstd_publish(struct zstd_decoder *z, struct out_span *out, size_t len, struct bmap_error *err);
enum decode_status zstd_broken(struct zstd_decoder *z, uint64_t offset, size_t code,
			       struct bmap_error *err);
/* What parse said about the bytes at offset as an error. */
enum decode_status zstd_header_failed(const struct zstd_decoder *z, uint64_t offset,
				      enum zstd_header_status status, const char *reason,
				      struct bmap_error *err);

#if HAVE_ZSTD_BLOCKS
/* Consumes the frame's header. */
bool zstd_blocks_begin(struct zstd_decoder *z, struct in_span *in, struct bmap_error *err);
/* As step(); DECODE_UNIT_END behind the frame. */
enum decode_status zstd_blocks_step(struct zstd_decoder *z, struct in_span *in,
				    struct out_span *out, struct bmap_error *err);
#endif

enum cut_status zstd_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			 struct bmap_error *err);
bool zstd_unit(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
	       uint64_t source_offset, struct bmap_error *err);

enum index_status zstd_read_index(const uint8_t *tail, size_t len, uint64_t source_bytes,
				  struct unit_index *index, size_t *need_bytes);
bool zstd_read_mark(const uint8_t *data, size_t len, struct indexed_unit *unit);
bool zstd_pass_indexed(struct decoder *d, const struct indexed_unit *unit, struct bmap_error *err);

#endif

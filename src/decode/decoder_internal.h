/* SPDX-License-Identifier: MIT */
/* decode/decoder_internal.h - what the files of this folder share. */
#ifndef DECODE_DECODER_INTERNAL_H
#define DECODE_DECODER_INTERNAL_H

#include "base/checked.h"
#include "decode/decoder.h"

extern const struct decoder_ops zstd_decoder;
extern const struct decoder_ops gzip_isal_decoder; /* only if the build has ISA-L */
extern const struct decoder_ops gzip_zlib_decoder;
extern const struct decoder_ops xz_decoder;
extern const struct decoder_ops lzma_decoder;
extern const struct decoder_ops tar_decoder;
extern const struct decoder_ops zip_decoder;
extern const struct decoder_ops lz4_decoder; /* these only if the build has their library */
extern const struct decoder_ops lzop_decoder;
extern const struct decoder_ops bzip2_decoder;

/* "NAME: broken FORMAT data at offset N: " and the reason; returns DECODE_FAILED. */
enum decode_status decoder_broken(const struct decoder *d, uint64_t offset, struct bmap_error *err,
				  const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The source ended where more had to come; offset is where it ended. */
enum decode_status decoder_truncated(const struct decoder *d, uint64_t offset,
				     struct bmap_error *err);
/* Bytes behind the complete image that belong to nothing. */
enum decode_status decoder_garbage(const struct decoder *d, uint64_t offset,
				   struct bmap_error *err);
/* Needs more memory than it may have; says how much and names the option. */
enum decode_status decoder_over_memory(const struct decoder *d, uint64_t offset, const char *what,
				       uint64_t need_bytes, struct bmap_error *err);
/* Makes *bytes at least `want` long (a block that fits neither input nor room); what was in it is
 * lost if it grows. False: more than the memory limit, to which beside_bytes count too. */
bool decoder_own_memory(const struct decoder *d, uint8_t **bytes, size_t *have, size_t want,
			uint64_t beside_bytes, struct bmap_error *err);
/* Wants at least `bytes` contiguous (0: any), or fails as truncated when no more comes. */
enum decode_status decoder_want_input(struct decoder *d, const struct in_span *in, size_t bytes,
				      struct bmap_error *err);

/* As much of what is gathered piece by piece as is worth a call; it needs `left` bytes more. */
static inline enum decode_status decoder_want_rest(struct decoder *d, const struct in_span *in,
						   size_t left, struct bmap_error *err)
{
	uint64_t piece = min_u64(64 * KIB, d->limits.input_max_bytes);

	return decoder_want_input(d, in, (size_t)min_u64(left, piece), err);
}

/* Room that is worth a call, with `left` bytes still to be put out of own memory. */
static inline size_t decoder_flush_room(const struct decoder *d, size_t left)
{
	return (size_t)max_u64(1, min_u64(left, min_u64(64 * KIB, d->limits.room_max_bytes)));
}

static inline void decoder_consume(struct decoder *d, struct in_span *in, size_t len)
{
	in->data += len;
	in->len -= len;
	d->source_offset += len;
}

static inline void decoder_emit(struct decoder *d, struct out_span *out, size_t len)
{
	out->data += len;
	out->room -= len;
	d->image_offset += len;
}

static inline uint32_t load_le16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t load_le24(const uint8_t *p)
{
	return load_le16(p) | (uint32_t)p[2] << 16;
}

static inline uint32_t load_le32(const uint8_t *p)
{
	return load_le24(p) | (uint32_t)p[3] << 24;
}

static inline uint32_t load_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return load_be16(p) << 16 | load_be16(p + 2);
}

static inline uint64_t load_le64(const uint8_t *p)
{
	return load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

#endif

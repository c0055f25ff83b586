/* SPDX-License-Identifier: MIT */
/* zstd_make.h - frames for the tests of the zstd decoder, made with libzstd. */
#ifndef ZSTD_MAKE_H
#define ZSTD_MAKE_H

#include "decode_driver.h"
#include "unit_test.h"

#include <string.h>
#include <zstd.h>

struct frame_options {
	int level;
	int window_log; /* 0: the level's */
	bool no_checksum, no_size;
	size_t block_bytes; /* flush after so many, 0: never */
};

static inline void frame_add(struct test_bytes *to, const uint8_t *data, size_t len,
			     const struct frame_options *options)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	size_t bound = ZSTD_compressBound(len) + 64, step = options->block_bytes ?: len + 1;
	ZSTD_outBuffer out;
	size_t left;

	if (options->block_bytes)
		bound += len / options->block_bytes * 16;
	out = (ZSTD_outBuffer){ test_bytes_room(to, bound), bound, 0 };
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, options->level);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, options->window_log);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, !options->no_checksum);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, !options->no_size);
	if (!options->no_size)
		ZSTD_CCtx_setPledgedSrcSize(ctx, len);
	for (size_t at = 0; at < len && options->block_bytes; at += step) {
		ZSTD_inBuffer in = { data + at, len - at < step ? len - at : step, 0 };

		left = ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_flush);
		assert_int_equal(left, 0);
	}
	do {
		ZSTD_inBuffer in = { data, options->block_bytes ? 0 : len, 0 };

		left = ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_end);
		assert_false(ZSTD_isError(left));
	} while (left);
	to->len += out.pos;
	ZSTD_freeCCtx(ctx);
}

static inline void skippable_add(struct test_bytes *to, unsigned nibble, uint32_t len)
{
	uint8_t head[8] = { (uint8_t)(0x50 + nibble),
			    0x2A,
			    0x4D,
			    0x18,
			    (uint8_t)len,
			    (uint8_t)(len >> 8),
			    (uint8_t)(len >> 16),
			    (uint8_t)(len >> 24) };

	test_bytes_add(to, head, sizeof(head));
	memset(test_bytes_room(to, len), 'S', len);
	to->len += len;
}

#endif

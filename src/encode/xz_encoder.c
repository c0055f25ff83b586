/* SPDX-License-Identifier: MIT */
#include "encode/encoder_internal.h"

#include <lzma.h>

#define PRESET 6

static bool xz_encode(const uint8_t *data, size_t len, const struct encode_sink *sink,
		      struct bmap_error *err)
{
	lzma_stream lzma = LZMA_STREAM_INIT;
	uint8_t piece[ENCODE_PIECE_BYTES];
	lzma_ret status = lzma_easy_encoder(&lzma, PRESET, LZMA_CHECK_CRC64);
	bool good = true;

	if (status != LZMA_OK)
		return bmap_error_memory(err, "xz");
	lzma.next_in = data;
	lzma.avail_in = len;
	while (good && status != LZMA_STREAM_END) {
		lzma.next_out = piece;
		lzma.avail_out = sizeof(piece);
		status = lzma_code(&lzma, LZMA_FINISH);
		if (status != LZMA_OK && status != LZMA_STREAM_END)
			good = bmap_error_memory(err, "xz");
		else
			good = sink->write(sink->user, piece, sizeof(piece) - lzma.avail_out, err);
	}
	lzma_end(&lzma);
	return good;
}

const struct encoder_ops xz_encoder = { .name = "xz", .suffix = ".xz", .encode = xz_encode };

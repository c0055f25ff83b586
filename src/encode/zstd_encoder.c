/* SPDX-License-Identifier: MIT */
#include "encode/encoder_internal.h"

#include <zstd.h>

#define LEVEL 9

static bool zstd_encode(const uint8_t *data, size_t len, const struct encode_sink *sink,
			struct bmap_error *err)
{
	uint8_t piece[ENCODE_PIECE_BYTES];
	ZSTD_inBuffer in = { data, len, 0 };
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	size_t left = 1;
	bool good = true;

	/* With the size pledged, the frame's header says it, and the window is no larger. */
	if (!ctx || ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1)) ||
	    ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(ctx, len))) {
		ZSTD_freeCCtx(ctx);
		return bmap_error_memory(err, "zstd");
	}
	while (good && left) {
		ZSTD_outBuffer out = { piece, sizeof(piece), 0 };

		left = ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_end);
		if (ZSTD_isError(left))
			good = bmap_error_set(err, BMAP_ERR_MEMORY, "zstd: %s",
					      ZSTD_getErrorName(left));
		else
			good = sink->write(sink->user, piece, out.pos, err);
	}
	ZSTD_freeCCtx(ctx);
	return good;
}

const struct encoder_ops zstd_encoder = { .name = "zstd", .suffix = ".zst", .encode = zstd_encode };

/* SPDX-License-Identifier: MIT */
#include "encode/encoder_internal.h"

#include "base/checked.h"

#include <limits.h>
#include <zlib.h>

#define WINDOW_BITS (15 + 16) /* zlib.h, deflateInit2(): 16 makes it a gzip member */

static bool gzip_encode(const uint8_t *data, size_t len, const struct encode_sink *sink,
			struct bmap_error *err)
{
	z_stream z = { .next_in = (z_const Bytef *)data };
	uint8_t piece[ENCODE_PIECE_BYTES];
	bool good = true;
	int status = Z_OK;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return bmap_error_memory(err, "gzip");
	while (good && status != Z_STREAM_END) {
		if (!z.avail_in) { /* its counter has 32 bits */
			z.avail_in = (uInt)min_u64(len, INT_MAX);
			len -= z.avail_in;
		}
		z.next_out = piece;
		z.avail_out = sizeof(piece);
		status = deflate(&z, len ? Z_NO_FLUSH : Z_FINISH);
		good = sink->write(sink->user, piece, sizeof(piece) - z.avail_out, err);
	}
	deflateEnd(&z);
	return good;
}

const struct encoder_ops gzip_encoder = { .name = "gzip", .suffix = ".gz", .encode = gzip_encode };

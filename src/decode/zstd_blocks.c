/* SPDX-License-Identifier: MIT */
/* A frame block by block with the library's buffer-less calls. They keep no window: matches are
 * read where earlier blocks were put out, before out->data or, after the jump at the ring's end,
 * where the last lap's bytes stayed. What they do not check is checked before: the window against
 * the limits (frame_begin), and the room, exactly the block maximum, of which the library uses all
 * as scratch. A hostile offset beyond the window reads old bytes of the ring, never others: the
 * library bounds it by what the frame has put out in all, less than one lap back. */
#include "decode/zstd_internal.h"

bool zstd_blocks_begin(struct zstd_decoder *z, struct in_span *in, struct bmap_error *err)
{
	size_t code = ZSTD_decompressBegin(z->ctx);

	while (!ZSTD_isError(code) && ZSTD_nextInputType(z->ctx) == ZSTDnit_frameHeader) {
		size_t len = ZSTD_nextSrcSizeToDecompress(z->ctx);

		/* in holds the whole header: zstd_header_parse() said so. */
		code = len <= in->len ? ZSTD_decompressContinue(z->ctx, NULL, 0, in->data, len)
				      : (size_t)-ZSTD_error_srcSize_wrong;
		if (!ZSTD_isError(code))
			decoder_consume(&z->base, in, len);
	}
	if (ZSTD_isError(code))
		zstd_broken(z, z->base.source_offset, code, err);
	return !ZSTD_isError(code);
}

enum decode_status zstd_blocks_step(struct zstd_decoder *z, struct in_span *in,
				    struct out_span *out, struct bmap_error *err)
{
	size_t block_max = z->frame.block_max_bytes, len, got;

	while ((len = ZSTD_nextSrcSizeToDecompress(z->ctx)) != 0) {
		ZSTD_nextInputType_e type = ZSTD_nextInputType(z->ctx);
		bool block = type == ZSTDnit_block || type == ZSTDnit_lastBlock;

		if (in->len < len)
			return decoder_want_input(&z->base, in, len, err);
		if (block && out->room < block_max)
			return DECODE_ROOM;
		/* Headers get no room: an address would count as a jump of the history. */
		got = ZSTD_decompressContinue(z->ctx, block ? out->data : NULL,
					      block ? block_max : 0, in->data, len);
		if (ZSTD_isError(got))
			return zstd_broken(z, z->base.source_offset, got, err);
		decoder_consume(&z->base, in, len);
		if (block && !zstd_publish(z, out, got, err))
			return DECODE_FAILED;
	}
	return DECODE_UNIT_END;
}

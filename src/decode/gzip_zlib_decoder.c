/* SPDX-License-Identifier: MIT */
/* gzip by zlib: everywhere, and slow. */
#include "decode/gzip_internal.h"

#include <stdlib.h>
#include <zlib.h>

static void *zlib_open(void)
{
	z_stream *z = calloc(1, sizeof(*z));

	/* Negative: a bare deflate stream, the member around it is ours. */
	if (z && inflateInit2(z, -MAX_WBITS) != Z_OK) {
		free(z);
		return NULL;
	}
	return z;
}

static void zlib_close(void *state)
{
	if (state)
		inflateEnd(state);
	free(state);
}

static void zlib_reset(void *state)
{
	inflateReset(state);
}

static enum inflate_status zlib_run(void *state, struct in_span *in, struct out_span *out,
				    const char **reason)
{
	z_stream *z = state;
	uInt in_len = (uInt)min_u64(in->len, UINT32_MAX);
	uInt room = (uInt)min_u64(out->room, UINT32_MAX);
	int code;

	z->next_in = (z_const Bytef *)in->data;
	z->avail_in = in_len;
	z->next_out = out->data;
	z->avail_out = room;
	code = inflate(z, Z_NO_FLUSH);
	in->data += in_len - z->avail_in;
	in->len -= in_len - z->avail_in;
	out->data += room - z->avail_out;
	out->room -= room - z->avail_out;
	switch (code) {
	case Z_STREAM_END:
		return INFLATE_DONE;
	case Z_OK:
	case Z_BUF_ERROR: /* nothing could be done: no input, or no room */
		return z->avail_out == 0 ? INFLATE_ROOM : INFLATE_INPUT;
	}
	*reason = z->msg ? z->msg : "zlib cannot inflate it";
	return INFLATE_BROKEN;
}

static size_t zlib_surplus(void *state, uint8_t bytes[GZIP_TRAILER_BYTES])
{
	(void)state, (void)bytes;
	return 0; /* zlib gives back what it does not need */
}

static uint32_t zlib_crc32(uint32_t crc, const uint8_t *data, size_t len)
{
	return (uint32_t)crc32_z(crc, data, len);
}

const struct inflate_ops zlib_inflate_ops = {
	.open = zlib_open,
	.close = zlib_close,
	.reset = zlib_reset,
	.run = zlib_run,
	.surplus = zlib_surplus,
	.crc32 = zlib_crc32,
};

static struct decoder *gzip_zlib_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	return gzip_open(&gzip_zlib_decoder, &zlib_inflate_ops, limits, err);
}

const struct decoder_ops gzip_zlib_decoder = {
	.name = "gzip",
	.suffixes = gzip_suffixes,
	.probe = gzip_probe,
	.plan = gzip_plan,
	.open = gzip_zlib_open,
	.step = gzip_step,
	.cut = gzip_cut,
	.unit = gzip_unit,
	.close = gzip_close,
};

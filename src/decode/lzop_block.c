/* SPDX-License-Identifier: MIT */
#include "decode/lzop_internal.h"

#include <lzo/lzo1x.h>
#include <string.h>
#include <zlib.h>

/* Block headers have the checksums in this order. */
static const struct checksum {
	uint32_t flag;
	bool crc, of_image;
	const char *wrong;
} checksums[] = {
	{ LZOP_ADLER32_D, false, true, "the Adler-32 of the block's content does not match" },
	{ LZOP_CRC32_D, true, true, "the CRC-32 of the block's content does not match" },
	{ LZOP_ADLER32_C, false, false, "the Adler-32 of the compressed block does not match" },
	{ LZOP_CRC32_C, true, false, "the CRC-32 of the compressed block does not match" },
};

/* Those of the image bytes, or those of the compressed ones. */
static const char *verify(const struct lzop_block *block, const uint8_t *header, bool of_image,
			  const uint8_t *data, size_t len)
{
	const uint8_t *p = header + 8;

	for (size_t i = 0; i < ARRAY_LEN(checksums); i++) {
		const struct checksum *c = &checksums[i];

		if (!(block->flags & c->flag))
			continue;
		if (c->of_image == of_image &&
		    load_be32(p) != (c->crc ? crc32_z(0, data, len) : adler32_z(1, data, len)))
			return c->wrong;
		p += 4;
	}
	return NULL;
}

const char *lzop_block_decode(const struct lzop_block *block, const uint8_t *at, uint8_t *out)
{
	const uint8_t *data = at + block->header_bytes;
	const char *wrong = verify(block, at, false, data, block->data_bytes);
	lzo_uint got = block->image_bytes;

	if (wrong)
		return wrong;
	if (block->data_bytes == block->image_bytes)
		memcpy(out, data, block->data_bytes);
	else if (lzo1x_decompress_safe(data, block->data_bytes, out, &got, NULL) != LZO_E_OK)
		return "the compressed data of the block is malformed";
	if (got != block->image_bytes)
		return "the block holds fewer bytes than it declares";
	return verify(block, at, true, out, got);
}

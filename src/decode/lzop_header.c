/* SPDX-License-Identifier: MIT */
#include "decode/lzop_internal.h"

#include <string.h>
#include <zlib.h>

#define MAGIC_BYTES 9u
#define SPLIT_MARK 0xFFFFFFFFu

#define FLAG_EXTRA 0x0040u
#define FLAG_MULTIPART 0x0400u
#define FLAG_FILTER 0x0800u
#define FLAG_HEADER_CRC32 0x1000u

#define VERSION_LEAST 0x0900u
#define VERSION_LONG 0x0940u /* from here on with the fields in between */
#define VERSION_KNOWN 0x1040u

static const uint8_t MAGIC[MAGIC_BYTES] = { 0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1A, '\n' };

/* A place in the header, while there are bytes. */
struct cursor {
	const uint8_t *data;
	size_t len, pos;
};

/* NULL: not all of them are there; pos then says how many would be needed. */
static const uint8_t *take(struct cursor *c, size_t len)
{
	c->pos += len;
	return c->pos <= c->len ? c->data + c->pos - len : NULL;
}

static const char *refusal(uint32_t version, uint32_t needed, uint8_t method, uint32_t flags)
{
	if (version < VERSION_LEAST)
		return "made by a version of lzop before 0.9, which is not supported";
	if (needed > VERSION_KNOWN)
		return "it needs a newer version of lzop than 1.04";
	if (method < 1 || method > 3) /* LZO1X-1, LZO1X-1-15, LZO1X-999 */
		return "a compression method other than LZO1X";
	if (flags & FLAG_MULTIPART)
		return "archives in several parts are not supported";
	if (flags & FLAG_FILTER)
		return "filters are not supported";
	return NULL;
}

enum lzop_status lzop_header_parse(const uint8_t *data, size_t len, struct lzop_header *header,
				   size_t *need_bytes, const char **reason)
{
	struct cursor c = { data, len, MAGIC_BYTES };
	uint32_t version, needed = 0, checksum;
	const uint8_t *p;
	uint8_t method;

	if (memcmp(data, MAGIC, min_u64(len, MAGIC_BYTES)) != 0)
		return LZOP_GARBAGE;
	p = take(&c, 4); /* version, the library's */
	if (!p)
		goto more;
	version = load_be16(p);
	/* What is needed and the level are not there in old ones, nor is the high half of the
	 * time. */
	p = take(&c, version >= VERSION_LONG ? 4 : 1);
	if (!p)
		goto more;
	if (version >= VERSION_LONG) {
		needed = load_be16(p);
		method = p[2];
	} else {
		method = p[0];
	}
	p = take(&c, 4);
	if (!p)
		goto more;
	header->flags = load_be32(p);
	*reason = refusal(version, needed, method, header->flags);
	if (*reason)
		return LZOP_REFUSED;
	take(&c, version >= VERSION_LONG ? 12 : 8); /* mode, times */
	p = take(&c, 1);
	if (!p)
		goto more;
	take(&c, *p); /* the name */
	p = take(&c, 4);
	if (!p)
		goto more;
	header->crc = header->flags & FLAG_HEADER_CRC32;
	header->extra = header->flags & FLAG_EXTRA;
	header->header_bytes = c.pos;
	data += MAGIC_BYTES;
	len = c.pos - 4 - MAGIC_BYTES;
	checksum = (uint32_t)(header->crc ? crc32_z(0, data, len) : adler32_z(1, data, len));
	if (checksum == load_be32(p))
		return LZOP_OK;
	*reason = "the checksum of the header does not match";
	return LZOP_REFUSED;
more:
	*need_bytes = c.pos;
	return LZOP_MORE;
}

enum lzop_status lzop_block_parse(const uint8_t *data, size_t len, uint32_t flags,
				  struct lzop_block *block, size_t *need_bytes, const char **reason)
{
	struct cursor c = { data, len, 0 };
	const uint8_t *p = take(&c, 4);

	*need_bytes = c.pos;
	if (!p)
		return LZOP_MORE;
	block->image_bytes = load_be32(p);
	if (block->image_bytes == 0)
		return LZOP_END;
	*reason = "archives in several parts are not supported";
	if (block->image_bytes == SPLIT_MARK)
		return LZOP_REFUSED;
	*reason = "a block of more than 64 MiB";
	if (block->image_bytes > LZOP_BLOCK_MAX_BYTES)
		return LZOP_REFUSED;
	p = take(&c, 4);
	*need_bytes = c.pos;
	if (!p)
		return LZOP_MORE;
	block->data_bytes = load_be32(p);
	*reason = "a block that is larger compressed than not";
	if (block->data_bytes > block->image_bytes)
		return LZOP_REFUSED;
	*reason = "a block without data";
	if (block->data_bytes == 0)
		return LZOP_REFUSED;
	block->flags = flags & LZOP_CHECKSUMS;
	if (block->data_bytes == block->image_bytes) /* the same bytes, so only once */
		block->flags &= ~(LZOP_ADLER32_C | LZOP_CRC32_C);
	take(&c, 4 * (size_t)__builtin_popcount(block->flags));
	block->header_bytes = c.pos;
	*need_bytes = c.pos;
	return c.pos <= len ? LZOP_OK : LZOP_MORE;
}

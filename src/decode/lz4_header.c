/* SPDX-License-Identifier: MIT */
#include "decode/lz4_internal.h"

#include <lz4.h>

#define LEGACY_BLOCK_BYTES (8u * MIB)
#define SKIPPABLE_HEADER_BYTES 8u
#define MAGIC_BYTES 4u
#define LEAST_HEADER_BYTES 7u /* magic, FLG, BD, HC */

#define FLG_VERSION 0xC0u
#define FLG_VERSION_1 0x40u
#define FLG_INDEPENDENT 0x20u
#define FLG_BLOCK_CHECKSUMS 0x10u
#define FLG_CONTENT_SIZE 0x08u
#define FLG_CONTENT_CHECKSUM 0x04u
#define FLG_RESERVED 0x02u
#define FLG_DICTIONARY 0x01u
#define BD_RESERVED 0x8Fu
#define STORED_BIT 0x80000000u

static bool is_magic(uint32_t magic)
{
	return magic == LZ4_FRAME_MAGIC || magic == LZ4_LEGACY_MAGIC ||
	       (magic & ~0xFu) == LZ4_SKIPPABLE_MAGIC;
}

static enum lz4_header_status refuse(const char **reason, const char *why)
{
	*reason = why;
	return LZ4_HEADER_REFUSED;
}

static enum lz4_header_status frame_parse(const uint8_t *data, size_t len,
					  struct lz4_header *header, size_t *need_bytes,
					  const char **reason)
{
	uint8_t flg, bd;
	size_t all = LEAST_HEADER_BYTES;

	*need_bytes = all;
	if (len < all)
		return LZ4_HEADER_MORE;
	flg = data[4];
	bd = data[5];
	if ((flg & FLG_VERSION) != FLG_VERSION_1)
		return refuse(reason, "a version of the frame format that is not known");
	if ((flg & FLG_RESERVED) || (bd & BD_RESERVED))
		return refuse(reason, "reserved bits of the frame header are set");
	if (bd >> 4 < 4)
		return refuse(reason, "a block maximum that the format does not know");
	if (flg & FLG_DICTIONARY)
		return refuse(reason, "the frame needs a dictionary");
	all += flg & FLG_CONTENT_SIZE ? 8 : 0;
	*need_bytes = all;
	if (len < all)
		return LZ4_HEADER_MORE;
	if (data[all - 1] != (uint8_t)(XXH32(data + MAGIC_BYTES, all - MAGIC_BYTES - 1, 0) >> 8))
		return refuse(reason, "the checksum of the frame header does not match");
	*header = (struct lz4_header){
		.header_bytes = all,
		.linked = !(flg & FLG_INDEPENDENT),
		.block_checksums = flg & FLG_BLOCK_CHECKSUMS,
		.content_checksum = flg & FLG_CONTENT_CHECKSUM,
		.content_bytes = flg & FLG_CONTENT_SIZE ? load_le64(data + 6) : LZ4_SIZE_UNKNOWN,
		.block_max_bytes = 1u << (2 * (bd >> 4) + 8), /* 4: 64 KiB ... 7: 4 MiB */
	};
	header->stored_max_bytes = header->block_max_bytes;
	return LZ4_HEADER_OK;
}

enum lz4_header_status lz4_header_parse(const uint8_t *data, size_t len, struct lz4_header *header,
					size_t *need_bytes, const char **reason)
{
	uint32_t magic;

	*need_bytes = MAGIC_BYTES;
	if (len < MAGIC_BYTES) {
		/* What cannot become a magic is garbage, not cut short. */
		if (len && data[0] != 0x04 && data[0] != 0x02 && data[0] >> 4 != 0x5)
			return LZ4_HEADER_GARBAGE;
		return LZ4_HEADER_MORE;
	}
	magic = load_le32(data);
	if (!is_magic(magic))
		return LZ4_HEADER_GARBAGE;
	if (magic == LZ4_FRAME_MAGIC)
		return frame_parse(data, len, header, need_bytes, reason);
	if (magic == LZ4_LEGACY_MAGIC) {
		*header = (struct lz4_header){
			.header_bytes = MAGIC_BYTES,
			.legacy = true,
			.content_bytes = LZ4_SIZE_UNKNOWN,
			.block_max_bytes = LEGACY_BLOCK_BYTES,
			.stored_max_bytes = LZ4_COMPRESSBOUND(LEGACY_BLOCK_BYTES),
		};
		return LZ4_HEADER_OK;
	}
	*need_bytes = SKIPPABLE_HEADER_BYTES;
	if (len < SKIPPABLE_HEADER_BYTES)
		return LZ4_HEADER_MORE;
	*header = (struct lz4_header){
		.skippable = true,
		.skip_bytes = load_le32(data + MAGIC_BYTES),
		.header_bytes = SKIPPABLE_HEADER_BYTES,
	};
	return LZ4_HEADER_OK;
}

enum lz4_size lz4_size_parse(const struct lz4_header *frame, uint32_t size, struct lz4_block *block)
{
	if (frame->legacy ? is_magic(size) : size == 0)
		return LZ4_SIZE_END;
	*block = (struct lz4_block){ .data_bytes = size, .checksum = frame->block_checksums };
	if (!frame->legacy) {
		block->data_bytes = size & ~STORED_BIT;
		block->stored = size & STORED_BIT;
	}
	return block->data_bytes <= frame->stored_max_bytes ? LZ4_SIZE_BLOCK : LZ4_SIZE_BAD;
}

/* SPDX-License-Identifier: MIT */
/* decode/lzop_internal.h - the lzop decoder's parts (the format is what lzop 1.04 reads):
 *   lzop_header.c   file headers and block headers; trusts nothing
 *   lzop_block.c    one block: checksums, stored or compressed
 *   lzop_decoder.c  step(): the blocks one after another; cut() and unit(): in parallel */
#ifndef DECODE_LZOP_INTERNAL_H
#define DECODE_LZOP_INTERNAL_H

#include "decode/decoder_internal.h"

#define LZOP_BLOCK_HEADER_MAX_BYTES 24u /* two sizes, four checksums */
#define LZOP_END_BYTES 4u /* a size of 0 ends a file */
/* lzop writes blocks of 256 KiB, and refuses what is larger than this. */
#define LZOP_BLOCK_MAX_BYTES (64u * MIB)

/* Header flags that say which checksums are there: of image bytes (D) and compressed ones (C). */
#define LZOP_ADLER32_D 0x0001u
#define LZOP_ADLER32_C 0x0002u
#define LZOP_CRC32_D 0x0100u
#define LZOP_CRC32_C 0x0200u
#define LZOP_CHECKSUMS (LZOP_ADLER32_D | LZOP_ADLER32_C | LZOP_CRC32_D | LZOP_CRC32_C)

struct lzop_header {
	size_t header_bytes; /* with magic and checksum; an extra field is behind them */
	uint32_t flags;
	bool extra; /* a field of any length follows, then 4 bytes of checksum */
	bool crc; /* header and extra field have a CRC-32 instead of an Adler-32 */
};

enum lzop_status {
	LZOP_OK,
	LZOP_MORE, /* need_bytes says how many, from its first byte */
	LZOP_END, /* of a file, at a block header */
	LZOP_GARBAGE, /* no header begins here */
	LZOP_REFUSED, /* reason says why */
};

enum lzop_status lzop_header_parse(const uint8_t *data, size_t len, struct lzop_header *header,
				   size_t *need_bytes, const char **reason);

struct lzop_block {
	size_t header_bytes;
	size_t image_bytes, data_bytes; /* equal: stored */
	uint32_t flags; /* the checksums it has */
};

/* flags: the file header's. */
enum lzop_status lzop_block_parse(const uint8_t *data, size_t len, uint32_t flags,
				  struct lzop_block *block, size_t *need_bytes,
				  const char **reason);
/* All of the block is at `at`, its header first; writes exactly block->image_bytes to out. NULL:
 * done; else what is wrong. */
const char *lzop_block_decode(const struct lzop_block *block, const uint8_t *at, uint8_t *out);

#endif

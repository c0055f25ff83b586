/* SPDX-License-Identifier: MIT */
#include "bzip2_pack.h"

#include <bzlib.h>
#include <stdlib.h>
#include <string.h>

size_t bzip2_pack(uint8_t *out, size_t room, const uint8_t *data, size_t len, int level)
{
	unsigned out_len = (unsigned)room;

	/* Only too little room can make it fail. */
	if (BZ2_bzBuffToBuffCompress((char *)out, &out_len, (char *)data, (unsigned)len, level, 0,
				     0) != BZ_OK)
		abort();
	return out_len;
}

/* --- forging: Huffman codes of eight bits each, so that a byte is a symbol and any bytes can stand
 * in the block; symbols 0 and 1 are runs, 255 is the block's end --- */

struct bits {
	uint8_t *out;
	size_t count;
};

static void put(struct bits *b, uint64_t value, unsigned n)
{
	for (; n; n--, b->count++) {
		uint8_t bit = (uint8_t)(value >> (n - 1) & 1);

		if (b->count % 8 == 0)
			b->out[b->count / 8] = 0;
		b->out[b->count / 8] |= (uint8_t)(bit << (7 - b->count % 8));
	}
}

static uint32_t block_crc(const uint8_t *data, size_t len)
{
	uint32_t crc = 0xFFFFFFFF;

	for (size_t i = 0; i < len; i++) {
		crc ^= (uint32_t)data[i] << 24;
		for (int k = 0; k < 8; k++)
			crc = crc << 1 ^ (crc >> 31 ? 0x04C11DB7 : 0);
	}
	return ~crc;
}

#define FORGED_SYMBOLS 6000u

/* Returns where its CRC stands, in bits. */
static size_t put_block(struct bits *b, unsigned false_magics, unsigned seed)
{
	static const uint64_t magics[] = { 0x314159265359, 0x177245385090 };
	unsigned selectors = (FORGED_SYMBOLS + 49) / 50;
	size_t crc_at;

	put(b, magics[0], 48);
	crc_at = b->count;
	put(b, 0, 32);
	put(b, 0, 1);
	put(b, seed % 1000, 24);
	put(b, 0xFFFF, 16);
	for (int i = 0; i < 15; i++)
		put(b, 0xFFFF, 16);
	put(b, 0xFFFC, 16); /* 254 bytes in use: 256 symbols */
	put(b, 2, 3);
	put(b, selectors, 15);
	for (unsigned i = 0; i < selectors; i++)
		put(b, 0, 1);
	for (int table = 0; table < 2; table++) {
		put(b, 8, 5);
		for (int i = 0; i < 256; i++)
			put(b, 0, 1);
	}
	for (unsigned i = 0; i < FORGED_SYMBOLS - 1; i++) {
		unsigned every = (FORGED_SYMBOLS - 10) / (false_magics + 1);

		if (false_magics && i % every == every - 7 && i / every < false_magics) {
			put(b, magics[i / every % 2], 48);
			i += 5;
		} else {
			put(b, 2 + (unsigned)rand_r(&seed) % 250, 8);
		}
	}
	put(b, 255, 8);
	return crc_at;
}

/* What the stream so far decodes to, whatever its checksums say. */
static size_t decode_unchecked(uint8_t *stream, size_t len, uint8_t *image, size_t room)
{
	bz_stream z = { .next_in = (char *)stream,
			.avail_in = (unsigned)len,
			.next_out = (char *)image,
			.avail_out = (unsigned)room };

	if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
		abort();
	while (BZ2_bzDecompress(&z) == BZ_OK && z.avail_in)
		;
	BZ2_bzDecompressEnd(&z);
	return room - z.avail_out;
}

size_t bzip2_forge(uint8_t *out, size_t room, unsigned false_magics, uint8_t *image,
		   size_t image_room, size_t *image_len)
{
	struct bits b = { .out = out }, patch;
	uint32_t combined = 0;

	*image_len = 0;
	put(&b, 0x425A6839, 32); /* "BZh9" */
	for (unsigned block = 0; block < 2; block++) {
		size_t crc_at = put_block(&b, false_magics, 7 + block), behind = b.count, len;
		uint32_t crc;

		/* An end, so that libbz2 comes to put all of the block out. */
		put(&b, 0x177245385090, 48);
		put(&b, 0, 40);
		len = decode_unchecked(out, b.count / 8, image, image_room);
		crc = block_crc(image + *image_len, len - *image_len);
		*image_len = len;
		combined = (combined << 1 | combined >> 31) ^ crc;
		patch = (struct bits){ .out = out, .count = crc_at };
		for (int i = 31; i >= 0; i--, patch.count++)
			out[patch.count / 8] =
				(uint8_t)((out[patch.count / 8] & ~(1u << (7 - patch.count % 8))) |
					  (crc >> i & 1) << (7 - patch.count % 8));
		b.count = behind;
		if (b.count % 8) /* put() clears only whole new bytes */
			out[b.count / 8] &= (uint8_t)(0xFF << (8 - b.count % 8));
	}
	put(&b, 0x177245385090, 48);
	put(&b, combined, 32);
	while (b.count % 8)
		put(&b, 0, 1);
	if (b.count / 8 > room)
		abort();
	return b.count / 8;
}

/* SPDX-License-Identifier: MIT */
#include "decode/bzip2_internal.h"

#include <string.h>

#define BLOCK_MAGIC 0x314159265359ull
#define END_MAGIC 0x177245385090ull
#define MAGIC_MASK ((1ull << BZIP2_MAGIC_BITS) - 1)

uint32_t bzip2_bits(const uint8_t *data, uint64_t bit, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < (bit % 8 + n + 7) / 8; i++)
		bytes = bytes << 8 | data[bit / 8 + i];
	bytes >>= (8 - (bit % 8 + n) % 8) % 8;
	return (uint32_t)(bytes & ((1ull << n) - 1));
}

bool bzip2_stream_begins(const uint8_t *head, size_t len)
{
	static const uint8_t magic[] = { 'B', 'Z', 'h' };

	if (memcmp(head, magic, min_u64(len, sizeof(magic))) != 0)
		return false;
	return len < BZIP2_STREAM_MAGIC_BYTES || (head[3] >= '1' && head[3] <= '9');
}

/* Whether the byte at the middle of either magic, shifted by any number of bits, can be this one:
 * most bytes cannot, so that few places are looked at in full. */
static void make_filter(uint8_t filter[256])
{
	static const uint64_t magics[] = { BLOCK_MAGIC, END_MAGIC };

	memset(filter, 0, 256);
	for (size_t m = 0; m < ARRAY_LEN(magics); m++)
		for (unsigned shift = 0; shift < 8; shift++) /* behind the magic in the window */
			filter[(magics[m] >> (16 - shift)) & 0xFF] |= (uint8_t)(1u << shift);
}

static bool add_mark(struct bzip2_scan *scan, uint64_t bit, uint64_t magic)
{
	if (bit < scan->next_bit)
		return true;
	if (scan->count == BZIP2_MARKS)
		return false;
	scan->marks[scan->count++] =
		(struct bzip2_mark){ .bit = bit,
				     .kind = magic == BLOCK_MAGIC ? BZIP2_BLOCK : BZIP2_END };
	scan->next_bit = bit + 1;
	return true;
}

/* Byte i is the third from the end of a window of eight bytes; a magic that ends `shift` bits
 * before the window's end lies in it whole for shift 0 to 7, and has `filter`'s byte there. */
void bzip2_scan(struct bzip2_scan *scan, const uint8_t *data, size_t len, uint64_t base_bit)
{
	uint8_t filter[256];
	size_t first;

	make_filter(filter);
	/* The first window whose magics may begin at next_bit or later. */
	first = scan->next_bit > base_bit ? (size_t)((scan->next_bit - base_bit) / 8) : 0;
	for (size_t end = first + 6; end <= len; end++) {
		uint64_t window = 0, base;
		uint8_t shifts;

		/* The window ends before byte `end`: seven bytes, or six at the very start. */
		shifts = end >= 3 ? filter[data[end - 3]] : 0;
		if (!shifts)
			continue;
		for (size_t i = end >= 7 ? end - 7 : end - 6; i < end; i++)
			window = window << 8 | data[i];
		base = base_bit + 8 * (uint64_t)end - BZIP2_MAGIC_BITS;
		/* From the earliest bit on: marks must rise. */
		for (int shift = 7; shift >= 0; shift--) {
			uint64_t magic = window >> shift & MAGIC_MASK;

			if (!(shifts >> shift & 1) || (shift && end < 7))
				continue;
			if ((magic == BLOCK_MAGIC || magic == END_MAGIC) &&
			    !add_mark(scan, base - (unsigned)shift, magic))
				return;
		}
	}
	/* Magics that end behind data begin here at the earliest. */
	if (len >= 6)
		scan->next_bit = max_u64(scan->next_bit,
					 base_bit + 8 * (uint64_t)len - BZIP2_MAGIC_BITS + 1);
}

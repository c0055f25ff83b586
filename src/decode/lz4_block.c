/* SPDX-License-Identifier: MIT */
#include "decode/lz4_internal.h"

#include <lz4.h>
#include <string.h>

#define LENGTH_MORE 15u /* in a token's half: the length goes on in the next bytes */
#define LEAST_MATCH 4u

/* Adds the bytes that continue a length; a hole is kilobytes of 0xFF. NULL: cut short. */
static const uint8_t *length_rest(const uint8_t *p, const uint8_t *end, uint64_t *length)
{
	uint64_t eight;

	for (; end - p >= 8; p += 8) {
		memcpy(&eight, p, 8);
		if (eight != UINT64_MAX)
			break;
		*length += 8 * 255;
	}
	while (p < end) {
		*length += *p;
		if (*p++ != 255)
			return p;
	}
	return NULL;
}

bool lz4_block_length(const uint8_t *data, size_t len, size_t max, size_t *image_len)
{
	const uint8_t *p = data, *end = data + len;
	uint64_t total = 0, length;
	unsigned token;

	/* No sum can overflow: each byte of data adds at most 274 to it. */
	while (p < end) {
		token = *p++;
		length = token >> 4;
		if (length == LENGTH_MORE) {
			p = length_rest(p, end, &length);
			if (!p)
				return false;
		}
		if (length > (size_t)(end - p))
			return false;
		p += length;
		total += length;
		if (p == end) { /* literals alone are the last sequence */
			*image_len = (size_t)total;
			return total <= max;
		}
		if (end - p < 2)
			return false;
		p += 2;
		length = (token & 15) + LEAST_MATCH;
		if ((token & 15) == LENGTH_MORE) {
			p = length_rest(p, end, &length);
			if (!p)
				return false;
		}
		total += length;
	}
	return false;
}

/* One stretch that holds what can be reached back to from out. */
static const uint8_t *history_join(const struct lz4_history *h, const uint8_t *out, size_t *len)
{
	size_t older;

	*len = (size_t)min_u64(h->len, LZ4_HISTORY_BYTES);
	if (*len == LZ4_HISTORY_BYTES || !h->older_len)
		return *len ? h->end - *len : out;
	/* The frame's newest bytes lie on both sides of the ring's end. */
	older = (size_t)min_u64(h->older_len, LZ4_HISTORY_BYTES - *len);
	memcpy(h->joined, h->older_end - older, older);
	memcpy(h->joined + older, h->end - *len, *len);
	*len += older;
	return h->joined;
}

static void history_add(struct lz4_history *h, const uint8_t *out, size_t len, bool zeros)
{
	/* Shorter ones leave older bytes in reach; then the next is not known without decoding. */
	h->zeros = zeros && len >= LZ4_HISTORY_BYTES;
	if (!len)
		return;
	if (out != h->end) {
		h->older_end = h->end;
		h->older_len = h->len;
		h->len = 0;
	}
	h->len = (size_t)min_u64(h->len + len, 2 * LZ4_HISTORY_BYTES);
	h->end = out + len;
}

static bool decompress(const struct lz4_history *history, const struct lz4_block *block,
		       const uint8_t *data, uint8_t *out, size_t room, size_t *image_len)
{
	const uint8_t *before = out;
	size_t before_len = 0;
	int got;

	if (history->joined)
		before = history_join(history, out, &before_len);
	/* All lengths are below 8.1 MiB. */
	got = before_len ? LZ4_decompress_safe_usingDict((const char *)data, (char *)out,
							 (int)block->data_bytes, (int)room,
							 (const char *)before, (int)before_len)
			 : LZ4_decompress_safe((const char *)data, (char *)out,
					       (int)block->data_bytes, (int)room);
	*image_len = got < 0 ? 0 : (size_t)got;
	return got >= 0;
}

const char *lz4_block_decode(struct zero_memo *memo, struct lz4_history *history,
			     const struct lz4_block *block, const uint8_t *data, uint8_t *out,
			     size_t room, size_t *image_len)
{
	const uint8_t *checksum = data + block->data_bytes;
	bool linked = history->joined, zeros = false;

	if (block->checksum && XXH32(data, block->data_bytes, 0) != load_le32(checksum))
		return "the checksum of the block does not match";
	if (block->stored) {
		if (block->data_bytes > room)
			return "the block holds more bytes than it may";
		*image_len = block->data_bytes;
		memcpy(out, data, block->data_bytes);
	} else {
		/* A linked block that is all zeros once is so again where all it can reach is. */
		zeros = (!linked || history->zeros) &&
			zero_memo_knows(memo, data, block->data_bytes, image_len) &&
			*image_len <= room;
		if (zeros) {
			memset(out, 0, *image_len);
		} else {
			if (!decompress(history, block, data, out, room, image_len))
				return "the compressed data of the block is malformed";
			zeros = zero_memo_learn(memo, data, block->data_bytes, out, *image_len);
		}
	}
	if (linked)
		history_add(history, out, *image_len, zeros);
	return NULL;
}

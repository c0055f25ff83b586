/* SPDX-License-Identifier: MIT */
/* lz4_make.h - frames for the tests of the lz4 decoder: blocks by liblz4, the framing by hand, so
 * that every field can be chosen. */
#ifndef LZ4_MAKE_H
#define LZ4_MAKE_H

#include "decode/lz4_internal.h"
#include "decode_feeds.h"

#include <lz4.h>
#include <lz4hc.h>

struct lz4_options {
	unsigned block_id; /* 4: 64 KiB ... 7: 4 MiB; 0: legacy */
	size_t block_bytes; /* fill blocks only so far; 0: to the maximum */
	bool linked, block_checksums, content_checksum, content_size;
	bool stored; /* all blocks, even if they would shrink */
	unsigned store_every; /* each n-th block; 0: what does not shrink */
};

static inline void le32_add(struct test_bytes *to, uint32_t value)
{
	uint8_t bytes[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
			     (uint8_t)(value >> 24) };

	test_bytes_add(to, bytes, sizeof(bytes));
}

static inline void lz4_header_add(struct test_bytes *to, uint8_t flg, uint8_t bd,
				  const uint64_t *content_bytes)
{
	size_t at = to->len + 4;
	uint8_t bytes[2] = { flg, bd };

	le32_add(to, LZ4_FRAME_MAGIC);
	test_bytes_add(to, bytes, sizeof(bytes));
	if (content_bytes) {
		le32_add(to, (uint32_t)*content_bytes);
		le32_add(to, (uint32_t)(*content_bytes >> 32));
	}
	bytes[0] = (uint8_t)(XXH32(to->data + at, to->len - at, 0) >> 8);
	test_bytes_add(to, bytes, 1);
}

static inline uint8_t lz4_flg(const struct lz4_options *o)
{
	return (uint8_t)(0x40 | (o->linked ? 0 : 0x20) | (o->block_checksums ? 0x10 : 0) |
			 (o->content_size ? 8 : 0) | (o->content_checksum ? 4 : 0));
}

static inline void lz4_block_add(struct test_bytes *to, const void *data, uint32_t len, bool stored,
				 bool checksum)
{
	le32_add(to, len | (stored ? 0x80000000u : 0));
	test_bytes_add(to, data, len);
	if (checksum)
		le32_add(to, XXH32(data, len, 0));
}

static inline void lz4_frame_add(struct test_bytes *to, const uint8_t *image, size_t len,
				 const struct lz4_options *o)
{
	size_t max = o->block_id ? (size_t)1 << (2 * o->block_id + 8) : 8 * MIB;
	size_t step = o->block_bytes ? o->block_bytes : max;
	LZ4_stream_t *stream = LZ4_createStream();
	char *room = malloc((size_t)LZ4_compressBound((int)max));
	uint64_t content = len;
	unsigned n = 0;

	assert_true(stream && room);
	if (o->block_id)
		lz4_header_add(to, lz4_flg(o), (uint8_t)(o->block_id << 4),
			       o->content_size ? &content : NULL);
	else
		le32_add(to, LZ4_LEGACY_MAGIC);
	for (size_t at = 0; at < len; at += step) {
		const char *block = (const char *)image + at;
		int size = (int)min_u64(step, len - at), got;
		bool stored = o->stored || (o->store_every && ++n % o->store_every == 0);

		if (!o->linked)
			LZ4_resetStream_fast(stream);
		got = LZ4_compress_fast_continue(stream, block, room, size,
						 LZ4_compressBound((int)max), 1);
		assert_true(got > 0);
		stored = o->block_id && (stored || got >= size);
		lz4_block_add(to, stored ? block : room, (uint32_t)(stored ? size : got), stored,
			      o->block_checksums);
	}
	if (o->block_id)
		le32_add(to, 0);
	if (o->block_id && o->content_checksum)
		le32_add(to, XXH32(image, len, 0));
	LZ4_freeStream(stream);
	free(room);
}

static inline void lz4_skippable_add(struct test_bytes *to, unsigned nibble, uint32_t len)
{
	le32_add(to, LZ4_SKIPPABLE_MAGIC + nibble);
	le32_add(to, len);
	memset(test_bytes_room(to, len), 'S', len);
	to->len += len;
}

#endif

/* SPDX-License-Identifier: MIT */
/* Frame headers, RFC 8878 3.1.1.1 and 3.1.2. */
#include "decode/zstd_internal.h"

#define MAGIC_BYTES 4u
#define SKIPPABLE_HEADER_BYTES 8u
#define SKIPPABLE_MAGIC 0x184D2A50u /* to ..5F */
#define LEGACY_MAGIC_FIRST 0xFD2FB522u /* zstd 0.2; 0.1 has its own */
#define LEGACY_MAGIC_V01 0xFD2FB51Eu
#define WINDOW_LOG_MIN 10u

static bool is_skippable(uint32_t magic)
{
	return (magic & 0xFFFFFFF0u) == SKIPPABLE_MAGIC;
}

static bool is_legacy(uint32_t magic)
{
	return magic == LEGACY_MAGIC_V01 ||
	       (magic >= LEGACY_MAGIC_FIRST && magic < ZSTD_FRAME_MAGIC);
}

/* Fewer bytes than a magic: is one possible? So that garbage of a byte is called so. */
static bool may_be_magic(const uint8_t *data, size_t len)
{
	uint8_t magic[MAGIC_BYTES];

	for (size_t i = 0; i < MAGIC_BYTES; i++) {
		uint32_t like = len && (data[0] & 0xF0) == (SKIPPABLE_MAGIC & 0xF0)
					? SKIPPABLE_MAGIC
					: ZSTD_FRAME_MAGIC;

		magic[i] = i < len ? data[i] : (uint8_t)(like >> 8 * i);
	}
	return is_skippable(load_le32(magic)) || is_legacy(load_le32(magic)) ||
	       load_le32(magic) == ZSTD_FRAME_MAGIC;
}

static uint64_t window_of_descriptor(uint8_t byte)
{
	uint64_t base = 1ull << (WINDOW_LOG_MIN + (byte >> 3));

	return base + base / 8 * (byte & 7);
}

static uint64_t read_content_size(const uint8_t *p, size_t len)
{
	switch (len) {
	case 1:
		return p[0];
	case 2:
		return load_le16(p) + 256u;
	case 4:
		return load_le32(p);
	case 8:
		return load_le64(p);
	}
	return ZSTD_SIZE_UNKNOWN;
}

static enum zstd_header_status more(size_t *need_bytes, size_t need)
{
	*need_bytes = need;
	return ZSTD_HEADER_MORE;
}

static enum zstd_header_status refused(const char **reason, const char *why)
{
	*reason = why;
	return ZSTD_HEADER_REFUSED;
}

static enum zstd_header_status parse_frame(const uint8_t *data, size_t len,
					   struct zstd_header *header, size_t *need_bytes,
					   const char **reason)
{
	static const uint8_t dictionary_id_bytes[] = { 0, 1, 2, 4 };
	static const uint8_t content_size_bytes[] = { 0, 2, 4, 8 };
	uint8_t descriptor = data[MAGIC_BYTES];
	bool single = descriptor & 0x20;
	size_t window_len = single ? 0 : 1;
	size_t dict_len = dictionary_id_bytes[descriptor & 3];
	size_t size_len = content_size_bytes[descriptor >> 6];
	const uint8_t *p = data + MAGIC_BYTES + 1;

	if (single && size_len == 0)
		size_len = 1;
	*header = (struct zstd_header){
		.header_bytes = MAGIC_BYTES + 1 + window_len + dict_len + size_len,
		.checksum = descriptor & 0x04,
	};
	if (descriptor & 0x08)
		return refused(reason, "a reserved bit of the frame header is set");
	if (len < header->header_bytes)
		return more(need_bytes, header->header_bytes);
	for (size_t i = 0; i < dict_len; i++)
		if (p[window_len + i])
			return refused(reason, "the frame needs a dictionary; not supported");
	header->content_bytes = read_content_size(p + window_len + dict_len, size_len);
	header->window_bytes = single ? header->content_bytes : window_of_descriptor(p[0]);
	header->block_max_bytes = (uint32_t)min_u64(header->window_bytes, ZSTD_BLOCK_MAX_BYTES);
	return ZSTD_HEADER_OK;
}

enum zstd_header_status zstd_header_parse(const uint8_t *data, size_t len,
					  struct zstd_header *header, size_t *need_bytes,
					  const char **reason)
{
	uint32_t magic;

	if (len < MAGIC_BYTES)
		return may_be_magic(data, len) ? more(need_bytes, MAGIC_BYTES)
					       : ZSTD_HEADER_GARBAGE;
	magic = load_le32(data);
	if (is_skippable(magic)) {
		if (len < SKIPPABLE_HEADER_BYTES)
			return more(need_bytes, SKIPPABLE_HEADER_BYTES);
		*header = (struct zstd_header){ .skippable = true,
						.header_bytes = SKIPPABLE_HEADER_BYTES,
						.skip_bytes = load_le32(data + MAGIC_BYTES) };
		return ZSTD_HEADER_OK;
	}
	if (is_legacy(magic))
		return refused(reason, "a legacy frame of zstd before 0.8; not supported, "
				       "recompress it with a current zstd");
	if (magic != ZSTD_FRAME_MAGIC)
		return ZSTD_HEADER_GARBAGE;
	if (len < MAGIC_BYTES + 1)
		return more(need_bytes, MAGIC_BYTES + 1);
	return parse_frame(data, len, header, need_bytes, reason);
}

uint64_t zstd_history_bytes(const struct zstd_header *header)
{
	return min_u64(header->window_bytes, header->content_bytes);
}

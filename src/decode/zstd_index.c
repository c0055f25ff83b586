/* SPDX-License-Identifier: MIT */
/* The seek table of the zstd seekable format (a skippable frame at the source's end, written by
 * `bmaptool pack`, t2sz and others): how long each frame is, compressed and not. Nothing protects
 * it, and any zstd ignores it: what does not add up exactly is no table. */
#include "decode/zstd_internal.h"

#include <stdlib.h>

#define TABLE_MAGIC 0x184D2A5Eu
#define FOOTER_MAGIC 0x8F92EAB1u
#define HEADER_BYTES 8u
#define FOOTER_BYTES 9u /* frames (4), descriptor (1), magic (4) */
#define ENTRY_BYTES 8u
#define HAS_CHECKSUMS 0x80u /* 4 bytes more in each entry */
#define RESERVED_BITS 0x7Cu
#define MARK_MAGIC 0x184D2A50u
#define MARK_BYTES 12u

static bool read_entries(const uint8_t *entry, size_t entry_bytes, uint64_t frames_bytes,
			 struct unit_index *index)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < index->count; i++, entry += entry_bytes) {
		index->units[i] = (struct indexed_unit){ .source_bytes = load_le32(entry),
							 .image_bytes = load_le32(entry + 4) };
		if (!index->units[i].source_bytes)
			return false;
		sum += index->units[i].source_bytes;
	}
	return sum == frames_bytes;
}

enum index_status zstd_read_index(const uint8_t *tail, size_t len, uint64_t source_bytes,
				  struct unit_index *index, size_t *need_bytes)
{
	const uint8_t *end = tail + len, *table;
	size_t entry_bytes, total, count;

	*index = (struct unit_index){ 0 };
	if (len < FOOTER_BYTES || load_le32(end - 4) != FOOTER_MAGIC || end[-5] & RESERVED_BITS)
		return INDEX_NONE;
	count = load_le32(end - FOOTER_BYTES);
	entry_bytes = ENTRY_BYTES + (end[-5] & HAS_CHECKSUMS ? 4 : 0);
	if (!count || count > UNIT_INDEX_MAX_UNITS)
		return INDEX_NONE;
	total = HEADER_BYTES + count * entry_bytes + FOOTER_BYTES;
	if (total > source_bytes || total > UNIT_INDEX_MAX_BYTES)
		return INDEX_NONE;
	if (len < total) {
		*need_bytes = total;
		return INDEX_MORE;
	}
	table = end - total;
	if (load_le32(table) != TABLE_MAGIC || load_le32(table + 4) != total - HEADER_BYTES)
		return INDEX_NONE;
	index->units = calloc(count, sizeof(*index->units));
	index->count = index->units ? count : 0;
	if (index->units &&
	    read_entries(table + HEADER_BYTES, entry_bytes, source_bytes - total, index))
		return INDEX_OK;
	free(index->units);
	*index = (struct unit_index){ 0 };
	return INDEX_NONE;
}

/* A skippable frame with the compressed size of the frame behind it. pzstd writes these, too, but
 * its frames do not tell their own size, and so not where in the image the next one begins. */
bool zstd_read_mark(const uint8_t *data, size_t len, struct indexed_unit *unit)
{
	struct zstd_header frame;
	const char *reason;
	uint64_t size;
	size_t need;

	if (len <= MARK_BYTES || load_le32(data) != MARK_MAGIC ||
	    load_le32(data + 4) != MARK_BYTES - HEADER_BYTES)
		return false;
	size = load_le32(data + HEADER_BYTES);
	if (zstd_header_parse(data + MARK_BYTES, len - MARK_BYTES, &frame, &need, &reason) !=
		    ZSTD_HEADER_OK ||
	    frame.skippable || frame.content_bytes == ZSTD_SIZE_UNKNOWN ||
	    size <= frame.header_bytes)
		return false;
	*unit = (struct indexed_unit){ .source_bytes = MARK_BYTES + size,
				       .image_bytes = frame.content_bytes };
	return true;
}

bool zstd_pass_indexed(struct decoder *d, const struct indexed_unit *unit, struct bmap_error *err)
{
	struct zstd_decoder *z = (struct zstd_decoder *)d;

	(void)unit;
	if (z->phase != ZSTD_BETWEEN) {
		decoder_broken(d, d->source_offset, err,
			       "the seek table or a frame's mark does not match the frames");
		return false;
	}
	z->seen_frame = true;
	return true;
}

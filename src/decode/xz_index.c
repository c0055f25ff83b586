/* SPDX-License-Identifier: MIT */
/* The index at the end of an xz file, read in advance to find the blocks that need not be read.
 * Only where one stream is the whole file, so that every byte of it is accounted for; the index is
 * read again when its turn comes, and compared with what was seen (xz_frame.c). */
#include "decode/xz_internal.h"

#include <stdlib.h>

/* liblzma takes 16 bytes for each block. */
#define INDEX_MEMORY_BYTES (16u * MIB)

static bool list_blocks(const lzma_index *list, struct unit_index *index)
{
	lzma_index_iter iter;
	size_t i = 0;

	lzma_index_iter_init(&iter, list);
	for (; i < index->count && !lzma_index_iter_next(&iter, LZMA_INDEX_ITER_BLOCK); i++)
		index->units[i] =
			(struct indexed_unit){ .source_bytes = iter.block.total_size,
					       .image_bytes = iter.block.uncompressed_size,
					       .fact = iter.block.unpadded_size };
	return i == index->count;
}

enum index_status xz_read_index(const uint8_t *tail, size_t len, uint64_t source_bytes,
				struct unit_index *index, size_t *need_bytes)
{
	enum index_status status = INDEX_NONE;
	uint64_t memory = INDEX_MEMORY_BYTES;
	lzma_stream_flags footer;
	lzma_index *list = NULL;
	size_t at, total;

	*index = (struct unit_index){ 0 };
	if (len < LZMA_STREAM_HEADER_SIZE ||
	    lzma_stream_footer_decode(&footer, tail + len - LZMA_STREAM_HEADER_SIZE) != LZMA_OK)
		return INDEX_NONE;
	if (footer.backward_size > UNIT_INDEX_MAX_BYTES - LZMA_STREAM_HEADER_SIZE)
		return INDEX_NONE;
	total = (size_t)footer.backward_size + LZMA_STREAM_HEADER_SIZE;
	if (total > source_bytes)
		return INDEX_NONE;
	if (len < total) {
		*need_bytes = total;
		return INDEX_MORE;
	}
	at = len - total;
	if (lzma_index_buffer_decode(&list, &memory, NULL, tail, &at,
				     len - LZMA_STREAM_HEADER_SIZE) != LZMA_OK)
		return INDEX_NONE;
	index->first_offset = LZMA_STREAM_HEADER_SIZE;
	if (at == len - LZMA_STREAM_HEADER_SIZE && lzma_index_file_size(list) == source_bytes &&
	    lzma_index_block_count(list) && lzma_index_block_count(list) <= UNIT_INDEX_MAX_UNITS) {
		index->count = (size_t)lzma_index_block_count(list);
		index->units = calloc(index->count, sizeof(*index->units));
		if (index->units && list_blocks(list, index))
			status = INDEX_OK;
	}
	lzma_index_end(list, NULL);
	if (status != INDEX_OK) {
		free(index->units);
		*index = (struct unit_index){ 0 };
	}
	return status;
}

bool xz_pass_indexed(struct decoder *d, const struct indexed_unit *unit, struct bmap_error *err)
{
	struct xz_decoder *x = (struct xz_decoder *)d;

	if (x->phase == XZ_BLOCKS &&
	    lzma_index_hash_append(x->hash, unit->fact, unit->image_bytes) == LZMA_OK)
		return true;
	decoder_broken(d, d->source_offset, err, "the index does not match the blocks");
	return false;
}

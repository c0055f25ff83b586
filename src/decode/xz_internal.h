/* SPDX-License-Identifier: MIT */
/* decode/xz_internal.h - the xz decoder: xz_frame.c reads what lies around the blocks (headers,
 * index, footer, padding), xz_decoder.c decodes blocks, xz_index.c reads the index in advance.
 * Source: "The .xz File Format" 1.1.0. */
#ifndef DECODE_XZ_INTERNAL_H
#define DECODE_XZ_INTERNAL_H

#include "decode/decoder_internal.h"
#include "decode/zero_memo.h"

#include <lzma.h>

/* BETWEEN > BLOCKS > (IN_BLOCK > BLOCKS)... > INDEX > FOOTER > BETWEEN */
enum xz_phase {
	XZ_BETWEEN, /* before a stream, in padding, or at the source's end */
	XZ_BLOCKS, /* before a block or the index */
	XZ_IN_BLOCK, /* step() only: a block is being decoded */
	XZ_INDEX,
	XZ_FOOTER,
};

struct xz_decoder {
	struct decoder base;
	enum xz_phase phase;
	lzma_stream lzma; /* of block decoders; reused, with its dictionary */
	lzma_stream_flags flags; /* of the stream */
	/* Collects the sizes of all blocks, decoded or skipped, and compares them with the index.
	 */
	lzma_index_hash *hash;
	bool seen_stream;
	uint64_t padding_bytes; /* since the last stream */
	lzma_block block; /* the one at hand; filters points to the next, without options */
	lzma_filter filters[LZMA_FILTERS_MAX + 1];
	uint64_t dictionary_bytes; /* memory that decoding the block at hand takes */
	struct zero_memo memo; /* a worker's: the last block that was nothing but zeros */
};

enum xz_frame_status {
	XZ_FRAME_PASS, /* *len bytes were understood: pass them and ask again */
	XZ_FRAME_BLOCK, /* a block begins here; its header, *len bytes, is in x->block */
	XZ_FRAME_INPUT, /* needs more, want_input says how much */
	XZ_FRAME_END, /* the source is complete */
	XZ_FRAME_FAILED,
};

/* What lies at in->data, at d->source_offset. Not in XZ_IN_BLOCK. */
enum xz_frame_status xz_frame(struct xz_decoder *x, const struct in_span *in, size_t *len,
			      struct bmap_error *err);
/* Reads the whole block header at data into x->block, and opens x->lzma for it (begin). err may be
 * NULL. */
bool xz_block_header(struct xz_decoder *x, const uint8_t *data, uint64_t source_offset, bool begin,
		     struct bmap_error *err);
/* The block at hand is complete or skipped: its sizes go into the hash. */
bool xz_block_ended(struct xz_decoder *x, struct bmap_error *err);

/* xz_index.c */
enum index_status xz_read_index(const uint8_t *tail, size_t len, uint64_t source_bytes,
				struct unit_index *index, size_t *need_bytes);
bool xz_pass_indexed(struct decoder *d, const struct indexed_unit *unit, struct bmap_error *err);

#endif

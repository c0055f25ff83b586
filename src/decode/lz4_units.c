/* SPDX-License-Identifier: MIT */
/* Independent blocks as units. A block does not say how long it decodes, and any may be shorter
 * than the maximum, so cut() adds up the lengths of its sequences: two or three bytes looked at for
 * each. That is a sixth of what a whole flash costs (11 cycles a sequence, one for 15 image bytes);
 * two blocks walked side by side save a third of it at most, and the input would have to hold both.
 * Blocks go into a unit until another might not fit in lz4_unit_bytes(): one of 4 or 8 MiB,
 * 16 of 64 KiB. What frames them (headers, end marks, skippable frames) is a unit without image
 * bytes, checked while it is cut.
 *
 * Memory for each worker: a unit's image bytes in the ring (at most 8 MiB), its compressed bytes
 * (hardly more), and a compressed block of zeros (at most 128 KiB, zero_memo.h). A block that does
 * not fit in the read-ahead or half the ring is for step(), as are linked blocks, and frames whose
 * content checksum is to be checked: XXH32 is computed in order. */
#include "decode/lz4_internal.h"

/* decode_unit.context */
#define CONTEXT_BLOCKS 1u /* else framing */
#define CONTEXT_CHECKSUMS 2u
#define CONTEXT_LEGACY 4u
#define CONTEXT_MAX_SHIFT 8

static enum cut_status cut_framing(struct lz4_decoder *z, const struct in_span *in, size_t len,
				   struct decode_unit *unit, struct bmap_error *err);
static enum cut_status cut_between(struct lz4_decoder *z, const struct in_span *in,
				   struct decode_unit *unit, struct bmap_error *err);
static enum cut_status cut_blocks(struct lz4_decoder *z, const struct in_span *in,
				  struct decode_unit *unit, struct bmap_error *err);

enum cut_status lz4_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			struct bmap_error *err)
{
	struct lz4_decoder *z = (struct lz4_decoder *)d;
	enum cut_status status;

	d->want_input = 0;
	if (z->walk.start != d->source_offset)
		z->walk = (struct lz4_walk){ .start = d->source_offset };
	if (z->phase == LZ4_BETWEEN)
		return cut_between(z, in, unit, err);
	if (z->phase != LZ4_IN_FRAME || !lz4_frame_cuttable(z, &z->frame))
		return CUT_SERIAL;
	status = cut_blocks(z, in, unit, err);
	if (status == CUT_FAILED)
		d->image_offset += z->walk.image_len;
	return status;
}

bool lz4_frame_cuttable(const struct lz4_decoder *z, const struct lz4_header *frame)
{
	const struct decoder_limits *limits = &z->base.limits;

	return !frame->linked && frame->block_max_bytes <= limits->room_max_bytes &&
	       !(frame->content_checksum && limits->check_content);
}

/* The walk needs len bytes from the unit's start. */
static enum cut_status cut_needs(struct lz4_decoder *z, const struct in_span *in, uint64_t len,
				 struct bmap_error *err)
{
	if (len > z->base.limits.input_max_bytes)
		return CUT_SERIAL;
	if (in->ended) {
		decoder_truncated(&z->base, z->base.source_offset + in->len, err);
		return CUT_FAILED;
	}
	z->base.want_input = (size_t)len;
	return CUT_INPUT;
}

/* len bytes at the input's start that give no image bytes. */
static enum cut_status cut_framing(struct lz4_decoder *z, const struct in_span *in, size_t len,
				   struct decode_unit *unit, struct bmap_error *err)
{
	if (in->len < len)
		return cut_needs(z, in, len, err);
	*unit = (struct decode_unit){ .source_len_bytes = len };
	return CUT_UNIT;
}

static enum cut_status cut_between(struct lz4_decoder *z, const struct in_span *in,
				   struct decode_unit *unit, struct bmap_error *err)
{
	enum lz4_header_status status;
	struct lz4_header header;
	const char *reason = NULL;
	size_t need = 0;

	if (in->len == 0 && in->ended) /* before the first frame, step() says that there is none */
		return z->seen_frame ? CUT_END : CUT_SERIAL;
	status = lz4_header_parse(in->data, in->len, &header, &need, &reason);
	if (status == LZ4_HEADER_MORE)
		return cut_needs(z, in, need, err);
	if (status != LZ4_HEADER_OK) {
		lz4_header_failed(z, status, reason, err);
		return CUT_FAILED;
	}
	if (header.skippable) {
		uint64_t len = header.header_bytes + header.skip_bytes;

		return len > z->base.limits.input_max_bytes
			       ? CUT_SERIAL
			       : cut_framing(z, in, (size_t)len, unit, err);
	}
	if (!lz4_frame_cuttable(z, &header))
		return CUT_SERIAL;
	lz4_frame_begin(z, &header);
	return cut_framing(z, in, header.header_bytes, unit, err);
}

static enum cut_status cut_taken(struct lz4_decoder *z, struct decode_unit *unit,
				 struct bmap_error *err)
{
	struct lz4_walk *walk = &z->walk;
	const struct lz4_header *frame = &z->frame;

	*unit = (struct decode_unit){
		.source_len_bytes = walk->pos,
		.image_len_bytes = walk->image_len,
		.context = CONTEXT_BLOCKS | (frame->block_checksums ? CONTEXT_CHECKSUMS : 0) |
			   (frame->legacy ? CONTEXT_LEGACY : 0) |
			   (uint64_t)frame->block_max_bytes << CONTEXT_MAX_SHIFT,
	};
	*walk = (struct lz4_walk){ .start = UINT64_MAX };
	return lz4_frame_count(z, unit->image_len_bytes, err) ? CUT_UNIT : CUT_FAILED;
}

/* At a size that is no block's. */
static enum cut_status cut_frame_end(struct lz4_decoder *z, const struct in_span *in,
				     struct decode_unit *unit, struct bmap_error *err)
{
	size_t len = LZ4_SIZE_BYTES + (z->frame.content_checksum ? LZ4_CHECKSUM_BYTES : 0);

	if (!z->frame.legacy && in->len < len)
		return cut_needs(z, in, len, err);
	if (!lz4_frame_end(z, err))
		return CUT_FAILED;
	z->phase = LZ4_BETWEEN;
	if (z->frame.legacy)
		return cut_between(z, in, unit, err);
	return cut_framing(z, in, len, unit, err);
}

/* Image bytes of the block that is whole at data. */
static bool block_image_bytes(struct lz4_decoder *z, const struct lz4_block *block,
			      const uint8_t *data, size_t *len, struct bmap_error *err)
{
	uint64_t offset = z->walk.start + z->walk.pos;

	if (block->stored)
		*len = block->data_bytes;
	else if (!lz4_block_length(data, block->data_bytes, z->frame.block_max_bytes, len)) {
		decoder_broken(&z->base, offset, err,
			       "the compressed data of the block is malformed");
		return false;
	}
	return true;
}

/* Adds the next block to the walk. CUT_UNIT: done; CUT_END: none is next. */
static enum cut_status walk_block(struct lz4_decoder *z, const struct in_span *in,
				  struct bmap_error *err)
{
	struct lz4_walk *walk = &z->walk;
	uint64_t behind = walk->pos + LZ4_SIZE_BYTES;
	const uint8_t *at = in->data + walk->pos;
	struct lz4_block block;
	size_t len = 0;

	if (z->frame.legacy && in->ended && walk->pos == in->len)
		return CUT_END;
	if (behind > in->len)
		return cut_needs(z, in, behind, err);
	switch (lz4_size_parse(&z->frame, load_le32(at), &block)) {
	case LZ4_SIZE_END:
		return CUT_END;
	case LZ4_SIZE_BAD:
		lz4_size_failed(z, walk->start + walk->pos, err);
		return CUT_FAILED;
	case LZ4_SIZE_BLOCK:
		break;
	}
	behind = walk->pos + lz4_block_source_bytes(&block);
	if (behind > in->len)
		return cut_needs(z, in, behind, err);
	if (!block_image_bytes(z, &block, at + LZ4_SIZE_BYTES, &len, err))
		return CUT_FAILED;
	walk->pos = (size_t)behind;
	walk->image_len += len;
	return CUT_UNIT;
}

static enum cut_status cut_blocks(struct lz4_decoder *z, const struct in_span *in,
				  struct decode_unit *unit, struct bmap_error *err)
{
	size_t most = (size_t)min_u64(lz4_unit_bytes(&z->frame), z->base.limits.room_max_bytes);
	struct lz4_walk *walk = &z->walk;
	enum cut_status status;

	do {
		status = walk_block(z, in, err);
		if (status == CUT_INPUT || status == CUT_FAILED)
			return status;
	} while (status == CUT_UNIT && most - walk->image_len >= z->frame.block_max_bytes);
	if (walk->pos)
		return cut_taken(z, unit, err);
	return status == CUT_SERIAL ? CUT_SERIAL : cut_frame_end(z, in, unit, err);
}

bool lz4_unit(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
	      uint64_t source_offset, struct bmap_error *err)
{
	struct lz4_decoder *z = (struct lz4_decoder *)d;
	uint32_t block_max = (uint32_t)(d->unit_context >> CONTEXT_MAX_SHIFT);
	const struct lz4_header frame = {
		.legacy = d->unit_context & CONTEXT_LEGACY,
		.block_checksums = d->unit_context & CONTEXT_CHECKSUMS,
		.stored_max_bytes = UINT32_MAX, /* cut() has checked it */
	};
	struct lz4_history none = { 0 };
	size_t pos = 0, done = 0;

	if (!(d->unit_context & CONTEXT_BLOCKS))
		return true;
	while (pos < in_len) {
		const uint8_t *at = in + pos;
		const char *reason;
		struct lz4_block block;
		size_t got;

		lz4_size_parse(&frame, load_le32(at), &block);
		reason = lz4_block_decode(&z->memo, &none, &block, at + LZ4_SIZE_BYTES, out + done,
					  (size_t)min_u64(block_max, len - done), &got);
		if (reason) {
			d->image_offset += done;
			decoder_broken(d, source_offset + pos, err, "%s", reason);
			return false;
		}
		done += got;
		pos += lz4_block_source_bytes(&block);
	}
	if (done == len)
		return true;
	decoder_broken(d, source_offset, err, "its blocks hold %zu bytes, not %zu", done, len);
	return false;
}

/* SPDX-License-Identifier: MIT */
/* lz4, serial. Why it is fast: blocks are decoded straight to where the image bytes are written
 * from, which is also the history of the next; XXH32 comes from libxxhash, several times faster
 * than the copy inside liblz4, and is left out over the content where a stronger digest judges it
 * (limits.check_content). Header and block checksums are always checked.
 *
 * Memory: none beside the state; 64 KiB to join the history of linked blocks at the ring's end. A
 * block larger than the input or the room that can be given (8 MiB and a little at most) is
 * gathered or decoded in memory of its own, both together 16 MiB at most, and refused if the memory
 * limit does not let it. Independent blocks are decoded in parallel: lz4_units.c. */
#include "decode/lz4_internal.h"

#include <stdlib.h>
#include <string.h>

static enum decode_status step_between(struct lz4_decoder *z, struct in_span *in,
				       struct bmap_error *err);
static enum decode_status step_skipping(struct lz4_decoder *z, struct in_span *in,
					struct bmap_error *err);
static enum decode_status step_in_frame(struct lz4_decoder *z, struct in_span *in,
					struct out_span *out, struct bmap_error *err);
static enum decode_status step_gathering(struct lz4_decoder *z, struct in_span *in,
					 struct out_span *out, struct bmap_error *err);
static enum decode_status step_flushing(struct lz4_decoder *z, struct out_span *out,
					struct bmap_error *err);
static enum decode_status step_checksum(struct lz4_decoder *z, struct in_span *in,
					struct bmap_error *err);

/* BETWEEN -> SKIPPING -> BETWEEN; BETWEEN -> IN_FRAME -> (GATHERING, FLUSHING) -> IN_FRAME ... ->
 * (CONTENT_CHECKSUM) -> BETWEEN (unit end). Each answers DECODE_UNIT_END when its part is
 * complete; one that the caller may cut behind is passed on. */
static enum decode_status lz4_step(struct decoder *d, struct in_span *in, struct out_span *out,
				   struct bmap_error *err)
{
	struct lz4_decoder *z = (struct lz4_decoder *)d;
	enum decode_status status = DECODE_FAILED;

	d->want_input = 0;
	do {
		bool frame = z->phase != LZ4_BETWEEN && z->phase != LZ4_SKIPPING;

		switch (z->phase) {
		case LZ4_BETWEEN:
			status = step_between(z, in, err);
			break;
		case LZ4_SKIPPING:
			status = step_skipping(z, in, err);
			break;
		case LZ4_IN_FRAME:
			status = step_in_frame(z, in, out, err);
			break;
		case LZ4_GATHERING:
			status = step_gathering(z, in, out, err);
			break;
		case LZ4_FLUSHING:
			status = step_flushing(z, out, err);
			break;
		case LZ4_CONTENT_CHECKSUM:
			status = step_checksum(z, in, err);
			break;
		}
		if (status != DECODE_UNIT_END)
			return status;
		if (z->phase == LZ4_BETWEEN && frame)
			return status;
	} while (z->phase != LZ4_IN_FRAME || !lz4_frame_cuttable(z, &z->frame));
	return status;
}

static enum decode_status step_between(struct lz4_decoder *z, struct in_span *in,
				       struct bmap_error *err)
{
	struct decoder *d = &z->base;
	enum lz4_header_status status;
	struct lz4_header header;
	const char *reason = NULL;
	size_t need = 0;

	if (in->len == 0 && in->ended && z->seen_frame)
		return DECODE_END;
	status = lz4_header_parse(in->data, in->len, &header, &need, &reason);
	if (status == LZ4_HEADER_MORE)
		return decoder_want_input(d, in, need, err);
	if (status != LZ4_HEADER_OK)
		return lz4_header_failed(z, status, reason, err);
	decoder_consume(d, in, header.header_bytes);
	if (header.skippable) {
		z->skip_left_bytes = header.skip_bytes;
		z->phase = LZ4_SKIPPING;
		return DECODE_UNIT_END;
	}
	lz4_frame_begin(z, &header);
	return DECODE_UNIT_END;
}

static enum decode_status step_skipping(struct lz4_decoder *z, struct in_span *in,
					struct bmap_error *err)
{
	size_t len = (size_t)min_u64(in->len, z->skip_left_bytes);

	decoder_consume(&z->base, in, len);
	z->skip_left_bytes -= len;
	if (z->skip_left_bytes)
		return decoder_want_input(&z->base, in, 0, err);
	z->phase = LZ4_BETWEEN;
	return DECODE_UNIT_END;
}

/* Linked blocks need their history in the ring, every block its maximum of room. */
static bool in_ring(const struct lz4_decoder *z)
{
	const struct decoder_limits *limits = &z->base.limits;

	return z->frame.block_max_bytes <= limits->room_max_bytes &&
	       (!z->frame.linked || LZ4_HISTORY_BYTES <= limits->history_max_bytes);
}

void lz4_frame_begin(struct lz4_decoder *z, const struct lz4_header *header)
{
	struct decoder *d = &z->base;
	uint8_t *joined = z->history.joined;

	z->frame = *header;
	z->frame_image_bytes = 0;
	z->seen_frame = true;
	z->phase = LZ4_IN_FRAME;
	z->history = (struct lz4_history){ .joined = joined };
	d->history_bytes = header->linked && in_ring(z) ? LZ4_HISTORY_BYTES : 0;
	d->want_room = in_ring(z) ? header->block_max_bytes : 1;
	if (header->content_checksum && d->limits.check_content)
		XXH32_reset(z->content_hash, 0);
}

static bool block_publish(struct lz4_decoder *z, const uint8_t *image, size_t len,
			  struct bmap_error *err)
{
	if (!lz4_frame_count(z, len, err))
		return false;
	if (z->frame.content_checksum && z->base.limits.check_content)
		XXH32_update(z->content_hash, image, len);
	return true;
}

/* The block's data is at data; source_offset still at its size, or behind it if it was gathered. */
static bool block_decode(struct lz4_decoder *z, const uint8_t *data, uint64_t offset,
			 struct out_span *out, struct bmap_error *err)
{
	size_t room = z->frame.block_max_bytes, got;
	bool direct = in_ring(z);
	uint8_t *to = direct ? out->data : z->spill + LZ4_HISTORY_BYTES;
	struct lz4_history none = { 0 };
	const char *reason;

	reason = lz4_block_decode(&z->memo, z->frame.linked ? &z->history : &none, &z->block, data,
				  to, room, &got);
	if (reason) {
		decoder_broken(&z->base, offset, err, "%s", reason);
		return false;
	}
	if (!block_publish(z, to, got, err))
		return false;
	if (direct) {
		decoder_emit(&z->base, out, got);
		z->phase = LZ4_IN_FRAME;
		return true;
	}
	z->spill_begin = LZ4_HISTORY_BYTES;
	z->spill_end = LZ4_HISTORY_BYTES + got;
	z->phase = LZ4_FLUSHING;
	return true;
}

/* Room for a block, in the ring or here. */
static enum decode_status block_room(struct lz4_decoder *z, const struct out_span *out,
				     struct bmap_error *err)
{
	if (in_ring(z))
		return out->room < z->base.want_room ? DECODE_ROOM : DECODE_UNIT_END;
	/* Linked ones keep their history in it: it is not replaced within a frame. */
	if (!decoder_own_memory(&z->base, &z->spill, &z->spill_room,
				LZ4_HISTORY_BYTES + z->frame.block_max_bytes, z->gathered_room,
				err))
		return DECODE_FAILED;
	return DECODE_UNIT_END;
}

static enum decode_status frame_ended(struct lz4_decoder *z, struct in_span *in,
				      struct bmap_error *err)
{
	if (!lz4_frame_end(z, err))
		return DECODE_FAILED;
	if (!z->frame.legacy) /* its end is the next frame's magic, or nothing */
		decoder_consume(&z->base, in, LZ4_SIZE_BYTES);
	z->phase = z->frame.content_checksum ? LZ4_CONTENT_CHECKSUM : LZ4_BETWEEN;
	return DECODE_UNIT_END;
}

static enum decode_status step_in_frame(struct lz4_decoder *z, struct in_span *in,
					struct out_span *out, struct bmap_error *err)
{
	struct decoder *d = &z->base;
	enum decode_status status;
	size_t all;

	if (z->frame.legacy && in->len == 0 && in->ended)
		return frame_ended(z, in, err);
	if (in->len < LZ4_SIZE_BYTES)
		return decoder_want_input(d, in, LZ4_SIZE_BYTES, err);
	switch (lz4_size_parse(&z->frame, load_le32(in->data), &z->block)) {
	case LZ4_SIZE_END:
		return frame_ended(z, in, err);
	case LZ4_SIZE_BAD:
		return lz4_size_failed(z, d->source_offset, err);
	case LZ4_SIZE_BLOCK:
		break;
	}
	all = lz4_block_source_bytes(&z->block);
	if (all > d->limits.input_max_bytes) {
		if (!decoder_own_memory(d, &z->gathered, &z->gathered_room,
					z->frame.stored_max_bytes + LZ4_CHECKSUM_BYTES,
					z->spill_room, err))
			return DECODE_FAILED;
		decoder_consume(d, in, LZ4_SIZE_BYTES);
		z->gathered_len = 0;
		z->phase = LZ4_GATHERING;
		return DECODE_UNIT_END;
	}
	if (in->len < all)
		return decoder_want_input(d, in, all, err);
	status = block_room(z, out, err);
	if (status != DECODE_UNIT_END)
		return status;
	if (!block_decode(z, in->data + LZ4_SIZE_BYTES, d->source_offset, out, err))
		return DECODE_FAILED;
	decoder_consume(d, in, all);
	return DECODE_UNIT_END;
}

static enum decode_status step_gathering(struct lz4_decoder *z, struct in_span *in,
					 struct out_span *out, struct bmap_error *err)
{
	size_t all = lz4_block_source_bytes(&z->block) - LZ4_SIZE_BYTES;
	size_t len = (size_t)min_u64(in->len, all - z->gathered_len);
	enum decode_status status;

	memcpy(z->gathered + z->gathered_len, in->data, len);
	z->gathered_len += len;
	decoder_consume(&z->base, in, len);
	if (z->gathered_len < all)
		return decoder_want_rest(&z->base, in, all - z->gathered_len, err);
	status = block_room(z, out, err);
	if (status != DECODE_UNIT_END)
		return status;
	return block_decode(z, z->gathered, z->base.source_offset - all - LZ4_SIZE_BYTES, out, err)
		       ? DECODE_UNIT_END
		       : DECODE_FAILED;
}

static enum decode_status step_flushing(struct lz4_decoder *z, struct out_span *out,
					struct bmap_error *err)
{
	size_t left = z->spill_end - z->spill_begin, len = (size_t)min_u64(out->room, left);
	struct lz4_history *h = &z->history;
	size_t keep = (size_t)min_u64(h->len, LZ4_HISTORY_BYTES);

	(void)err;
	memcpy(out->data, z->spill + z->spill_begin, len);
	decoder_emit(&z->base, out, len);
	z->spill_begin += len;
	z->base.want_room = decoder_flush_room(&z->base, z->spill_end - z->spill_begin);
	if (z->spill_begin < z->spill_end)
		return DECODE_ROOM;
	if (z->frame.linked && keep) { /* to before the place of the next block */
		memmove(z->spill + LZ4_HISTORY_BYTES - keep, h->end - keep, keep);
		h->end = z->spill + LZ4_HISTORY_BYTES;
		h->len = keep;
	}
	z->phase = LZ4_IN_FRAME;
	return DECODE_UNIT_END;
}

static enum decode_status step_checksum(struct lz4_decoder *z, struct in_span *in,
					struct bmap_error *err)
{
	struct decoder *d = &z->base;

	if (in->len < LZ4_CHECKSUM_BYTES)
		return decoder_want_input(d, in, LZ4_CHECKSUM_BYTES, err);
	if (d->limits.check_content && load_le32(in->data) != XXH32_digest(z->content_hash))
		return decoder_broken(d, d->source_offset, err,
				      "the frame's content checksum does not match");
	decoder_consume(d, in, LZ4_CHECKSUM_BYTES);
	z->phase = LZ4_BETWEEN;
	return DECODE_UNIT_END;
}

bool lz4_frame_count(struct lz4_decoder *z, size_t len, struct bmap_error *err)
{
	/* Cannot overflow: it is below what the source could hold. */
	z->frame_image_bytes += len;
	if (z->frame_image_bytes <= z->frame.content_bytes)
		return true;
	decoder_broken(&z->base, z->base.source_offset, err,
		       "the frame holds more bytes than it declares");
	return false;
}

bool lz4_frame_end(struct lz4_decoder *z, struct bmap_error *err)
{
	if (z->frame.content_bytes == LZ4_SIZE_UNKNOWN ||
	    z->frame.content_bytes == z->frame_image_bytes)
		return true;
	decoder_broken(&z->base, z->base.source_offset, err,
		       "the frame holds fewer bytes than it declares");
	return false;
}

enum decode_status lz4_header_failed(const struct lz4_decoder *z, enum lz4_header_status status,
				     const char *reason, struct bmap_error *err)
{
	uint64_t offset = z->base.source_offset;

	if (status == LZ4_HEADER_REFUSED)
		return decoder_broken(&z->base, offset, err, "%s", reason);
	if (z->seen_frame)
		return decoder_garbage(&z->base, offset, err);
	return decoder_broken(&z->base, offset, err, "no frame begins here");
}

enum decode_status lz4_size_failed(const struct lz4_decoder *z, uint64_t offset,
				   struct bmap_error *err)
{
	if (z->frame.legacy) /* which has no end mark: it may end here as well */
		return decoder_garbage(&z->base, offset, err);
	return decoder_broken(&z->base, offset, err, "a block larger than the block maximum");
}

/* Looks behind skippable frames, which zstd has too. */
static bool lz4_probe(const uint8_t *head, size_t len)
{
	struct lz4_header header;
	const char *reason;
	uint64_t pos = 0;
	size_t need;

	while (pos < len) {
		switch (lz4_header_parse(head + pos, len - (size_t)pos, &header, &need, &reason)) {
		case LZ4_HEADER_GARBAGE:
			return false;
		case LZ4_HEADER_MORE:
			/* at least a magic of its own, not only one that others use too */
			return len - pos >= 4 && load_le32(head + pos) == LZ4_FRAME_MAGIC;
		case LZ4_HEADER_REFUSED:
			return true; /* lz4, though not for us: plan() and step() say why */
		case LZ4_HEADER_OK:
			if (!header.skippable)
				return true;
			pos += header.header_bytes + header.skip_bytes;
		}
	}
	return false;
}

static bool plan_failed(const char *reason, uint64_t offset, struct bmap_error *err)
{
	return bmap_error_data(err, offset, "broken lz4 data at offset %u: %s", (unsigned)offset,
			       reason);
}

static bool lz4_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		     struct bmap_error *err)
{
	struct lz4_header header;
	const char *reason = "no frame begins here";
	uint64_t pos = 0;
	size_t need;

	*plan = (struct decoder_plan){ 0 };
	while (pos < len) {
		switch (lz4_header_parse(head + pos, len - (size_t)pos, &header, &need, &reason)) {
		case LZ4_HEADER_MORE:
			return true; /* nothing known: step() finds out */
		case LZ4_HEADER_GARBAGE:
		case LZ4_HEADER_REFUSED:
			return plan_failed(reason, pos, err);
		case LZ4_HEADER_OK:
			break;
		}
		if (!header.skippable) {
			if (header.linked)
				plan->history_bytes = LZ4_HISTORY_BYTES;
			else
				plan->unit_bytes = lz4_unit_bytes(&header);
			return true;
		}
		pos += header.header_bytes + header.skip_bytes;
	}
	return true;
}

static void lz4_close(struct decoder *d)
{
	struct lz4_decoder *z = (struct lz4_decoder *)d;

	if (!z)
		return;
	XXH32_freeState(z->content_hash);
	zero_memo_free(&z->memo);
	free(z->history.joined);
	free(z->gathered);
	free(z->spill);
	free(z);
}

static struct decoder *lz4_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	struct lz4_decoder *z = calloc(1, sizeof(*z));

	if (z) {
		z->base =
			(struct decoder){ .ops = &lz4_decoder, .limits = *limits, .want_room = 1 };
		z->content_hash = XXH32_createState();
		z->history.joined = malloc(LZ4_HISTORY_BYTES);
	}
	if (!z || !z->content_hash || !z->history.joined) {
		if (z)
			lz4_close(&z->base);
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	return &z->base;
}

static const char *const lz4_suffixes[] = { ".lz4", ".tlz4", NULL };

const struct decoder_ops lz4_decoder = {
	.name = "lz4",
	.suffixes = lz4_suffixes,
	.probe = lz4_probe,
	.plan = lz4_plan,
	.open = lz4_open,
	.step = lz4_step,
	.cut = lz4_cut,
	.unit = lz4_unit,
	.close = lz4_close,
};

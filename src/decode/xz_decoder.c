/* SPDX-License-Identifier: MIT */
/* xz: any number of streams with padding between and behind is one image.
 *
 * Units: the blocks whose header has both sizes, which is what multi-threaded encoders write (xz
 * -T, and xz itself since 5.6). A block without them, or too large for the ring or the read-ahead,
 * is decoded by step(), after which cutting goes on. Blocks are independent, and are decoded or
 * left out one by one; the index of the stream, compared with the sizes of all of them, and the
 * footer are always checked, and so is each decoded block's own check. Where the source can seek,
 * the index is read first, and blocks without mapped bytes are not read (xz_index.c). Worst-case
 * memory: a worker has a dictionary (64 MiB for -9) and its block's compressed bytes; the ring
 * holds one block more than there are workers (24 MiB each for -6, 192 MiB for -9). */
#include "decode/xz_internal.h"

#include <stdlib.h>
#include <string.h>

/* liblzma copies out of its dictionary whatever the room; small pieces only cost calls. */
#define ROOM_WANTED_BYTES (64u * KIB)
#define XZ_MAGIC_BYTES 6u
/* A first block up to this size makes units worth while: xz -8 has 96 MiB. */
#define XZ_UNIT_MAX_BYTES (96u * MIB)

static const uint8_t XZ_MAGIC[XZ_MAGIC_BYTES] = { 0xFD, '7', 'z', 'X', 'Z', 0 };

/* --- step --- */

static enum decode_status block_failed(struct xz_decoder *x, lzma_ret code,
				       const struct in_span *in, struct bmap_error *err)
{
	struct decoder *d = &x->base;

	switch (code) {
	case LZMA_BUF_ERROR: /* no progress although there is room */
		return decoder_truncated(d, d->source_offset + in->len, err);
	case LZMA_MEM_ERROR:
		bmap_error_memory(err, d->limits.name);
		return DECODE_FAILED;
	default:
		return decoder_broken(d, d->source_offset, err,
				      "corrupt, or an integrity check does not match");
	}
}

/* DECODE_UNIT_END: the block is complete. */
static enum decode_status step_block(struct xz_decoder *x, struct in_span *in, struct out_span *out,
				     struct bmap_error *err)
{
	struct decoder *d = &x->base;

	for (;;) {
		size_t room = out->room;
		lzma_ret code;

		if (room < d->want_room)
			return DECODE_ROOM;
		x->lzma.next_in = in->data;
		x->lzma.avail_in = in->len;
		x->lzma.next_out = out->data;
		x->lzma.avail_out = room;
		code = lzma_code(&x->lzma, LZMA_RUN);
		decoder_consume(d, in, in->len - x->lzma.avail_in);
		decoder_emit(d, out, room - x->lzma.avail_out);
		if (code == LZMA_STREAM_END) {
			x->phase = XZ_BLOCKS;
			return xz_block_ended(x, err) ? DECODE_UNIT_END : DECODE_FAILED;
		}
		/* Where no more comes it is called until it says that it cannot go on. */
		if (code != LZMA_OK && (code != LZMA_BUF_ERROR || in->ended))
			return block_failed(x, code, in, err);
		if (in->len == 0 && !in->ended)
			return out->room ? DECODE_INPUT : DECODE_ROOM;
	}
}

static enum decode_status xz_step(struct decoder *d, struct in_span *in, struct out_span *out,
				  struct bmap_error *err)
{
	struct xz_decoder *x = (struct xz_decoder *)d;
	size_t len = 0;

	d->want_input = 0;
	while (x->phase != XZ_IN_BLOCK) {
		switch (xz_frame(x, in, &len, err)) {
		case XZ_FRAME_PASS:
			decoder_consume(d, in, len);
			break;
		case XZ_FRAME_BLOCK:
			if (!xz_block_header(x, in->data, d->source_offset, true, err))
				return DECODE_FAILED;
			decoder_consume(d, in, len);
			x->phase = XZ_IN_BLOCK;
			break;
		case XZ_FRAME_INPUT:
			return DECODE_INPUT;
		case XZ_FRAME_END:
			return DECODE_END;
		case XZ_FRAME_FAILED:
			return DECODE_FAILED;
		}
	}
	return step_block(x, in, out, err);
}

/* --- units --- */

/* Bytes of the block at hand from its header to its check; 0: the header does not say. */
static uint64_t block_bytes(const struct xz_decoder *x)
{
	if (x->block.compressed_size == LZMA_VLI_UNKNOWN ||
	    x->block.uncompressed_size == LZMA_VLI_UNKNOWN)
		return 0;
	return lzma_block_total_size(&x->block); /* 0 if the sizes are impossible */
}

static enum cut_status cut_block(struct xz_decoder *x, const struct in_span *in,
				 struct decode_unit *unit, struct bmap_error *err)
{
	const struct decoder_limits *limits = &x->base.limits;
	uint64_t total = block_bytes(x);

	if (!total || total > limits->input_max_bytes ||
	    x->block.uncompressed_size > limits->room_max_bytes)
		return CUT_SERIAL;
	if (in->len < total)
		return decoder_want_input(&x->base, in, (size_t)total, err) == DECODE_INPUT
			       ? CUT_INPUT
			       : CUT_FAILED;
	*unit = (struct decode_unit){ .source_len_bytes = (size_t)total,
				      .image_len_bytes = (size_t)x->block.uncompressed_size };
	return xz_block_ended(x, err) ? CUT_UNIT : CUT_FAILED;
}

static enum cut_status xz_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			      struct bmap_error *err)
{
	struct xz_decoder *x = (struct xz_decoder *)d;
	size_t len = 0;

	switch (xz_frame(x, in, &len, err)) {
	case XZ_FRAME_PASS:
		*unit = (struct decode_unit){ .source_len_bytes = len };
		return CUT_UNIT;
	case XZ_FRAME_BLOCK:
		return cut_block(x, in, unit, err);
	case XZ_FRAME_INPUT:
		return CUT_INPUT;
	case XZ_FRAME_END:
		return CUT_END;
	case XZ_FRAME_FAILED:
		break;
	}
	return CUT_FAILED;
}

/* A worker has seen no stream header; which check lies behind the block follows from its length
 * (section 2.1.1.2 has one supported check for each). */
static bool find_check(struct xz_decoder *x, const uint8_t *in, size_t in_len)
{
	static const lzma_check checks[] = { LZMA_CHECK_NONE, LZMA_CHECK_CRC32, LZMA_CHECK_CRC64,
					     LZMA_CHECK_SHA256 };

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		x->flags.check = checks[i];
		if (!xz_block_header(x, in, 0, false, NULL))
			return false;
		if (block_bytes(x) == in_len)
			return true;
	}
	return false;
}

static bool xz_unit(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
		    uint64_t source_offset, struct bmap_error *err)
{
	struct xz_decoder *x = (struct xz_decoder *)d;
	size_t zeros;
	lzma_ret code;

	if (len == 0) /* headers, index, padding: checked when they were cut */
		return true;
	/* The holes of an image are the same block over and over. */
	if (zero_memo_knows(&x->memo, in, in_len, &zeros) && zeros == len) {
		memset(out, 0, len);
		return true;
	}
	if (!find_check(x, in, in_len)) {
		decoder_broken(d, source_offset, err, "a corrupt block header");
		return false;
	}
	if (!xz_block_header(x, in, source_offset, true, err))
		return false;
	x->lzma.next_in = in + x->block.header_size;
	x->lzma.avail_in = in_len - x->block.header_size;
	x->lzma.next_out = out;
	x->lzma.avail_out = len;
	code = lzma_code(&x->lzma, LZMA_FINISH);
	if (code == LZMA_STREAM_END && !x->lzma.avail_out && !x->lzma.avail_in) {
		zero_memo_learn(&x->memo, in, in_len, out, len);
		return true;
	}
	d->image_offset += len - x->lzma.avail_out;
	decoder_broken(d, source_offset, err,
		       "corrupt, or an integrity check or a size does not match");
	return false;
}

/* --- the table's other entries --- */

static bool xz_probe(const uint8_t *head, size_t len)
{
	return len >= XZ_MAGIC_BYTES && !memcmp(head, XZ_MAGIC, XZ_MAGIC_BYTES);
}

static struct decoder *xz_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	struct xz_decoder *x = calloc(1, sizeof(*x));
	lzma_stream fresh = LZMA_STREAM_INIT;

	if (!x) {
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	x->lzma = fresh;
	x->base = (struct decoder){ .ops = &xz_decoder, .limits = *limits };
	x->base.want_room = (size_t)max_u64(1, min_u64(ROOM_WANTED_BYTES, limits->room_max_bytes));
	return &x->base;
}

static void xz_close(struct decoder *d)
{
	struct xz_decoder *x = (struct xz_decoder *)d;

	if (!x)
		return;
	lzma_end(&x->lzma);
	lzma_index_hash_end(x->hash, NULL);
	zero_memo_free(&x->memo);
	free(x);
}

/* What the first block's header says; a broken one is step()'s to complain about. */
static bool xz_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		    struct bmap_error *err)
{
	static const struct decoder_limits all = { .name = "xz", .memory_bytes = UINT64_MAX };
	struct xz_decoder x = { .base = { .ops = &xz_decoder, .limits = all } };
	size_t at = LZMA_STREAM_HEADER_SIZE;

	*plan = (struct decoder_plan){ 0 };
	if (len < at || lzma_stream_header_decode(&x.flags, head) != LZMA_OK)
		return bmap_error_data(err, 0,
				       "broken xz data at offset 0: the stream header is corrupt");
	if (at >= len || head[at] == 0 || len - at < lzma_block_header_size_decode(head[at]) ||
	    !xz_block_header(&x, head + at, at, false, NULL))
		return true;
	if (block_bytes(&x) && x.block.uncompressed_size <= XZ_UNIT_MAX_BYTES) {
		plan->unit_bytes = (size_t)x.block.uncompressed_size;
		plan->worker_bytes = (size_t)min_u64(x.dictionary_bytes, SIZE_MAX);
	}
	return true;
}

static const char *const xz_suffixes[] = { ".xz", ".txz", NULL };

const struct decoder_ops xz_decoder = {
	.name = "xz",
	.suffixes = xz_suffixes,
	.probe = xz_probe,
	.plan = xz_plan,
	.open = xz_open,
	.step = xz_step,
	.cut = xz_cut,
	.unit = xz_unit,
	.read_index = xz_read_index,
	.pass_indexed = xz_pass_indexed,
	.close = xz_close,
};

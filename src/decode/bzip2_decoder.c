/* SPDX-License-Identifier: MIT */
/* bzip2 by libbz2: any number of streams is one image. The library checks the CRC of each block and
 * stream. How it is split for many workers: bzip2_units.c.
 *
 * Memory for each worker: libbz2's 3.6 MiB for blocks of 900 kB, the decode stage's scratch of 4
 * MiB, and twice a block's compressed bytes, 1 MiB at most each. A block may decode to 45.9 MB: its
 * worker stops when the scratch is full, and goes on at the block's turn, straight into the ring,
 * 512 KiB at a time. So the ring need not hold a block. */
#include "decode/bzip2_internal.h"

#include <stdlib.h>
#include <string.h>

/* libbz2 copies byte by byte whatever the room; small pieces only cost calls. */
#define ROOM_WANTED_BYTES (64u * KIB)
/* Beside a block's compressed and decoded bytes: libbz2's state, the block as a stream of its own,
 * and the scratch of the decode stage, because a block may decode to 45.9 MB. */
#define WORKER_BYTES (9u * MIB)
#define BLOCK_MAGIC_BYTES 6u

static const uint8_t BLOCK_MAGIC[BLOCK_MAGIC_BYTES] = { 0x31, 0x41, 0x59, 0x26, 0x53, 0x59 };
static const uint8_t END_MAGIC[BLOCK_MAGIC_BYTES] = { 0x17, 0x72, 0x45, 0x38, 0x50, 0x90 };

static enum decode_status step_between(struct bzip2_decoder *b, struct in_span *in,
				       struct bmap_error *err);
static enum decode_status step_stream(struct bzip2_decoder *b, struct in_span *in,
				      struct out_span *out, struct bmap_error *err);

static enum decode_status bzip2_step(struct decoder *d, struct in_span *in, struct out_span *out,
				     struct bmap_error *err)
{
	struct bzip2_decoder *b = (struct bzip2_decoder *)d;
	enum decode_status status;

	d->want_input = 0;
	do {
		if (b->in_stream)
			status = step_stream(b, in, out, err);
		else
			status = step_between(b, in, err);
	} while (status == DECODE_UNIT_END);
	return status;
}

/* DECODE_UNIT_END: a stream begins. */
static enum decode_status step_between(struct bzip2_decoder *b, struct in_span *in,
				       struct bmap_error *err)
{
	struct decoder *d = &b->base;

	if (in->len == 0 && in->ended && b->seen_stream)
		return DECODE_END;
	if (!bzip2_stream_begins(in->data, in->len))
		return b->seen_stream ? decoder_garbage(d, d->source_offset, err)
				      : decoder_broken(d, d->source_offset, err,
						       "no bzip2 stream begins here");
	if (in->len < BZIP2_STREAM_MAGIC_BYTES)
		return decoder_want_input(d, in, BZIP2_STREAM_MAGIC_BYTES, err);
	bzip2_memory_init(b);
	if (BZ2_bzDecompressInit(&b->bz, 0, 0) != BZ_OK) {
		bmap_error_memory(err, d->limits.name);
		return DECODE_FAILED;
	}
	b->in_stream = true;
	return DECODE_UNIT_END;
}

static void stream_end(struct bzip2_decoder *b)
{
	if (b->in_stream)
		BZ2_bzDecompressEnd(&b->bz);
	b->in_stream = false;
}

/* DECODE_UNIT_END: the stream is complete. */
static enum decode_status step_stream(struct bzip2_decoder *b, struct in_span *in,
				      struct out_span *out, struct bmap_error *err)
{
	struct decoder *d = &b->base;

	for (;;) {
		unsigned room = (unsigned)min_u64(out->room, UINT32_MAX);
		unsigned len = (unsigned)min_u64(in->len, UINT32_MAX);
		int code;

		if (out->room < d->want_room)
			return DECODE_ROOM;
		b->bz.next_in = (char *)in->data; /* it only reads */
		b->bz.avail_in = len;
		b->bz.next_out = (char *)out->data;
		b->bz.avail_out = room;
		code = BZ2_bzDecompress(&b->bz);
		decoder_consume(d, in, len - b->bz.avail_in);
		decoder_emit(d, out, room - b->bz.avail_out);
		if (code == BZ_STREAM_END) {
			stream_end(b);
			b->seen_stream = true;
			return DECODE_UNIT_END;
		}
		if (code == BZ_MEM_ERROR) {
			bmap_error_memory(err, d->limits.name);
			return DECODE_FAILED;
		}
		if (code != BZ_OK)
			return decoder_broken(d, d->source_offset, err,
					      "corrupt, or a checksum does not match");
		if (in->len == 0 && b->bz.avail_out)
			return decoder_want_input(d, in, 0, err);
	}
}

static bool bzip2_probe(const uint8_t *head, size_t len)
{
	size_t more;

	if (len < BZIP2_STREAM_MAGIC_BYTES || !bzip2_stream_begins(head, len))
		return false;
	/* Text may begin with "BZh1". */
	more = (size_t)min_u64(len - BZIP2_STREAM_MAGIC_BYTES, BLOCK_MAGIC_BYTES);
	return !memcmp(head + BZIP2_STREAM_MAGIC_BYTES, BLOCK_MAGIC, more) ||
	       !memcmp(head + BZIP2_STREAM_MAGIC_BYTES, END_MAGIC, more);
}

static bool bzip2_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		       struct bmap_error *err)
{
	*plan = (struct decoder_plan){ .unit_bytes = BZIP2_BLOCK_MAX_BYTES,
				       .worker_bytes = WORKER_BYTES };
	if (!bzip2_probe(head, len))
		return bmap_error_data(
			err, 0, "broken bzip2 data at offset 0: no bzip2 stream begins here");
	return true;
}

static struct decoder *bzip2_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	struct bzip2_decoder *b = calloc(1, sizeof(*b));

	if (!b) {
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	b->base = (struct decoder){ .ops = &bzip2_decoder, .limits = *limits };
	b->base.want_room = (size_t)max_u64(1, min_u64(ROOM_WANTED_BYTES, limits->room_max_bytes));
	return &b->base;
}

static void bzip2_close(struct decoder *d)
{
	struct bzip2_decoder *b = (struct bzip2_decoder *)d;

	if (!b)
		return;
	stream_end(b);
	bzip2_unit_free(b);
	free(b);
}

static const char *const bzip2_suffixes[] = { ".bz2", ".bzip2", ".tbz", ".tbz2", ".tb2", NULL };

const struct decoder_ops bzip2_decoder = {
	.name = "bzip2",
	.suffixes = bzip2_suffixes,
	.probe = bzip2_probe,
	.plan = bzip2_plan,
	.open = bzip2_open,
	.step = bzip2_step,
	.cut = bzip2_cut,
	.begin_unit = bzip2_begin_unit,
	.step_unit = bzip2_step_unit,
	.unit_wanted = bzip2_unit_wanted,
	.unit_ended = bzip2_unit_ended,
	.units_end = bzip2_units_end,
	.close = bzip2_close,
};

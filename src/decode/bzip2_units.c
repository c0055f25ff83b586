/* SPDX-License-Identifier: MIT */
/* Blocks as units. cut() takes what lies between two marks; a worker makes of a block a stream of
 * its own, with header and end, and hands it to libbz2, which checks the block's CRC. Where that
 * fails, the mark that ended it may have been false, and it tries the next ones. A unit that begins
 * inside the block that was decoded is found unwanted at its turn. So no input is decoded wrongly,
 * and a false magic costs only time; more than BZIP2_ENDS - 1 of them inside one block are an
 * error.
 *
 * The stream's own CRC chains those of its blocks and is compared at the turn of its end. */
#include "decode/bzip2_internal.h"

#include <stdlib.h>
#include <string.h>

#define LOOKAHEAD_BYTES (BZIP2_BLOCK_MAX_BYTES + 16u)
#define VIEW_SLACK_BYTES 16u /* behind a stream's end: padding and the next one's header */
#define STREAM_EXTRA_BYTES 32u /* header, end magic, CRC around a block */

enum fact { FACT_START, FACT_KIND, FACT_ENDED, FACT_ENDS /* as many as there are, then 0 */ };

/* --- cut --- */

static void pop_mark(struct bzip2_scan *scan)
{
	scan->current = scan->marks[0];
	scan->count--;
	memmove(scan->marks, scan->marks + 1, scan->count * sizeof(scan->marks[0]));
}

enum cut_status bzip2_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			  struct bmap_error *err)
{
	struct bzip2_decoder *b = (struct bzip2_decoder *)d;
	struct bzip2_scan *scan = &b->scan;
	uint64_t base_bit = 8 * d->source_offset, end_bit = base_bit;
	size_t most = (size_t)min_u64(LOOKAHEAD_BYTES, d->limits.input_max_bytes);

	d->want_input = 0;
	if (in->len == 0 && in->ended)
		return CUT_END;
	if (in->len < most && !in->ended) {
		d->want_input = most;
		return CUT_INPUT;
	}
	bzip2_scan(scan, in->data, in->len, base_bit);
	*unit = (struct decode_unit){ .source_len_bytes = in->len,
				      .image_len_bytes = UNIT_LEN_UNKNOWN };
	unit->facts[FACT_START] = scan->current.bit;
	unit->facts[FACT_KIND] = scan->current.kind;
	for (unsigned i = 0; i < scan->count && i < BZIP2_ENDS; i++) {
		if (scan->marks[i].bit - scan->current.bit > 8 * (uint64_t)BZIP2_BLOCK_MAX_BYTES)
			break;
		end_bit = unit->facts[FACT_ENDS + i] = scan->marks[i].bit;
	}
	unit->view_len_bytes =
		(size_t)min_u64(in->len, (end_bit - base_bit) / 8 + VIEW_SLACK_BYTES);
	if (scan->count) {
		unit->source_len_bytes = (size_t)(scan->marks[0].bit / 8 - d->source_offset);
		pop_mark(scan);
	} else if (!in->ended) {
		decoder_broken(d, d->source_offset, err, "a block without an end");
		return CUT_FAILED;
	} else {
		unit->view_len_bytes = in->len;
	}
	unit->facts[FACT_ENDED] = in->ended && unit->view_len_bytes == in->len;
	return CUT_UNIT;
}

/* --- a worker --- */

static void *keep_alloc(void *opaque, int items, int size)
{
	struct bzip2_decoder *b = opaque;
	size_t bytes = (size_t)items * (size_t)size;

	for (size_t i = 0; i < ARRAY_LEN(b->kept_memory); i++) {
		size_t *memory = b->kept_memory[i];

		/* The size stands in front of what libbz2 sees. */
		if (memory && *memory == bytes) {
			b->kept_memory[i] = NULL;
			return memory + 2;
		}
	}
	size_t *memory = malloc(bytes + 2 * sizeof(*memory));

	if (!memory)
		return NULL;
	*memory = bytes;
	return memory + 2;
}

static void keep_free(void *opaque, void *address)
{
	struct bzip2_decoder *b = opaque;
	size_t *memory = address;

	if (!memory)
		return;
	memory -= 2;
	for (size_t i = 0; i < ARRAY_LEN(b->kept_memory); i++) {
		if (b->kept_memory[i])
			continue;
		b->kept_memory[i] = memory;
		return;
	}
	free(memory);
}

void bzip2_memory_init(struct bzip2_decoder *b)
{
	b->bz = (bz_stream){ .bzalloc = keep_alloc, .bzfree = keep_free, .opaque = b };
}

void bzip2_memory_free(struct bzip2_decoder *b)
{
	for (size_t i = 0; i < ARRAY_LEN(b->kept_memory); i++)
		free(b->kept_memory[i]);
}

static void end_bz(struct bzip2_decoder *b)
{
	if (b->in_stream)
		BZ2_bzDecompressEnd(&b->bz);
	b->in_stream = false;
}

struct bit_writer {
	uint8_t *to;
	uint64_t bits; /* not yet a byte: the low `count` ones */
	unsigned count;
};

static void put_bits(struct bit_writer *w, uint32_t value, unsigned n)
{
	w->bits = w->bits << n | value;
	for (w->count += n; w->count >= 8; w->count -= 8)
		*w->to++ = (uint8_t)(w->bits >> (w->count - 8));
}

/* The block up to the end that is tried, as a whole stream. */
static bool build_stream(struct bzip2_unit *u)
{
	static const uint8_t header[] = { 'B', 'Z', 'h', '9' };
	uint64_t bits = u->ends[u->end] - u->start_bit;
	size_t room = (size_t)(bits / 8) + STREAM_EXTRA_BYTES, whole = (size_t)(bits / 8);
	unsigned shift = u->start_bit % 8, rest = bits % 8;
	struct bit_writer w;

	if (u->stream_room < room) {
		uint8_t *grown = realloc(u->stream, room);

		if (!grown)
			return false;
		u->stream = grown;
		u->stream_room = room;
	}
	memcpy(u->stream, header, sizeof(header));
	w = (struct bit_writer){ .to = u->stream + sizeof(header) };
	if (!shift)
		memcpy(w.to, u->in, whole);
	for (size_t i = 0; shift && i < whole; i++)
		w.to[i] = (uint8_t)(u->in[i] << shift | u->in[i + 1] >> (8 - shift));
	w.to += whole;
	if (rest)
		put_bits(&w, bzip2_bits(u->in, shift + 8 * (uint64_t)whole, rest), rest);
	put_bits(&w, 0x177245, 24);
	put_bits(&w, 0x385090, 24);
	put_bits(&w, u->block_crc >> 16, 16);
	put_bits(&w, u->block_crc & 0xFFFF, 16);
	put_bits(&w, 0, 7); /* the last byte is filled up */
	u->stream_len = (size_t)(w.to - u->stream);
	return true;
}

static bool repeats_zeros(const struct bzip2_unit *u)
{
	return u->zero_len && u->stream_len == u->zero_len &&
	       !memcmp(u->stream, u->zero_stream, u->zero_len);
}

/* False only without memory. */
static bool begin_try(struct bzip2_decoder *b)
{
	struct bzip2_unit *u = &b->unit;

	end_bz(b);
	if (!build_stream(u))
		return false;
	u->out_bytes = u->zeros_left = 0;
	u->all_zero = u->stream_len <= sizeof(u->zero_stream);
	if (repeats_zeros(u)) {
		u->zeros_left = u->zero_bytes;
		return true;
	}
	bzip2_memory_init(b);
	b->in_stream = BZ2_bzDecompressInit(&b->bz, 0, 0) == BZ_OK;
	b->bz.next_in = (char *)u->stream;
	b->bz.avail_in = (unsigned)u->stream_len;
	return b->in_stream;
}

bool bzip2_begin_unit(struct decoder *d, const uint8_t *in, const struct decode_unit *unit,
		      uint64_t source_offset, struct bmap_error *err)
{
	struct bzip2_decoder *b = (struct bzip2_decoder *)d;
	struct bzip2_unit *u = &b->unit;

	u->in = in;
	u->in_len = unit->view_len_bytes;
	u->in_ended = unit->facts[FACT_ENDED];
	u->start_bit = unit->facts[FACT_START];
	u->kind = (enum bzip2_kind)unit->facts[FACT_KIND];
	u->source_offset = source_offset;
	u->end = u->end_count = 0;
	if (u->kind != BZIP2_BLOCK)
		return true;
	for (unsigned i = 0; i < BZIP2_ENDS && unit->facts[FACT_ENDS + i]; i++)
		u->ends[u->end_count++] = unit->facts[FACT_ENDS + i];
	if (!u->end_count) {
		decoder_truncated(d, source_offset + u->in_len, err);
		return false;
	}
	u->block_crc = bzip2_bits(in, u->start_bit % 8 + BZIP2_MAGIC_BITS, BZIP2_CRC_BITS);
	if (!begin_try(b))
		return bmap_error_memory(err, d->limits.name);
	return true;
}

static bool all_zero(const uint8_t *data, size_t len)
{
	return len == 0 || (data[0] == 0 && !memcmp(data, data + 1, len - 1));
}

static void block_done(struct bzip2_unit *u)
{
	if (!u->all_zero || repeats_zeros(u))
		return;
	memcpy(u->zero_stream, u->stream, u->stream_len);
	u->zero_len = u->stream_len;
	u->zero_bytes = u->out_bytes;
}

static enum decode_status put_zeros(struct bzip2_unit *u, struct out_span *out)
{
	size_t n = (size_t)min_u64(out->room, u->zeros_left);

	memset(out->data, 0, n);
	out->data += n;
	out->room -= n;
	u->zeros_left -= n;
	return u->zeros_left ? DECODE_ROOM : DECODE_UNIT_END;
}

/* BZ_OK: the room is full. BZ_STREAM_END, or an error. */
static int decode_more(struct bzip2_decoder *b, struct out_span *out)
{
	unsigned room = (unsigned)min_u64(out->room, UINT32_MAX);
	struct bzip2_unit *u = &b->unit;
	int code;

	b->bz.next_out = (char *)out->data;
	b->bz.avail_out = room;
	code = BZ2_bzDecompress(&b->bz);
	room -= b->bz.avail_out;
	u->all_zero = u->all_zero && all_zero(out->data, room);
	u->out_bytes += room;
	out->data += room;
	out->room -= room;
	/* It wants more than the block, as it was cut, has. */
	return code == BZ_OK && b->bz.avail_out ? BZ_UNEXPECTED_EOF : code;
}

enum decode_status bzip2_step_unit(struct decoder *d, struct out_span *out, struct bmap_error *err)
{
	struct bzip2_decoder *b = (struct bzip2_decoder *)d;
	struct bzip2_unit *u = &b->unit;
	const struct out_span fresh = *out;
	uint64_t before = u->out_bytes;
	int code;

	if (u->kind != BZIP2_BLOCK)
		return DECODE_UNIT_END;
	for (;;) {
		if (u->zeros_left)
			return put_zeros(u, out);
		code = decode_more(b, out);
		if (code == BZ_OK)
			return DECODE_ROOM;
		if (code == BZ_STREAM_END) {
			block_done(u);
			end_bz(b);
			return DECODE_UNIT_END;
		}
		/* What was put out by an earlier call cannot be taken back. */
		if (code == BZ_MEM_ERROR || before || u->end + 1 == u->end_count)
			break;
		*out = fresh;
		u->end++;
		if (!begin_try(b)) {
			code = BZ_MEM_ERROR;
			break;
		}
	}
	if (code == BZ_MEM_ERROR)
		bmap_error_memory(err, d->limits.name);
	else
		decoder_broken(
			d, u->source_offset, err,
			"the block that begins here is corrupt, or its checksum does not match");
	return DECODE_FAILED;
}

void bzip2_unit_free(struct bzip2_decoder *b)
{
	end_bz(b);
	free(b->unit.stream);
	bzip2_memory_free(b);
}

/* --- turns --- */

bool bzip2_unit_wanted(struct decoder *splitter, const struct decode_unit *unit)
{
	struct bzip2_decoder *b = (struct bzip2_decoder *)splitter;

	return unit->facts[FACT_START] == b->chain.expected_bit;
}

/* Behind a stream's header, at that byte of the source, its first mark has to stand. */
static void expect_stream(struct bzip2_chain *chain, uint64_t header_offset)
{
	chain->expected_bit = 8 * (header_offset + BZIP2_STREAM_MAGIC_BYTES);
	chain->crc = 0;
}

static bool start_ended(struct bzip2_decoder *b, const struct bzip2_unit *u, struct bmap_error *err)
{
	if (u->in_len < BZIP2_STREAM_MAGIC_BYTES || !bzip2_stream_begins(u->in, u->in_len)) {
		decoder_broken(&b->base, 0, err, "no bzip2 stream begins here");
		return false;
	}
	expect_stream(&b->chain, 0);
	return true;
}

static bool stream_ended(struct bzip2_decoder *b, const struct bzip2_unit *u,
			 struct bmap_error *err)
{
	uint64_t crc_bit = u->start_bit % 8 + BZIP2_MAGIC_BITS;
	size_t behind = (size_t)div_round_up(crc_bit + BZIP2_CRC_BITS, 8);
	uint64_t offset = u->source_offset + behind;

	if (behind > u->in_len) {
		decoder_truncated(&b->base, u->source_offset + u->in_len, err);
		return false;
	}
	if (bzip2_bits(u->in, crc_bit, BZIP2_CRC_BITS) != b->chain.crc) {
		decoder_broken(&b->base, u->source_offset, err,
			       "the checksum of the stream that ends here does not match");
		return false;
	}
	if (behind == u->in_len && u->in_ended) {
		b->chain.complete = true;
		b->chain.expected_bit = UINT64_MAX;
		return true;
	}
	if (!bzip2_stream_begins(u->in + behind, u->in_len - behind)) {
		decoder_garbage(&b->base, offset, err);
		return false;
	}
	expect_stream(&b->chain, offset);
	return true;
}

bool bzip2_unit_ended(struct decoder *splitter, const struct decode_unit *unit,
		      struct decoder *worker, struct bmap_error *err)
{
	struct bzip2_decoder *b = (struct bzip2_decoder *)splitter;
	const struct bzip2_unit *u = &((struct bzip2_decoder *)worker)->unit;

	(void)unit;
	switch (u->kind) {
	case BZIP2_START:
		return start_ended(b, u, err);
	case BZIP2_END:
		return stream_ended(b, u, err);
	case BZIP2_BLOCK:
		break;
	}
	b->chain.crc = (b->chain.crc << 1 | b->chain.crc >> 31) ^ u->block_crc;
	b->chain.expected_bit = u->ends[u->end];
	return true;
}

bool bzip2_units_end(struct decoder *splitter, struct bmap_error *err)
{
	struct bzip2_decoder *b = (struct bzip2_decoder *)splitter;
	uint64_t expected = b->chain.expected_bit / 8, end = splitter->source_offset;

	if (b->chain.complete)
		return true;
	if (expected + BZIP2_MAGIC_BITS / 8 <= end)
		decoder_broken(splitter, expected, err,
			       "neither a block nor a stream's end is here");
	else
		decoder_truncated(splitter, end, err);
	return false;
}

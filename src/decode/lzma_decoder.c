/* SPDX-License-Identifier: MIT */
/* .lzma, the format before xz: one stream, no magic, no checksum. It is recognised by a header that
 * only makes sense as one, of the encoders' default properties: anything else that begins so would
 * have to be made for it.
 *
 * Serial, of any length: there is nothing to cut at. Memory: the dictionary, which the header says
 * (8 MiB for -6, 64 MiB for -9, up to 4 GiB), beside the ring, of which any will do; more than the
 * memory limit lets it have is refused with the option's name. Source: lzma-file-format.txt of XZ
 * Utils. */
#include "decode/decoder_internal.h"

#include <lzma.h>
#include <stdlib.h>

#define ROOM_WANTED_BYTES (64u * KIB)
#define HEADER_BYTES 13u
#define DEFAULT_PROPERTIES 0x5D /* lc = 3, lp = 0, pb = 2 */
#define SIZE_MAX_BYTES (1ull << 40)

struct lzma_decoder {
	struct decoder base;
	lzma_stream lzma;
	bool begun, ended;
};

static bool lzma_probe(const uint8_t *head, size_t len)
{
	uint32_t dictionary;
	uint64_t size;

	if (len <= HEADER_BYTES || head[0] != DEFAULT_PROPERTIES)
		return false;
	dictionary = load_le32(head + 1);
	size = load_le64(head + 5);
	/* A power of two, or three quarters of one. */
	if (dictionary < 4096 || (dictionary & (dictionary - 1) && dictionary % 3))
		return false;
	if (dictionary % 3 == 0 && (dictionary / 3 & (dictionary / 3 - 1)))
		return false;
	/* The range coder's first byte is always 0. */
	return (size == UINT64_MAX || size < SIZE_MAX_BYTES) && head[HEADER_BYTES] == 0;
}

static bool lzma_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		      struct bmap_error *err)
{
	*plan = (struct decoder_plan){ 0 };
	return lzma_probe(head, len) ||
	       bmap_error_data(err, 0, "broken lzma data at offset 0: no lzma stream begins here");
}

static enum decode_status lzma_failed(struct lzma_decoder *l, lzma_ret code,
				      const struct in_span *in, struct bmap_error *err)
{
	struct decoder *d = &l->base;

	switch (code) {
	case LZMA_BUF_ERROR: /* no progress although there is room */
		return decoder_truncated(d, d->source_offset + in->len, err);
	case LZMA_MEMLIMIT_ERROR:
		return decoder_over_memory(d, d->source_offset, "needs memory for a dictionary",
					   lzma_memusage(&l->lzma), err);
	case LZMA_MEM_ERROR:
		bmap_error_memory(err, d->limits.name);
		return DECODE_FAILED;
	default:
		return decoder_broken(d, d->source_offset, err, "corrupt");
	}
}

static enum decode_status lzma_step(struct decoder *d, struct in_span *in, struct out_span *out,
				    struct bmap_error *err)
{
	struct lzma_decoder *l = (struct lzma_decoder *)d;

	d->want_input = 0;
	while (!l->ended) {
		size_t room = out->room;
		lzma_ret code;

		if (room < d->want_room)
			return DECODE_ROOM;
		if (in->len == 0 && !in->ended)
			return DECODE_INPUT;
		if (!l->begun &&
		    lzma_alone_decoder(&l->lzma, max_u64(1, d->limits.memory_bytes)) != LZMA_OK)
			return lzma_failed(l, LZMA_MEM_ERROR, in, err);
		l->begun = true;
		l->lzma.next_in = in->data;
		l->lzma.avail_in = in->len;
		l->lzma.next_out = out->data;
		l->lzma.avail_out = room;
		code = lzma_code(&l->lzma, in->ended ? LZMA_FINISH : LZMA_RUN);
		decoder_consume(d, in, in->len - l->lzma.avail_in);
		decoder_emit(d, out, room - l->lzma.avail_out);
		l->ended = code == LZMA_STREAM_END;
		if (code != LZMA_OK && !l->ended && (code != LZMA_BUF_ERROR || in->ended))
			return lzma_failed(l, code, in, err);
	}
	if (in->len)
		return decoder_garbage(d, d->source_offset, err);
	return in->ended ? DECODE_END : DECODE_INPUT;
}

static struct decoder *lzma_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	struct lzma_decoder *l = calloc(1, sizeof(*l));
	lzma_stream fresh = LZMA_STREAM_INIT;

	if (!l) {
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	l->lzma = fresh;
	l->base = (struct decoder){ .ops = &lzma_decoder, .limits = *limits };
	l->base.want_room = (size_t)max_u64(1, min_u64(ROOM_WANTED_BYTES, limits->room_max_bytes));
	return &l->base;
}

static void lzma_close(struct decoder *d)
{
	struct lzma_decoder *l = (struct lzma_decoder *)d;

	if (!l)
		return;
	lzma_end(&l->lzma);
	free(l);
}

static const char *const lzma_suffixes[] = { ".lzma", NULL };

const struct decoder_ops lzma_decoder = {
	.name = "lzma",
	.suffixes = lzma_suffixes,
	.probe = lzma_probe,
	.plan = lzma_plan,
	.open = lzma_open,
	.step = lzma_step,
	.close = lzma_close,
};

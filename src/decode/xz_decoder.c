/* SPDX-License-Identifier: MIT */
/* xz, serial: any number of streams with padding between and behind is one image. */
#include "decode/decoder_internal.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>

/* liblzma copies out of its dictionary whatever the room; small pieces only cost calls. */
#define ROOM_WANTED_BYTES (64u * KIB)
#define XZ_MAGIC_BYTES 6u

static const uint8_t XZ_MAGIC[XZ_MAGIC_BYTES] = { 0xFD, '7', 'z', 'X', 'Z', 0 };

enum xz_phase {
	XZ_BETWEEN, /* before a stream, in padding, or at the source's end */
	XZ_STREAM,
};

struct xz_decoder {
	struct decoder base;
	lzma_stream lzma;
	enum xz_phase phase;
	bool seen_stream;
	uint64_t padding_bytes; /* since the last stream */
};

static enum decode_status step_between(struct xz_decoder *x, struct in_span *in,
				       struct bmap_error *err);
static enum decode_status step_stream(struct xz_decoder *x, struct in_span *in,
				      struct out_span *out, struct bmap_error *err);

static enum decode_status xz_step(struct decoder *d, struct in_span *in, struct out_span *out,
				  struct bmap_error *err)
{
	struct xz_decoder *x = (struct xz_decoder *)d;
	enum decode_status status;

	d->want_input = 0;
	do {
		if (x->phase == XZ_BETWEEN)
			status = step_between(x, in, err);
		else
			status = step_stream(x, in, out, err);
	} while (status == DECODE_UNIT_END);
	return status;
}

/* DECODE_UNIT_END: a stream begins. (liblzma would do this too, but call garbage corrupt.) */
static enum decode_status step_between(struct xz_decoder *x, struct in_span *in,
				       struct bmap_error *err)
{
	struct decoder *d = &x->base;
	lzma_ret code;
	size_t zeros = 0;

	while (x->seen_stream && zeros < in->len && in->data[zeros] == 0)
		zeros++;
	decoder_consume(d, in, zeros);
	x->padding_bytes += zeros;
	if (in->len == 0 && !in->ended) {
		d->want_input = 0;
		return DECODE_INPUT;
	}
	if (in->len && x->seen_stream && in->data[0] != XZ_MAGIC[0])
		return decoder_garbage(d, d->source_offset, err);
	if (x->padding_bytes % 4) /* the file format's section 2.2 */
		return decoder_broken(d, d->source_offset, err,
				      "stream padding that is no multiple of 4 bytes");
	if (in->len == 0)
		return x->seen_stream ? DECODE_END : decoder_truncated(d, d->source_offset, err);
	code = lzma_stream_decoder(&x->lzma, max_u64(1, d->limits.memory_bytes),
				   LZMA_TELL_UNSUPPORTED_CHECK);
	if (code != LZMA_OK) {
		bmap_error_memory(err, d->limits.name);
		return DECODE_FAILED;
	}
	x->phase = XZ_STREAM;
	return DECODE_UNIT_END;
}

static enum decode_status xz_failed(struct xz_decoder *x, lzma_ret code, const struct in_span *in,
				    struct bmap_error *err)
{
	struct decoder *d = &x->base;

	switch (code) {
	case LZMA_BUF_ERROR: /* no progress although there is room */
		return decoder_truncated(d, d->source_offset + in->len, err);
	case LZMA_MEMLIMIT_ERROR:
		return decoder_over_memory(d, d->source_offset, "needs memory for a dictionary",
					   lzma_memusage(&x->lzma), err);
	case LZMA_MEM_ERROR:
		bmap_error_memory(err, d->limits.name);
		return DECODE_FAILED;
	case LZMA_FORMAT_ERROR:
		return decoder_broken(d, d->source_offset, err, "no xz stream begins here");
	case LZMA_OPTIONS_ERROR:
		return decoder_broken(d, d->source_offset, err,
				      "options or filters this build does not know");
	case LZMA_UNSUPPORTED_CHECK:
		return decoder_broken(d, d->source_offset, err,
				      "an integrity check this build does not know");
	default:
		return decoder_broken(d, d->source_offset, err,
				      "corrupt, or an integrity check does not match");
	}
}

/* DECODE_UNIT_END: the stream is complete. */
static enum decode_status step_stream(struct xz_decoder *x, struct in_span *in,
				      struct out_span *out, struct bmap_error *err)
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
			x->phase = XZ_BETWEEN;
			x->seen_stream = true;
			x->padding_bytes = 0;
			return DECODE_UNIT_END;
		}
		/* Where no more comes it is called until it says that it cannot go on. */
		if (code != LZMA_OK && (code != LZMA_BUF_ERROR || in->ended))
			return xz_failed(x, code, in, err);
		if (in->len == 0 && !in->ended)
			return out->room ? DECODE_INPUT : DECODE_ROOM;
	}
}

static bool xz_probe(const uint8_t *head, size_t len)
{
	return len >= XZ_MAGIC_BYTES && !memcmp(head, XZ_MAGIC, XZ_MAGIC_BYTES);
}

static bool xz_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		    struct bmap_error *err)
{
	*plan = (struct decoder_plan){ 0 };
	if (!xz_probe(head, len))
		return bmap_error_data(err, 0,
				       "broken xz data at offset 0: no xz stream begins here");
	return true;
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
	free(x);
}

static const char *const xz_suffixes[] = { ".xz", NULL };

const struct decoder_ops xz_decoder = {
	.name = "xz",
	.suffixes = xz_suffixes,
	.probe = xz_probe,
	.plan = xz_plan,
	.open = xz_open,
	.step = xz_step,
	.close = xz_close,
};

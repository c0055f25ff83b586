/* SPDX-License-Identifier: MIT */
/* Members, RFC 1952: any number of them is one image; zeros may follow the last (tapes and
 * padded downloads), nothing else. CRC-32 and length of each are always checked: they cost little
 * beside inflating.
 *
 * Serial, whatever the length: nothing in a deflate stream says where one could begin in its
 * middle. Memory: the inflater's window and tables, 86 KiB with ISA-L, 40 KiB with zlib; any ring
 * has the room for one call. Members that say their length are units: gzip_bgzf.c. */
#include "decode/gzip_internal.h"

#include <stdlib.h>
#include <string.h>

/* Both libraries copy 32 KiB of history for each call: give them room that is worth it. */
#define ROOM_WANTED_BYTES (256u * KIB)
/* And not so much that the CRC finds the bytes out of the cache. */
#define ROOM_USED_BYTES (1024u * KIB)

#define FIXED_HEADER_BYTES 10u
#define FLAG_HEADER_CRC 0x02u
#define FLAG_EXTRA 0x04u
#define FLAG_NAME 0x08u
#define FLAG_COMMENT 0x10u
#define FLAGS_RESERVED 0xE0u
#define METHOD_DEFLATE 8u

enum gzip_phase { /* in this order, those without their flag being passed */
		  GZIP_FIXED, /* the header's first 10 bytes; here a source may end */
		  GZIP_EXTRA_LEN,
		  GZIP_EXTRA,
		  GZIP_NAME,
		  GZIP_COMMENT,
		  GZIP_HEADER_CRC,
		  GZIP_BODY,
		  GZIP_TRAILER, /* then GZIP_FIXED again */
		  GZIP_PADDING, /* from a zero in GZIP_FIXED: zeros to the end */
};

struct gzip_decoder {
	struct decoder base;
	const struct inflate_ops *inflate;
	void *state;
	enum gzip_phase phase;
	uint8_t field[FIXED_HEADER_BYTES]; /* of the current phase, as far as seen */
	size_t field_len;
	size_t extra_left_bytes;
	uint8_t flags;
	uint32_t header_crc;
	uint32_t crc; /* of the member's image bytes */
	uint32_t len; /* their number, modulo 2^32 */
	bool seen_member;
	uint8_t *scratch; /* units only */
};

static const char *phase_run(struct gzip_decoder *g, struct in_span *in, bool *complete);
static enum decode_status step_body(struct gzip_decoder *g, struct in_span *in,
				    struct out_span *out, struct bmap_error *err);
static enum decode_status step_end(struct gzip_decoder *g, const struct in_span *in,
				   struct bmap_error *err);

static bool at_member_start(const struct gzip_decoder *g)
{
	return g->phase == GZIP_FIXED && g->field_len == 0 && g->seen_member;
}

enum decode_status gzip_step(struct decoder *d, struct in_span *in, struct out_span *out,
			     struct bmap_error *err)
{
	struct gzip_decoder *g = (struct gzip_decoder *)d;

	d->want_input = 0;
	for (;;) {
		const char *reason;
		bool complete = false;

		if (g->phase == GZIP_BODY) {
			enum decode_status status = step_body(g, in, out, err);

			if (status != DECODE_UNIT_END)
				return status;
			continue;
		}
		if (at_member_start(g) && in->len) {
			if (in->data[0] == 0)
				g->phase = GZIP_PADDING;
			else if (in->data[0] != 0x1F)
				return decoder_garbage(d, d->source_offset, err);
		}
		reason = phase_run(g, in, &complete);
		if (reason)
			return g->phase == GZIP_PADDING
				       ? decoder_garbage(d, d->source_offset, err)
				       : decoder_broken(d, d->source_offset, err, "%s", reason);
		if (!complete)
			return step_end(g, in, err);
	}
}

/* All input was used, outside of a body. */
static enum decode_status step_end(struct gzip_decoder *g, const struct in_span *in,
				   struct bmap_error *err)
{
	if (in->ended && (at_member_start(g) || g->phase == GZIP_PADDING))
		return DECODE_END;
	return decoder_want_input(&g->base, in, 0, err);
}

static void phase_begin(struct gzip_decoder *g, enum gzip_phase phase)
{
	g->phase = phase;
	g->field_len = 0;
	if (phase == GZIP_BODY) {
		g->inflate->reset(g->state);
		g->crc = 0;
		g->len = 0;
	}
}

static void header_consume(struct gzip_decoder *g, struct in_span *in, size_t len)
{
	g->header_crc = g->inflate->crc32(g->header_crc, in->data, len);
	decoder_consume(&g->base, in, len);
}

/* Gathers a field of len bytes over any number of steps. */
static bool field_take(struct gzip_decoder *g, struct in_span *in, size_t len)
{
	size_t n = (size_t)min_u64(len - g->field_len, in->len);

	memcpy(g->field + g->field_len, in->data, n);
	g->field_len += n;
	if (g->phase < GZIP_HEADER_CRC)
		header_consume(g, in, n);
	else
		decoder_consume(&g->base, in, n);
	return g->field_len == len;
}

static const char *check_fixed(struct gzip_decoder *g)
{
	if (g->field[0] != 0x1F || g->field[1] != 0x8B)
		return g->seen_member ? "neither a member nor zeros follow the last member"
				      : "no gzip member begins here";
	if (g->field[2] != METHOD_DEFLATE)
		return "a compression method other than deflate";
	if (g->field[3] & FLAGS_RESERVED)
		return "reserved flags of the member header are set";
	g->flags = g->field[3];
	return NULL;
}

static const char *check_trailer(struct gzip_decoder *g)
{
	if (load_le32(g->field) != g->crc)
		return "the CRC-32 of the member does not match";
	if (load_le32(g->field + 4) != g->len)
		return "the length of the member does not match";
	g->seen_member = true;
	return NULL;
}

/* True behind the terminating zero. */
static bool string_pass(struct gzip_decoder *g, struct in_span *in)
{
	const uint8_t *end = in->len ? memchr(in->data, 0, in->len) : NULL;

	header_consume(g, in, end ? (size_t)(end - in->data) + 1 : in->len);
	return end;
}

static bool padding_pass(struct gzip_decoder *g, struct in_span *in)
{
	size_t n = 0;

	while (n < in->len && in->data[n] == 0)
		n++;
	decoder_consume(&g->base, in, n);
	return in->len == 0;
}

/* Runs the current phase (not BODY) and goes to the next one when it is complete; false in
 * *complete: needs more input. Returns what is wrong, or NULL. */
static const char *phase_run(struct gzip_decoder *g, struct in_span *in, bool *complete)
{
	const char *reason;
	size_t n;

	switch (g->phase) {
	case GZIP_FIXED:
		if (g->field_len == 0)
			g->header_crc = 0;
		if (!field_take(g, in, FIXED_HEADER_BYTES))
			return NULL;
		reason = check_fixed(g);
		if (reason)
			return reason;
		break;
	case GZIP_EXTRA_LEN:
		if (g->flags & FLAG_EXTRA) {
			if (!field_take(g, in, 2))
				return NULL;
			g->extra_left_bytes = load_le16(g->field);
		}
		break;
	case GZIP_EXTRA:
		n = (size_t)min_u64(g->extra_left_bytes, in->len);
		header_consume(g, in, n);
		g->extra_left_bytes -= n;
		if (g->extra_left_bytes)
			return NULL;
		break;
	case GZIP_NAME:
		if ((g->flags & FLAG_NAME) && !string_pass(g, in))
			return NULL;
		break;
	case GZIP_COMMENT:
		if ((g->flags & FLAG_COMMENT) && !string_pass(g, in))
			return NULL;
		break;
	case GZIP_HEADER_CRC:
		if (g->flags & FLAG_HEADER_CRC) {
			if (!field_take(g, in, 2))
				return NULL;
			if (load_le16(g->field) != (g->header_crc & 0xFFFF))
				return "the CRC of the member header does not match";
		}
		break;
	case GZIP_TRAILER:
		if (!field_take(g, in, GZIP_TRAILER_BYTES))
			return NULL;
		reason = check_trailer(g);
		if (reason)
			return reason;
		break;
	case GZIP_PADDING:
		return padding_pass(g, in) ? NULL : "bytes behind the padding";
	case GZIP_BODY:
		abort();
	}
	phase_begin(g, g->phase == GZIP_TRAILER ? GZIP_FIXED : g->phase + 1);
	*complete = true;
	return NULL;
}

/* DECODE_UNIT_END: the trailer is next. */
static enum decode_status step_body(struct gzip_decoder *g, struct in_span *in,
				    struct out_span *out, struct bmap_error *err)
{
	struct decoder *d = &g->base;

	for (;;) {
		struct in_span source = *in;
		struct out_span image = { out->data, min_u64(out->room, ROOM_USED_BYTES) };
		const char *reason = NULL;
		enum inflate_status status;
		size_t got;

		if (out->room < d->want_room)
			return DECODE_ROOM;
		status = g->inflate->run(g->state, &source, &image, &reason);
		got = (size_t)(image.data - out->data);
		g->crc = g->inflate->crc32(g->crc, out->data, got);
		g->len += (uint32_t)got;
		decoder_consume(d, in, in->len - source.len);
		decoder_emit(d, out, got);
		switch (status) {
		case INFLATE_INPUT:
			return decoder_want_input(d, in, 0, err);
		case INFLATE_ROOM:
			break;
		case INFLATE_BROKEN:
			return decoder_broken(d, d->source_offset, err, "%s", reason);
		case INFLATE_DONE:
			phase_begin(g, GZIP_TRAILER);
			g->field_len = g->inflate->surplus(g->state, g->field);
			return DECODE_UNIT_END;
		}
	}
}

bool gzip_seen_member(const struct decoder *d)
{
	return ((const struct gzip_decoder *)d)->seen_member;
}

void gzip_set_seen_member(struct decoder *d)
{
	((struct gzip_decoder *)d)->seen_member = true;
}

void gzip_begin_member(struct decoder *d, uint64_t source_offset)
{
	struct gzip_decoder *g = (struct gzip_decoder *)d;

	phase_begin(g, GZIP_FIXED);
	g->seen_member = false;
	d->source_offset = source_offset;
	d->want_room = 1;
}

uint8_t *gzip_scratch(struct decoder *d, size_t len)
{
	struct gzip_decoder *g = (struct gzip_decoder *)d;

	if (!g->scratch)
		g->scratch = malloc(len);
	return g->scratch;
}

bool gzip_probe(const uint8_t *head, size_t len)
{
	return len >= 3 && head[0] == 0x1F && head[1] == 0x8B && head[2] == METHOD_DEFLATE;
}

bool gzip_plan(const uint8_t *head, size_t len, struct decoder_plan *plan, struct bmap_error *err)
{
	*plan = (struct decoder_plan){ .unit_bytes =
					       gzip_is_bgzf(head, len) ? GZIP_UNIT_BYTES : 0 };
	if (!gzip_probe(head, len))
		return bmap_error_data(err, 0,
				       "broken gzip data at offset 0: no gzip member "
				       "begins here");
	if (len > 3 && (head[3] & FLAGS_RESERVED))
		return bmap_error_data(err, 3,
				       "broken gzip data at offset 3: reserved flags of "
				       "the member header are set");
	return true;
}

struct decoder *gzip_open(const struct decoder_ops *ops, const struct inflate_ops *inflate,
			  const struct decoder_limits *limits, struct bmap_error *err)
{
	struct gzip_decoder *g = calloc(1, sizeof(*g));

	if (!g || !(g->state = inflate->open())) {
		free(g);
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	g->inflate = inflate;
	g->base = (struct decoder){ .ops = ops, .limits = *limits };
	g->base.want_room = (size_t)max_u64(1, min_u64(ROOM_WANTED_BYTES, limits->room_max_bytes));
	return &g->base;
}

void gzip_close(struct decoder *d)
{
	struct gzip_decoder *g = (struct gzip_decoder *)d;

	if (!g)
		return;
	g->inflate->close(g->state);
	free(g->scratch);
	free(g);
}

const char *const gzip_suffixes[] = { ".gz", ".gzip", ".tgz", NULL };

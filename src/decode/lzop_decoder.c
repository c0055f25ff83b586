/* SPDX-License-Identifier: MIT */
/* lzop: any number of files behind each other is one image. Blocks (256 KiB as lzop writes them)
 * are independent and have both their sizes before them: cut() adds them up to units of 1 MiB;
 * headers and end marks are units without image bytes. All checksums are always checked.
 *
 * Memory: a unit's image bytes in the ring and its compressed bytes for each worker; a larger block
 * is a unit of its own while it fits the read-ahead and half the ring. One that does not (64 MiB
 * at most) is gathered or decoded in memory of its own, by step(), both together 128 MiB at most,
 * and refused if the memory limit does not let it. */
#include "decode/lzop_internal.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define UNIT_BYTES MIB
#define EXTRA_LEN_BYTES 4u
#define CHECKSUM_BYTES 4u

enum lzop_phase {
	LZOP_BETWEEN, /* at a header's first byte or the source's end */
	LZOP_EXTRA_LEN, /* the header's extra field, which nobody writes */
	LZOP_EXTRA,
	LZOP_EXTRA_CHECKSUM,
	LZOP_IN_FILE, /* where a block begins, or the file ends */
	LZOP_GATHERING, /* in a block that the input is too small for */
	LZOP_FLUSHING, /* a block that the room is too small for */
};

/* cut() goes on where it stopped when it comes back with more input. */
struct lzop_walk {
	uint64_t start; /* source_offset that the rest belongs to */
	size_t pos, image_len;
};

struct lzop_decoder {
	struct decoder base;
	enum lzop_phase phase;
	struct lzop_header file; /* current */
	bool seen_file;
	uint64_t extra_left_bytes;
	uint32_t extra_checksum;
	struct lzop_block block;
	uint8_t *gathered; /* a block with its header */
	size_t gathered_room, gathered_len;
	uint8_t *spill; /* its image bytes */
	size_t spill_room, spill_begin;
	struct lzop_walk walk;
};

static enum decode_status step_between(struct lzop_decoder *z, struct in_span *in,
				       struct bmap_error *err);
static enum decode_status step_extra(struct lzop_decoder *z, struct in_span *in,
				     struct bmap_error *err);
static enum decode_status step_in_file(struct lzop_decoder *z, struct in_span *in,
				       struct out_span *out, struct bmap_error *err);
static enum decode_status step_gathering(struct lzop_decoder *z, struct in_span *in,
					 struct out_span *out, struct bmap_error *err);
static enum decode_status step_flushing(struct lzop_decoder *z, struct out_span *out);

/* BETWEEN -> (EXTRA_LEN -> EXTRA -> EXTRA_CHECKSUM) -> IN_FILE -> (GATHERING, FLUSHING) -> IN_FILE
 * ... -> BETWEEN. Wherever a block may begin or a file has ended, the caller may cut. */
static enum decode_status lzop_step(struct decoder *d, struct in_span *in, struct out_span *out,
				    struct bmap_error *err)
{
	struct lzop_decoder *z = (struct lzop_decoder *)d;
	enum decode_status status = DECODE_FAILED;

	d->want_input = 0;
	do {
		switch (z->phase) {
		case LZOP_BETWEEN:
			status = step_between(z, in, err);
			break;
		case LZOP_EXTRA_LEN:
		case LZOP_EXTRA:
		case LZOP_EXTRA_CHECKSUM:
			status = step_extra(z, in, err);
			break;
		case LZOP_IN_FILE:
			status = step_in_file(z, in, out, err);
			break;
		case LZOP_GATHERING:
			status = step_gathering(z, in, out, err);
			break;
		case LZOP_FLUSHING:
			status = step_flushing(z, out);
			break;
		}
	} while (status == DECODE_UNIT_END && z->phase != LZOP_IN_FILE && z->phase != LZOP_BETWEEN);
	return status;
}

static enum decode_status header_failed(const struct lzop_decoder *z, enum lzop_status status,
					const char *reason, struct bmap_error *err)
{
	uint64_t offset = z->base.source_offset;

	if (status == LZOP_REFUSED)
		return decoder_broken(&z->base, offset, err, "%s", reason);
	if (z->seen_file)
		return decoder_garbage(&z->base, offset, err);
	return decoder_broken(&z->base, offset, err, "no lzop header begins here");
}

static void file_begin(struct lzop_decoder *z, const struct lzop_header *header)
{
	z->file = *header;
	z->seen_file = true;
	z->phase = header->extra ? LZOP_EXTRA_LEN : LZOP_IN_FILE;
}

static enum decode_status step_between(struct lzop_decoder *z, struct in_span *in,
				       struct bmap_error *err)
{
	struct decoder *d = &z->base;
	struct lzop_header header;
	const char *reason = NULL;
	enum lzop_status status;
	size_t need = 0;

	if (in->len == 0 && in->ended && z->seen_file)
		return DECODE_END;
	status = lzop_header_parse(in->data, in->len, &header, &need, &reason);
	if (status == LZOP_MORE)
		return decoder_want_input(d, in, need, err);
	if (status != LZOP_OK)
		return header_failed(z, status, reason, err);
	decoder_consume(d, in, header.header_bytes);
	file_begin(z, &header);
	return DECODE_UNIT_END;
}

static void extra_consume(struct lzop_decoder *z, struct in_span *in, size_t len)
{
	z->extra_checksum = (uint32_t)(z->file.crc ? crc32_z(z->extra_checksum, in->data, len)
						   : adler32_z(z->extra_checksum, in->data, len));
	decoder_consume(&z->base, in, len);
}

static enum decode_status step_extra(struct lzop_decoder *z, struct in_span *in,
				     struct bmap_error *err)
{
	struct decoder *d = &z->base;
	size_t len = (size_t)min_u64(in->len, z->extra_left_bytes);

	switch (z->phase) {
	case LZOP_EXTRA_LEN: /* is covered by the checksum too */
		if (in->len < EXTRA_LEN_BYTES)
			return decoder_want_input(d, in, EXTRA_LEN_BYTES, err);
		z->extra_left_bytes = load_be32(in->data);
		z->extra_checksum = z->file.crc ? 0 : 1;
		extra_consume(z, in, EXTRA_LEN_BYTES);
		z->phase = LZOP_EXTRA;
		return DECODE_UNIT_END;
	case LZOP_EXTRA:
		extra_consume(z, in, len);
		z->extra_left_bytes -= len;
		if (z->extra_left_bytes)
			return decoder_want_input(d, in, 0, err);
		z->phase = LZOP_EXTRA_CHECKSUM;
		return DECODE_UNIT_END;
	default:
		if (in->len < CHECKSUM_BYTES)
			return decoder_want_input(d, in, CHECKSUM_BYTES, err);
		if (load_be32(in->data) != z->extra_checksum)
			return decoder_broken(d, d->source_offset, err,
					      "the checksum of the extra field does not match");
		decoder_consume(d, in, CHECKSUM_BYTES);
		z->phase = LZOP_IN_FILE;
		return DECODE_UNIT_END;
	}
}

static size_t block_source_bytes(const struct lzop_block *block)
{
	return block->header_bytes + block->data_bytes;
}

/* Decodes the block at `at` into the room, or here if that can never be enough. */
static enum decode_status block_put(struct lzop_decoder *z, const uint8_t *at, uint64_t offset,
				    struct out_span *out, struct bmap_error *err)
{
	struct decoder *d = &z->base;
	size_t len = z->block.image_bytes;
	bool direct = len <= d->limits.room_max_bytes;
	const char *reason;

	d->want_room = direct ? len : 1;
	if (direct && out->room < len)
		return DECODE_ROOM;
	if (!direct &&
	    !decoder_own_memory(d, &z->spill, &z->spill_room, len, z->gathered_room, err))
		return DECODE_FAILED;
	reason = lzop_block_decode(&z->block, at, direct ? out->data : z->spill);
	if (reason)
		return decoder_broken(d, offset, err, "%s", reason);
	if (direct)
		decoder_emit(d, out, len);
	z->spill_begin = 0;
	z->phase = direct ? LZOP_IN_FILE : LZOP_FLUSHING;
	return DECODE_UNIT_END;
}

static enum decode_status step_in_file(struct lzop_decoder *z, struct in_span *in,
				       struct out_span *out, struct bmap_error *err)
{
	struct decoder *d = &z->base;
	const char *reason = NULL;
	enum decode_status status;
	size_t need = 0;

	switch (lzop_block_parse(in->data, in->len, z->file.flags, &z->block, &need, &reason)) {
	case LZOP_OK:
		break;
	case LZOP_END:
		decoder_consume(d, in, LZOP_END_BYTES);
		z->phase = LZOP_BETWEEN;
		return DECODE_UNIT_END;
	case LZOP_MORE:
		return decoder_want_input(d, in, need, err);
	default:
		return decoder_broken(d, d->source_offset, err, "%s", reason);
	}
	need = block_source_bytes(&z->block);
	if (need > d->limits.input_max_bytes) {
		if (!decoder_own_memory(d, &z->gathered, &z->gathered_room, need, z->spill_room,
					err))
			return DECODE_FAILED;
		z->gathered_len = 0;
		z->phase = LZOP_GATHERING;
		return DECODE_UNIT_END;
	}
	if (in->len < need)
		return decoder_want_input(d, in, need, err);
	status = block_put(z, in->data, d->source_offset, out, err);
	if (status == DECODE_UNIT_END)
		decoder_consume(d, in, need);
	return status;
}

static enum decode_status step_gathering(struct lzop_decoder *z, struct in_span *in,
					 struct out_span *out, struct bmap_error *err)
{
	size_t all = block_source_bytes(&z->block);
	size_t len = (size_t)min_u64(in->len, all - z->gathered_len);

	memcpy(z->gathered + z->gathered_len, in->data, len);
	z->gathered_len += len;
	decoder_consume(&z->base, in, len);
	if (z->gathered_len < all)
		return decoder_want_rest(&z->base, in, all - z->gathered_len, err);
	return block_put(z, z->gathered, z->base.source_offset - all, out, err);
}

static enum decode_status step_flushing(struct lzop_decoder *z, struct out_span *out)
{
	size_t len = (size_t)min_u64(out->room, z->block.image_bytes - z->spill_begin);

	memcpy(out->data, z->spill + z->spill_begin, len);
	decoder_emit(&z->base, out, len);
	z->spill_begin += len;
	z->base.want_room = decoder_flush_room(&z->base, z->block.image_bytes - z->spill_begin);
	if (z->spill_begin < z->block.image_bytes)
		return DECODE_ROOM;
	z->phase = LZOP_IN_FILE;
	return DECODE_UNIT_END;
}

/* --- units --- */

static enum cut_status cut_needs(struct lzop_decoder *z, const struct in_span *in, size_t len,
				 struct bmap_error *err)
{
	if (len > z->base.limits.input_max_bytes)
		return CUT_SERIAL;
	if (in->ended) {
		decoder_truncated(&z->base, z->base.source_offset + in->len, err);
		return CUT_FAILED;
	}
	z->base.want_input = len;
	return CUT_INPUT;
}

static enum cut_status cut_between(struct lzop_decoder *z, const struct in_span *in,
				   struct decode_unit *unit, struct bmap_error *err)
{
	struct lzop_header header;
	const char *reason = NULL;
	enum lzop_status status;
	size_t need = 0;

	if (in->len == 0 && in->ended)
		return z->seen_file ? CUT_END : CUT_SERIAL;
	status = lzop_header_parse(in->data, in->len, &header, &need, &reason);
	if (status == LZOP_MORE)
		return cut_needs(z, in, need, err);
	if (status != LZOP_OK) {
		header_failed(z, status, reason, err);
		return CUT_FAILED;
	}
	file_begin(z, &header);
	*unit = (struct decode_unit){ .source_len_bytes = header.header_bytes };
	return CUT_UNIT;
}

/* Adds the next block to the walk. CUT_UNIT: done; CUT_END: it would be too much, or the file ends
 * here; CUT_SERIAL: it is too large for a unit. */
static enum cut_status walk_block(struct lzop_decoder *z, const struct in_span *in,
				  struct bmap_error *err)
{
	struct lzop_walk *walk = &z->walk;
	size_t most = (size_t)min_u64(z->base.limits.room_max_bytes,
				      walk->image_len ? UNIT_BYTES : LZOP_BLOCK_MAX_BYTES);
	const char *reason = NULL;
	struct lzop_block block;
	size_t need = 0;

	switch (lzop_block_parse(in->data + walk->pos, in->len - walk->pos, z->file.flags, &block,
				 &need, &reason)) {
	case LZOP_OK:
		break;
	case LZOP_END:
		return CUT_END;
	case LZOP_MORE:
		return cut_needs(z, in, walk->pos + need, err);
	default:
		decoder_broken(&z->base, walk->start + walk->pos, err, "%s", reason);
		return CUT_FAILED;
	}
	if (walk->image_len + block.image_bytes > most)
		return walk->image_len ? CUT_END : CUT_SERIAL;
	need = walk->pos + block_source_bytes(&block);
	if (need > in->len)
		return cut_needs(z, in, need, err);
	walk->pos = need;
	walk->image_len += block.image_bytes;
	return CUT_UNIT;
}

static enum cut_status lzop_cut(struct decoder *d, const struct in_span *in,
				struct decode_unit *unit, struct bmap_error *err)
{
	struct lzop_decoder *z = (struct lzop_decoder *)d;
	struct lzop_walk *walk = &z->walk;
	enum cut_status status;

	d->want_input = 0;
	if (z->phase == LZOP_BETWEEN)
		return cut_between(z, in, unit, err);
	if (z->phase != LZOP_IN_FILE)
		return CUT_SERIAL;
	if (walk->start != d->source_offset)
		*walk = (struct lzop_walk){ .start = d->source_offset };
	do {
		status = walk_block(z, in, err);
	} while (status == CUT_UNIT && walk->image_len < UNIT_BYTES);
	if (status == CUT_FAILED)
		d->image_offset += walk->image_len;
	if (status == CUT_INPUT || status == CUT_FAILED || (status == CUT_SERIAL && !walk->pos))
		return status;
	*unit = (struct decode_unit){
		.source_len_bytes = walk->pos,
		.image_len_bytes = walk->image_len,
		.context = z->file.flags & LZOP_CHECKSUMS,
	};
	if (!walk->pos) { /* the end mark */
		unit->source_len_bytes = LZOP_END_BYTES;
		z->phase = LZOP_BETWEEN;
	}
	*walk = (struct lzop_walk){ .start = UINT64_MAX };
	return CUT_UNIT;
}

static bool lzop_unit(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
		      uint64_t source_offset, struct bmap_error *err)
{
	size_t pos = 0, done = 0;

	while (done < len) { /* cut() has added up the same sizes: it ends with the input */
		const char *reason = NULL;
		struct lzop_block block;
		size_t need;

		lzop_block_parse(in + pos, in_len - pos, (uint32_t)d->unit_context, &block, &need,
				 &reason);
		reason = lzop_block_decode(&block, in + pos, out + done);
		if (reason) {
			d->image_offset += done;
			decoder_broken(d, source_offset + pos, err, "%s", reason);
			return false;
		}
		pos += block_source_bytes(&block);
		done += block.image_bytes;
	}
	return true;
}

/* --- what it is --- */

static bool lzop_probe(const uint8_t *head, size_t len)
{
	struct lzop_header header;
	const char *reason;
	size_t need;

	return len >= 9 && lzop_header_parse(head, len, &header, &need, &reason) != LZOP_GARBAGE;
}

static bool lzop_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		      struct bmap_error *err)
{
	const char *reason = "no lzop header begins here";
	struct lzop_header header;
	size_t need;

	*plan = (struct decoder_plan){ .unit_bytes = UNIT_BYTES };
	switch (lzop_header_parse(head, len, &header, &need, &reason)) {
	case LZOP_GARBAGE:
	case LZOP_REFUSED:
		return bmap_error_data(err, 0, "broken lzop data at offset 0: %s", reason);
	default:
		return true;
	}
}

static struct decoder *lzop_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	struct lzop_decoder *z = calloc(1, sizeof(*z));

	if (!z) {
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	z->base = (struct decoder){ .ops = &lzop_decoder, .limits = *limits, .want_room = 1 };
	return &z->base;
}

static void lzop_close(struct decoder *d)
{
	struct lzop_decoder *z = (struct lzop_decoder *)d;

	if (!z)
		return;
	free(z->gathered);
	free(z->spill);
	free(z);
}

static const char *const lzop_suffixes[] = { ".lzo", ".lzop", ".tzo", NULL };

const struct decoder_ops lzop_decoder = {
	.name = "lzop",
	.suffixes = lzop_suffixes,
	.probe = lzop_probe,
	.plan = lzop_plan,
	.open = lzop_open,
	.step = lzop_step,
	.cut = lzop_cut,
	.unit = lzop_unit,
	.close = lzop_close,
};

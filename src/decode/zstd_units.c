/* SPDX-License-Identifier: MIT */
/* Frames as units: those that declare their size, up to 32 MiB (ZSTD_UNIT_MAX_BYTES), half the
 * ring, and the read-ahead; what is larger, or declares none, is for step(). Nothing in a frame's
 * header says how long it is compressed, so cut() walks over its block headers: 3 bytes for each
 * 128 KiB of image, no decoding. Memory: a worker has its frame's compressed bytes, and some 150
 * KiB. Where the source can seek, and a seek table or marks tell where frames lie, those without
 * mapped bytes are not even read (zstd_index.c). */
#include "decode/zstd_internal.h"

#define BLOCK_HEADER_BYTES 3u
#define CHECKSUM_BYTES 4u

enum zstd_block_type { BLOCK_RAW, BLOCK_RLE, BLOCK_COMPRESSED, BLOCK_RESERVED };

static enum cut_status walk_header(struct zstd_decoder *z, const struct in_span *in,
				   struct bmap_error *err);
static enum cut_status walk_frame(struct zstd_decoder *z, const struct in_span *in,
				  struct bmap_error *err);

static enum cut_status cut_broken(struct zstd_decoder *z, struct bmap_error *err,
				  const char *reason)
{
	decoder_broken(&z->base, z->walk.start + z->walk.pos, err, "%s", reason);
	return CUT_FAILED;
}

/* The walk needs len bytes from the unit's start. Asked for in growing steps, as each answer may
 * make the caller move what it has. */
static enum cut_status walk_needs(struct zstd_decoder *z, const struct in_span *in, uint64_t len,
				  struct bmap_error *err)
{
	size_t max = z->base.limits.input_max_bytes;

	if (len > max)
		return CUT_SERIAL; /* where the source is cut short, step() says so */
	if (in->ended) {
		decoder_truncated(&z->base, z->walk.start + in->len, err);
		return CUT_FAILED;
	}
	z->base.want_input = (size_t)min_u64(max, max_u64(len, 2ull * in->len));
	return CUT_INPUT;
}

/* A unit is any number of skippable frames and then one frame, or skippable frames up to the
 * source's end. */
enum cut_status zstd_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			 struct bmap_error *err)
{
	struct zstd_decoder *z = (struct zstd_decoder *)d;
	struct zstd_walk *walk = &z->walk;
	enum cut_status status = CUT_UNIT;

	d->want_input = 0;
	if (walk->start != d->source_offset)
		*walk = (struct zstd_walk){ .start = d->source_offset };
	if (in->len == 0 && in->ended && z->seen_frame)
		return CUT_END;
	if (!walk->in_frame)
		status = walk_header(z, in, err);
	if (status == CUT_UNIT && walk->in_frame)
		status = walk_frame(z, in, err);
	if (status == CUT_UNIT) {
		*unit = (struct decode_unit){ .source_len_bytes = walk->pos };
		if (walk->in_frame)
			unit->image_len_bytes = (size_t)walk->frame.content_bytes;
		z->seen_frame = true;
	}
	if (status == CUT_UNIT || status == CUT_SERIAL)
		*walk = (struct zstd_walk){ .start = UINT64_MAX };
	return status;
}

static bool fits_unit(const struct zstd_decoder *z, const struct zstd_header *frame)
{
	return frame->content_bytes <= min_u64(ZSTD_UNIT_MAX_BYTES, z->base.limits.room_max_bytes);
}

/* Passes skippable frames up to a frame that can be a unit (in_frame) or the source's end. */
static enum cut_status walk_header(struct zstd_decoder *z, const struct in_span *in,
				   struct bmap_error *err)
{
	struct zstd_walk *walk = &z->walk;
	const char *reason = NULL;
	uint64_t behind;
	size_t need = 0;

	while (!walk->in_frame) {
		size_t left = in->len - walk->pos;
		enum zstd_header_status status;

		/* Before the first frame, step() says that there is none. */
		if (left == 0 && in->ended)
			return z->seen_frame ? CUT_UNIT : CUT_SERIAL;
		status =
			zstd_header_parse(in->data + walk->pos, left, &walk->frame, &need, &reason);
		if (status == ZSTD_HEADER_MORE)
			return walk_needs(z, in, (uint64_t)walk->pos + need, err);
		if (status != ZSTD_HEADER_OK) {
			zstd_header_failed(z, walk->start + walk->pos, status, reason, err);
			return CUT_FAILED;
		}
		if (!walk->frame.skippable && !fits_unit(z, &walk->frame))
			return CUT_SERIAL;
		behind = walk->pos + walk->frame.header_bytes + walk->frame.skip_bytes;
		if (behind > in->len)
			return walk_needs(z, in, behind, err);
		walk->pos = (size_t)behind;
		walk->in_frame = !walk->frame.skippable;
	}
	return CUT_UNIT;
}

static enum cut_status walk_block(struct zstd_decoder *z, const struct in_span *in,
				  struct bmap_error *err)
{
	struct zstd_walk *walk = &z->walk;
	uint64_t behind = walk->pos + BLOCK_HEADER_BYTES;
	uint32_t header, size;

	if (behind > in->len)
		return walk_needs(z, in, behind, err);
	header = load_le24(in->data + walk->pos); /* RFC 8878 3.1.1.2: last, type, size */
	size = header >> 3;
	if ((header >> 1 & 3) == BLOCK_RESERVED)
		return cut_broken(z, err, "a block of a reserved type");
	if (size > walk->frame.block_max_bytes)
		return cut_broken(z, err, "a block larger than the block maximum");
	behind += (header >> 1 & 3) == BLOCK_RLE ? 1 : size;
	if (behind > in->len)
		return walk_needs(z, in, behind, err);
	walk->pos = (size_t)behind;
	walk->last_seen = header & 1;
	return CUT_UNIT;
}

static enum cut_status walk_frame(struct zstd_decoder *z, const struct in_span *in,
				  struct bmap_error *err)
{
	struct zstd_walk *walk = &z->walk;

	while (!walk->last_seen) {
		enum cut_status status = walk_block(z, in, err);

		if (status != CUT_UNIT)
			return status;
	}
	if (walk->frame.checksum) {
		uint64_t behind = (uint64_t)walk->pos + CHECKSUM_BYTES;

		if (behind > in->len)
			return walk_needs(z, in, behind, err);
		walk->pos = (size_t)behind;
		walk->frame.checksum = false;
	}
	return CUT_UNIT;
}

/* Behind the skippable frames of a unit. The library would pass them too, but an error's offset is
 * to be the frame's. False: no frame that cut() would have let through. */
static bool pass_skippable(const uint8_t *in, size_t len, size_t *pos, const char **reason)
{
	struct zstd_header header = { .skippable = true };
	size_t need;

	*reason = "no frame begins here";
	for (*pos = 0; *pos < len;) {
		if (zstd_header_parse(in + *pos, len - *pos, &header, &need, reason) !=
		    ZSTD_HEADER_OK)
			return false;
		if (!header.skippable)
			return true;
		*pos += (size_t)min_u64(header.header_bytes + header.skip_bytes, len - *pos);
	}
	return true;
}

bool zstd_unit(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
	       uint64_t source_offset, struct bmap_error *err)
{
	struct zstd_decoder *z = (struct zstd_decoder *)d;
	const char *reason;
	uint8_t nothing[1];
	size_t pos, code;

	if (!pass_skippable(in, in_len, &pos, &reason)) {
		decoder_broken(d, source_offset + pos, err, "%s", reason);
		return false;
	}
	if (pos == in_len && len == 0)
		return true;
	code = ZSTD_decompressDCtx(z->ctx, len ? out : nothing, len, in + pos, in_len - pos);
	if (ZSTD_isError(code)) {
		zstd_broken(z, source_offset + pos, code, err);
		return false;
	}
	if (code != len) {
		decoder_broken(d, source_offset + pos, err,
			       "the frame holds %zu bytes but declares %zu", code, len);
		return false;
	}
	return true;
}

/* SPDX-License-Identifier: MIT */
/* zstd, serial. Why it is fast: blocks are decoded straight to where the image bytes are written
 * from, and the ring is the window, so that no byte is copied (zstd_blocks.c); XXH64 is left out
 * where a stronger digest judges the bytes anyway (limits.check_content).
 *
 * Frames that are not units (zstd_units.c) come here: of any length, in room of one block (128 KiB)
 * at a time. Memory: the window is in the ring; where the ring is too small for it, as a first
 * frame's never is, the library's streaming call has one of its own beside it, if the memory limit
 * lets it, else the frame is refused with the option's name. */
#include "decode/zstd_internal.h"

#include <stdlib.h>
#include <string.h>

/* Beside the window, for the streaming call: a block of input, one of output, the tables. */
#define STREAM_EXTRA_BYTES (512u * KIB)
#define STREAM_WINDOW_LOG_MAX (sizeof(size_t) == 4 ? 30u : 31u) /* what the library can do */

static enum decode_status step_between(struct zstd_decoder *z, struct in_span *in,
				       struct bmap_error *err);
static enum decode_status step_skipping(struct zstd_decoder *z, struct in_span *in,
					struct bmap_error *err);
static enum decode_status step_stream(struct zstd_decoder *z, struct in_span *in,
				      struct out_span *out, struct bmap_error *err);

#if !HAVE_ZSTD_BLOCKS
static bool zstd_blocks_begin(struct zstd_decoder *z, struct in_span *in, struct bmap_error *err)
{
	(void)z, (void)in, (void)err;
	abort(); /* blocks_usable() says no */
}

static enum decode_status zstd_blocks_step(struct zstd_decoder *z, struct in_span *in,
					   struct out_span *out, struct bmap_error *err)
{
	(void)z, (void)in, (void)out, (void)err;
	abort();
}
#endif

/* BETWEEN -> SKIPPING -> BETWEEN; BETWEEN -> IN_BLOCKS or IN_STREAM -> BETWEEN (unit end). The
 * phases' functions answer DECODE_UNIT_END when theirs is complete. */
static enum decode_status zstd_step(struct decoder *d, struct in_span *in, struct out_span *out,
				    struct bmap_error *err)
{
	struct zstd_decoder *z = (struct zstd_decoder *)d;
	enum decode_status status;

	d->want_input = 0;
	for (;;) {
		switch (z->phase) {
		case ZSTD_BETWEEN:
			status = step_between(z, in, err);
			if (status != DECODE_UNIT_END)
				return status;
			break;
		case ZSTD_SKIPPING:
			status = step_skipping(z, in, err);
			if (status != DECODE_UNIT_END)
				return status;
			z->phase = ZSTD_BETWEEN;
			break;
		case ZSTD_IN_BLOCKS:
		case ZSTD_IN_STREAM:
			status = z->phase == ZSTD_IN_BLOCKS ? zstd_blocks_step(z, in, out, err)
							    : step_stream(z, in, out, err);
			if (status == DECODE_UNIT_END) {
				z->phase = ZSTD_BETWEEN;
				d->history_bytes = 0; /* no frame needs another's bytes */
			}
			return status;
		}
	}
}

static bool blocks_usable(const struct zstd_decoder *z)
{
	const struct decoder_limits *limits = &z->base.limits;

	return HAVE_ZSTD_BLOCKS && zstd_history_bytes(&z->frame) <= limits->history_max_bytes &&
	       z->frame.block_max_bytes <= limits->room_max_bytes &&
	       ZSTD_BLOCK_MAX_BYTES + ZSTD_HEADER_MAX_BYTES <= limits->input_max_bytes;
}

static bool stream_begin(struct zstd_decoder *z, struct bmap_error *err)
{
	uint64_t need = zstd_history_bytes(&z->frame);
	unsigned window_log = 10;
	size_t code;

	if (!checked_add(need, STREAM_EXTRA_BYTES, &need))
		need = UINT64_MAX;
	if (need > z->base.limits.memory_bytes) {
		decoder_over_memory(&z->base, z->frame_offset, "needs a window",
				    zstd_history_bytes(&z->frame), err);
		return false;
	}
	while (window_log < STREAM_WINDOW_LOG_MAX && z->frame.window_bytes > 1ull << window_log)
		window_log++;
	ZSTD_DCtx_reset(z->ctx, ZSTD_reset_session_only);
	code = ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_windowLogMax, (int)window_log);
	if (ZSTD_isError(code)) {
		zstd_broken(z, z->frame_offset, code, err);
		return false;
	}
	z->base.history_bytes = 0;
	z->base.want_room = 1;
	z->phase = ZSTD_IN_STREAM;
	return true;
}

static bool frame_begin(struct zstd_decoder *z, struct in_span *in, struct bmap_error *err)
{
	z->frame_offset = z->base.source_offset;
	z->frame_image_bytes = 0;
	if (!blocks_usable(z))
		return stream_begin(z, err);
	if (!zstd_blocks_begin(z, in, err))
		return false;
	z->base.history_bytes = (size_t)zstd_history_bytes(&z->frame);
	z->base.want_room = z->frame.block_max_bytes ? z->frame.block_max_bytes : 1;
	z->phase = ZSTD_IN_BLOCKS;
	return true;
}

static enum decode_status step_between(struct zstd_decoder *z, struct in_span *in,
				       struct bmap_error *err)
{
	struct decoder *d = &z->base;
	enum zstd_header_status status;
	const char *reason = NULL;
	size_t need = 0;

	if (in->len == 0 && in->ended && z->seen_frame)
		return DECODE_END;
	status = zstd_header_parse(in->data, in->len, &z->frame, &need, &reason);
	if (status == ZSTD_HEADER_MORE)
		return decoder_want_input(d, in, need, err);
	if (status != ZSTD_HEADER_OK)
		return zstd_header_failed(z, d->source_offset, status, reason, err);
	if (z->frame.skippable) {
		decoder_consume(d, in, z->frame.header_bytes);
		z->skip_left_bytes = z->frame.skip_bytes;
		z->phase = ZSTD_SKIPPING;
		return DECODE_UNIT_END;
	}
	z->seen_frame = true;
	return frame_begin(z, in, err) ? DECODE_UNIT_END : DECODE_FAILED;
}

static enum decode_status step_skipping(struct zstd_decoder *z, struct in_span *in,
					struct bmap_error *err)
{
	size_t len = (size_t)min_u64(in->len, z->skip_left_bytes);

	decoder_consume(&z->base, in, len);
	z->skip_left_bytes -= len;
	return z->skip_left_bytes ? decoder_want_input(&z->base, in, 0, err) : DECODE_UNIT_END;
}

static enum decode_status step_stream(struct zstd_decoder *z, struct in_span *in,
				      struct out_span *out, struct bmap_error *err)
{
	ZSTD_inBuffer source = { in->data, in->len, 0 };
	ZSTD_outBuffer image = { out->data, out->room, 0 };
	bool full;
	size_t code;

	/* Even without room it goes on to a frame's end, or says that it needs some. */
	code = ZSTD_decompressStream(z->ctx, &image, &source);
	decoder_consume(&z->base, in, source.pos);
	if (ZSTD_isError(code))
		return zstd_broken(z, z->base.source_offset, code, err);
	full = image.pos == out->room;
	if (!zstd_publish(z, out, image.pos, err))
		return DECODE_FAILED;
	if (code == 0)
		return DECODE_UNIT_END;
	return full ? DECODE_ROOM : decoder_want_input(&z->base, in, 0, err);
}

bool zstd_publish(struct zstd_decoder *z, struct out_span *out, size_t len, struct bmap_error *err)
{
	/* Cannot overflow: both are below what the source could hold. */
	z->frame_image_bytes += len;
	if (z->frame_image_bytes > z->frame.content_bytes) {
		decoder_broken(&z->base, z->base.source_offset, err,
			       "the frame holds more bytes than it declares");
		return false;
	}
	decoder_emit(&z->base, out, len);
	return true;
}

enum decode_status zstd_broken(struct zstd_decoder *z, uint64_t offset, size_t code,
			       struct bmap_error *err)
{
	if (ZSTD_getErrorCode(code) == ZSTD_error_checksum_wrong)
		return decoder_broken(&z->base, offset, err,
				      "the frame's content checksum does not match");
	return decoder_broken(&z->base, offset, err, "%s", ZSTD_getErrorName(code));
}

enum decode_status zstd_header_failed(const struct zstd_decoder *z, uint64_t offset,
				      enum zstd_header_status status, const char *reason,
				      struct bmap_error *err)
{
	if (status == ZSTD_HEADER_REFUSED)
		return decoder_broken(&z->base, offset, err, "%s", reason);
	if (z->seen_frame)
		return decoder_garbage(&z->base, offset, err);
	return decoder_broken(&z->base, offset, err, "no frame begins here");
}

/* Looks behind skippable frames: lz4 has them too, and pzstd begins with one. */
static bool zstd_probe(const uint8_t *head, size_t len)
{
	struct zstd_header header;
	const char *reason;
	uint64_t pos = 0;
	size_t need;

	while (pos < len) {
		switch (zstd_header_parse(head + pos, len - (size_t)pos, &header, &need, &reason)) {
		case ZSTD_HEADER_GARBAGE:
			return false;
		case ZSTD_HEADER_MORE:
			return need > 4 || pos > 0; /* a magic, or a whole skippable frame */
		case ZSTD_HEADER_REFUSED:
			return true; /* zstd, though not for us: plan() and step() say why */
		case ZSTD_HEADER_OK:
			if (!header.skippable)
				return true;
			pos += header.header_bytes + header.skip_bytes;
		}
	}
	return pos > 0; /* skippable as far as can be seen */
}

static bool plan_failed(const char *reason, uint64_t offset, struct bmap_error *err)
{
	return bmap_error_data(err, offset, "broken zstd data at offset %u: %s", (unsigned)offset,
			       reason);
}

static bool zstd_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		      struct bmap_error *err)
{
	struct zstd_header header;
	const char *reason = "no frame begins here";
	uint64_t pos = 0;
	size_t need;

	*plan = (struct decoder_plan){ 0 };
	while (pos < len) {
		switch (zstd_header_parse(head + pos, len - (size_t)pos, &header, &need, &reason)) {
		case ZSTD_HEADER_MORE:
			return true; /* nothing known: step() finds out */
		case ZSTD_HEADER_GARBAGE:
		case ZSTD_HEADER_REFUSED:
			return plan_failed(reason, pos, err);
		case ZSTD_HEADER_OK:
			break;
		}
		if (!header.skippable) {
			plan->history_bytes =
				(size_t)min_u64(zstd_history_bytes(&header), SIZE_MAX);
			if (header.content_bytes <= ZSTD_UNIT_MAX_BYTES)
				plan->unit_bytes = (size_t)header.content_bytes;
			return true;
		}
		pos += header.header_bytes + header.skip_bytes;
	}
	return true;
}

static void zstd_close(struct decoder *d)
{
	struct zstd_decoder *z = (struct zstd_decoder *)d;

	if (!z)
		return;
	ZSTD_freeDCtx(z->ctx);
	free(z);
}

static struct decoder *zstd_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	struct zstd_decoder *z = calloc(1, sizeof(*z));

	if (!z || !(z->ctx = ZSTD_createDCtx())) {
		free(z);
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	z->base = (struct decoder){ .ops = &zstd_decoder, .limits = *limits, .want_room = 1 };
	/* The 4 bytes must be there all the same. A library that does not know it checks them. */
	if (!limits->check_content)
		ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_forceIgnoreChecksum, ZSTD_d_ignoreChecksum);
	return &z->base;
}

static const char *const zstd_suffixes[] = { ".zst", ".zstd", ".tzst", NULL };

const struct decoder_ops zstd_decoder = {
	.name = "zstd",
	.suffixes = zstd_suffixes,
	.probe = zstd_probe,
	.plan = zstd_plan,
	.open = zstd_open,
	.step = zstd_step,
	.cut = zstd_cut,
	.unit = zstd_unit,
	.read_index = zstd_read_index,
	.read_mark = zstd_read_mark,
	.pass_indexed = zstd_pass_indexed,
	.close = zstd_close,
};

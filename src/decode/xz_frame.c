/* SPDX-License-Identifier: MIT */
#include "decode/xz_internal.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t XZ_MAGIC_FIRST = 0xFD;

static enum xz_frame_status failed(enum decode_status ignored)
{
	(void)ignored; /* DECODE_FAILED, from a maker of errors */
	return XZ_FRAME_FAILED;
}

/* True if len bytes are there. Else *status says what to do. */
static bool have(struct xz_decoder *x, const struct in_span *in, size_t len,
		 enum xz_frame_status *status, struct bmap_error *err)
{
	if (in->len >= len)
		return true;
	*status = decoder_want_input(&x->base, in, len, err) == DECODE_INPUT ? XZ_FRAME_INPUT
									     : XZ_FRAME_FAILED;
	return false;
}

static enum xz_frame_status stream_header(struct xz_decoder *x, const struct in_span *in,
					  size_t *len, struct bmap_error *err)
{
	struct decoder *d = &x->base;
	enum xz_frame_status status;
	lzma_ret code;

	if (!have(x, in, LZMA_STREAM_HEADER_SIZE, &status, err))
		return status;
	code = lzma_stream_header_decode(&x->flags, in->data);
	if (code == LZMA_FORMAT_ERROR && x->seen_stream)
		return failed(decoder_garbage(d, d->source_offset, err));
	if (code == LZMA_FORMAT_ERROR)
		return failed(decoder_broken(d, d->source_offset, err, "no xz stream begins here"));
	if (code != LZMA_OK)
		return failed(
			decoder_broken(d, d->source_offset, err,
				       "a stream header that is corrupt or of a later format"));
	if (!lzma_check_is_supported(x->flags.check))
		return failed(decoder_broken(d, d->source_offset, err,
					     "an integrity check this build does not know"));
	x->hash = lzma_index_hash_init(x->hash, NULL);
	if (!x->hash) {
		bmap_error_memory(err, d->limits.name);
		return XZ_FRAME_FAILED;
	}
	*len = LZMA_STREAM_HEADER_SIZE;
	x->phase = XZ_BLOCKS;
	return XZ_FRAME_PASS;
}

/* Padding is zeros in a multiple of four bytes: section 2.2. */
static enum xz_frame_status between(struct xz_decoder *x, const struct in_span *in, size_t *len,
				    struct bmap_error *err)
{
	struct decoder *d = &x->base;
	size_t zeros = 0;

	while (x->seen_stream && zeros < in->len && in->data[zeros] == 0)
		zeros++;
	if (zeros) {
		x->padding_bytes += zeros;
		*len = zeros;
		return XZ_FRAME_PASS;
	}
	if (in->len == 0 && !in->ended) {
		d->want_input = 1;
		return XZ_FRAME_INPUT;
	}
	if (in->len && x->seen_stream && in->data[0] != XZ_MAGIC_FIRST)
		return failed(decoder_garbage(d, d->source_offset, err));
	if (x->padding_bytes % 4)
		return failed(decoder_broken(d, d->source_offset, err,
					     "stream padding that is no multiple of 4 bytes"));
	if (in->len == 0 && x->seen_stream)
		return XZ_FRAME_END;
	return stream_header(x, in, len, err);
}

static void free_filter_options(struct xz_decoder *x)
{
	for (size_t i = 0; i <= LZMA_FILTERS_MAX && x->filters[i].id != LZMA_VLI_UNKNOWN; i++) {
		free(x->filters[i].options);
		x->filters[i].options = NULL;
	}
}

bool xz_block_header(struct xz_decoder *x, const uint8_t *data, uint64_t source_offset, bool begin,
		     struct bmap_error *err)
{
	struct decoder *d = &x->base;
	const char *reason = NULL;
	bool good = false;
	struct bmap_error dummy;
	lzma_ret code;

	if (!err)
		err = &dummy;
	x->block = (lzma_block){ .version = 1,
				 .check = x->flags.check,
				 .filters = x->filters,
				 .header_size = lzma_block_header_size_decode(data[0]) };
	x->filters[0].id = LZMA_VLI_UNKNOWN;
	code = lzma_block_header_decode(&x->block, NULL, data);
	if (code == LZMA_OK)
		x->dictionary_bytes = lzma_raw_decoder_memusage(x->filters);
	if (code == LZMA_OPTIONS_ERROR || (code == LZMA_OK && x->dictionary_bytes == UINT64_MAX))
		reason = "options or filters this build does not know";
	else if (code != LZMA_OK)
		reason = "a corrupt block header";
	if (reason)
		decoder_broken(d, source_offset, err, "%s", reason);
	else if (x->dictionary_bytes > d->limits.memory_bytes)
		decoder_over_memory(d, source_offset, "needs memory for a dictionary",
				    x->dictionary_bytes, err);
	else if (begin && lzma_block_decoder(&x->lzma, &x->block) != LZMA_OK)
		bmap_error_memory(err, d->limits.name);
	else
		good = true;
	free_filter_options(x); /* the block decoder has what it needs */
	return good;
}

bool xz_block_ended(struct xz_decoder *x, struct bmap_error *err)
{
	lzma_vli unpadded = lzma_block_unpadded_size(&x->block);

	if (lzma_index_hash_append(x->hash, unpadded, x->block.uncompressed_size) == LZMA_OK)
		return true;
	decoder_broken(&x->base, x->base.source_offset, err,
		       "a block of an impossible size, or a stream that is too large");
	return false;
}

static enum xz_frame_status stream_index(struct xz_decoder *x, const struct in_span *in,
					 size_t *len, struct bmap_error *err);

static enum xz_frame_status block_or_index(struct xz_decoder *x, const struct in_span *in,
					   size_t *len, struct bmap_error *err)
{
	enum xz_frame_status status;

	if (!have(x, in, 1, &status, err))
		return status;
	if (in->data[0] == 0) { /* no block header's size: section 4.1 */
		x->phase = XZ_INDEX;
		return stream_index(x, in, len, err);
	}
	*len = lzma_block_header_size_decode(in->data[0]);
	if (!have(x, in, *len, &status, err))
		return status;
	if (!xz_block_header(x, in->data, x->base.source_offset, false, err))
		return XZ_FRAME_FAILED;
	return XZ_FRAME_BLOCK;
}

static enum xz_frame_status stream_index(struct xz_decoder *x, const struct in_span *in,
					 size_t *len, struct bmap_error *err)
{
	struct decoder *d = &x->base;
	enum xz_frame_status status;
	lzma_ret code;

	if (!have(x, in, 1, &status, err))
		return status;
	*len = 0;
	code = lzma_index_hash_decode(x->hash, in->data, len, in->len);
	if (code != LZMA_OK && code != LZMA_STREAM_END)
		return failed(decoder_broken(d, d->source_offset + *len, err,
					     "the index does not match the blocks"));
	if (code == LZMA_STREAM_END)
		x->phase = XZ_FOOTER;
	return XZ_FRAME_PASS;
}

static enum xz_frame_status stream_footer(struct xz_decoder *x, const struct in_span *in,
					  size_t *len, struct bmap_error *err)
{
	struct decoder *d = &x->base;
	enum xz_frame_status status;
	lzma_stream_flags footer;

	if (!have(x, in, LZMA_STREAM_HEADER_SIZE, &status, err))
		return status;
	if (lzma_stream_footer_decode(&footer, in->data) != LZMA_OK ||
	    footer.backward_size != lzma_index_hash_size(x->hash) ||
	    lzma_stream_flags_compare(&x->flags, &footer) != LZMA_OK)
		return failed(decoder_broken(d, d->source_offset, err,
					     "a stream footer that is corrupt, or does not match"));
	*len = LZMA_STREAM_HEADER_SIZE;
	x->phase = XZ_BETWEEN;
	x->seen_stream = true;
	x->padding_bytes = 0;
	return XZ_FRAME_PASS;
}

enum xz_frame_status xz_frame(struct xz_decoder *x, const struct in_span *in, size_t *len,
			      struct bmap_error *err)
{
	x->base.want_input = 0;
	switch (x->phase) {
	case XZ_BETWEEN:
		return between(x, in, len, err);
	case XZ_BLOCKS:
		return block_or_index(x, in, len, err);
	case XZ_INDEX:
		return stream_index(x, in, len, err);
	case XZ_FOOTER:
		return stream_footer(x, in, len, err);
	case XZ_IN_BLOCK:
		break;
	}
	abort(); /* step() does not ask then */
}

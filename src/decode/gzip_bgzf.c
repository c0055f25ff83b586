/* SPDX-License-Identifier: MIT */
/* BGZF (bgzip, SAM specification 4.1): gzip members of at most 64 KiB that say their compressed
 * length in an extra field of their header, and their image length in their trailer, as all do. A
 * group of them is a unit, of at most 512 KiB, which any ring has; a single one is never more than
 * a unit. What comes behind, or between, and does not say its length is step()'s, to the end of the
 * source. Memory for each worker: an inflater (gzip_member.c), a scratch of 128 KiB, and the
 * compressed bytes of its unit (at most about as many as it has image bytes; members without any
 * are bounded by the read-ahead). */
#include "decode/gzip_internal.h"

#include <string.h>

#define FIXED_BYTES 12u /* of the header, with the length of the extra field */
#define FLAG_EXTRA 0x04u
#define SUBFIELD_BYTES 4u
#define MEMBER_MAX_BYTES (64u * KIB)

/* Length of the member that begins here; 0: it does not say; *need: bytes to be seen first. */
static size_t member_len(const uint8_t *data, size_t len, size_t *need)
{
	size_t extra, at;

	*need = FIXED_BYTES;
	if (len < FIXED_BYTES)
		return 0;
	*need = 0;
	if (!gzip_probe(data, len) || data[3] != FLAG_EXTRA)
		return 0;
	extra = load_le16(data + 10);
	if (len < FIXED_BYTES + extra) {
		*need = FIXED_BYTES + extra;
		return 0;
	}
	for (at = 0; at + SUBFIELD_BYTES <= extra;) {
		const uint8_t *field = data + FIXED_BYTES + at;
		size_t field_len = load_le16(field + 2);

		at += SUBFIELD_BYTES + field_len;
		if (field[0] == 'B' && field[1] == 'C' && field_len == 2 && at <= extra) {
			size_t total = (size_t)load_le16(field + 4) + 1;

			return total >= FIXED_BYTES + extra + GZIP_TRAILER_BYTES ? total : 0;
		}
	}
	return 0;
}

/* The image length of the whole member at data, SIZE_MAX if it is none of BGZF's. */
static size_t member_image_len(const uint8_t *data, size_t len)
{
	size_t image = load_le32(data + len - 4);

	return image <= MEMBER_MAX_BYTES ? image : SIZE_MAX;
}

bool gzip_is_bgzf(const uint8_t *head, size_t len)
{
	size_t need;

	return member_len(head, len, &need) > 0;
}

enum cut_status gzip_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			 struct bmap_error *err)
{
	size_t most = (size_t)min_u64(GZIP_UNIT_BYTES, d->limits.room_max_bytes), need = 0, len,
	       image;

	(void)err; /* step() says what is wrong, and where */
	d->want_input = 0;
	*unit = (struct decode_unit){ 0 };
	if (in->len == 0 && in->ended)
		return gzip_seen_member(d) ? CUT_END : CUT_SERIAL;
	while (unit->source_len_bytes < in->len && unit->image_len_bytes < most) {
		const uint8_t *data = in->data + unit->source_len_bytes;
		size_t left = in->len - unit->source_len_bytes;

		len = member_len(data, left, &need);
		if (!len)
			break;
		if (len > left) {
			need = len;
			break;
		}
		need = 0;
		image = member_image_len(data, len);
		if (image > most - unit->image_len_bytes)
			break;
		unit->source_len_bytes += len;
		unit->image_len_bytes += image;
	}
	if (unit->source_len_bytes) {
		gzip_set_seen_member(d);
		return CUT_UNIT;
	}
	if (!in->len)
		need = 1;
	if (!need || in->ended || need > d->limits.input_max_bytes)
		return CUT_SERIAL;
	d->want_input = need;
	return CUT_INPUT;
}

bool gzip_unit(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
	       uint64_t source_offset, struct bmap_error *err)
{
	uint8_t *scratch = gzip_scratch(d, 2 * MEMBER_MAX_BYTES);
	size_t need;

	if (!scratch)
		return bmap_error_memory(err, d->limits.name);
	while (in_len) {
		size_t member = member_len(in, in_len, &need); /* as cut() has seen it */
		size_t image = member_image_len(in, member);
		struct in_span source = { in, member, true };
		struct out_span room = { scratch, 2 * MEMBER_MAX_BYTES };

		gzip_begin_member(d, source_offset);
		switch (d->ops->step(d, &source, &room, err)) {
		case DECODE_END:
			break;
		case DECODE_FAILED:
			return false;
		default: /* more room than the scratch has */
			decoder_broken(d, source_offset, err, "a BGZF member of more than 64 KiB");
			return false;
		}
		/* The trailer's length is checked, so that it is this one. */
		memcpy(out, scratch, image);
		out += image;
		len -= image;
		in += member;
		in_len -= member;
		source_offset += member;
	}
	return len == 0;
}

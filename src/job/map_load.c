/* SPDX-License-Identifier: MIT */
/* A bmap file, plain or compressed, becomes text in memory and then a map.
 *
 * The text lies in reserved address space, of which only what is written takes memory: it never
 * moves, so that a decoder finds its history where it wrote it, and nobody has to know the size
 * beforehand. What does not begin like a bmap is refused after its first bytes, so that an image
 * given by mistake is not unpacked first. */
#include "base/checked.h"
#include "bmap/signature.h"
#include "decode/decoder.h"
#include "job/file_digest.h"
#include "job/job_internal.h"
#include "job/map_input.h"
#include "job/map_signature.h"

#include <string.h>

/* What a decoder may ask for at once, before its output has to be looked at. */
#define ROOM_STEP_BYTES (8u * MIB)
#define DECODER_MEMORY_BYTES (128u * MIB) /* xz -9 has a dictionary of 64 MiB */

static bool keep_digest(char *text, const struct file_digest *digest, struct map_input *in,
			struct bmap_error *err);
static bool load(struct bmap_map **out, struct map_input *in, const char *path,
		 const struct map_request *request, struct bmap_error *err);
static bool load_signed(struct bmap_map **out, struct map_input *in,
			const struct map_signature *signature, const struct map_request *request,
			struct bmap_error *err);
static bool load_unsigned(struct bmap_map **out, struct map_input *in, struct map_report *report,
			  struct bmap_error *err);
static bool read_text(struct map_input *in, struct map_text *text, struct bmap_error *err);
static bool copy_plain(struct map_input *in, struct map_text *text, struct bmap_error *err);
static bool decode(const struct decoder_ops *ops, struct map_input *in, struct map_text *text,
		   struct bmap_error *err);

bool bmap_map_load(struct bmap_map **out, const char *path, struct bmap_error *err)
{
	static const struct map_request unchecked = { .no_signature = true };
	struct source *source = source_open(path, NULL, err);
	bool good;

	*out = NULL;
	good = source && map_read(out, source, path, &unchecked, err);
	source_close(source);
	return good;
}

bool map_read(struct bmap_map **out, struct source *source, const char *path,
	      const struct map_request *request, struct bmap_error *err)
{
	struct file_digest *digest = NULL;
	struct map_input in;
	struct bmap_error dummy;
	bool good;

	if (!err)
		err = &dummy;
	*out = NULL;
	if (request->digest) {
		digest = file_digest_new(source, err);
		if (!digest)
			return false;
	}
	good = map_input_of_source(&in, source, err) && load(out, &in, path, request, err);
	if (good && digest)
		good = keep_digest(request->digest, digest, &in, err);
	if (!good) {
		bmap_map_free(*out);
		*out = NULL;
	}
	map_input_close(&in);
	file_digest_free(digest);
	return good;
}

/* A decoder may have known the end without reading up to it. */
static bool keep_digest(char *text, const struct file_digest *digest, struct map_input *in,
			struct bmap_error *err)
{
	while (!in->ended) {
		in->at = in->len;
		if (!map_input_fill(in, err))
			return false;
	}
	strcpy(text, file_digest_text(digest));
	return true;
}

static bool load(struct bmap_map **out, struct map_input *in, const char *path,
		 const struct map_request *request, struct bmap_error *err)
{
	struct map_signature signature;
	bool good;

	if (!map_input_fill(in, err) || !map_signature_find(&signature, in, path, request, err))
		return false;
	good = signature.kind == MAP_SIGNATURE_NONE
		       ? load_unsigned(out, in, request->report, err)
		       : load_signed(out, in, &signature, request, err);
	map_signature_free(&signature);
	return good;
}

static bool load_unsigned(struct bmap_map **out, struct map_input *in, struct map_report *report,
			  struct bmap_error *err)
{
	struct map_text text;
	bool good;

	if (!map_text_new(&text, in->path, err))
		return false;
	good = read_text(in, &text, err) && map_parse(out, text.bytes, text.len, in->path,
						      report ? &report->findings : NULL, err);
	map_text_free(&text);
	return good;
}

/* What was found of the signature, and, if it is not good, the map all the same: a report shows
 * what it would be. The error stays. */
static bool report_signature(struct map_report *report, const struct map_signature *signature,
			     bool good, const char *path, struct map_text *whole,
			     const struct map_request *request)
{
	struct bmap_error ignored;

	report->signature = request->no_signature ? BMAP_CHECK_UNKNOWN
			    : good                ? BMAP_CHECK_GOOD
						  : BMAP_CHECK_BAD;
	if (signature->name)
		report->signature_name = strdup(signature->name);
	return good || signature->kind != MAP_SIGNATURE_INSIDE ||
	       clearsigned_text(whole->bytes, &whole->len, path, &ignored);
}

/* The file is read once: what the signature was checked over is what is unpacked and parsed. */
static bool load_signed(struct bmap_map **out, struct map_input *in,
			const struct map_signature *signature, const struct map_request *request,
			struct bmap_error *err)
{
	struct map_report *report = request->report;
	struct map_text whole;
	bool good, parse;

	if (!map_text_new(&whole, in->path, err))
		return false;
	good = map_input_read_all(in, &whole, err) &&
	       map_signature_check(signature, in->path, &whole, request, err);
	parse = good;
	if (report)
		parse = report_signature(report, signature, good, in->path, &whole, request);
	if (parse) {
		struct map_input checked;
		struct bmap_error ignored;

		map_input_of_text(&checked, in->path, &whole);
		parse = load_unsigned(out, &checked, report, good ? err : &ignored);
	}
	map_text_free(&whole);
	return good && parse;
}

/* After every piece of new text: looks at the first bytes as soon as there are enough. */
static bool text_check(struct map_text *text, bool ended, const char *path, struct bmap_error *err)
{
	if (text->head_good || (text->len < BMAP_HEAD_BYTES && !ended))
		return true;
	text->head_good = true;
	return bmap_head_check(text->bytes, (size_t)min_u64(text->len, BMAP_HEAD_BYTES), path, err);
}

static bool read_text(struct map_input *in, struct map_text *text, struct bmap_error *err)
{
	const struct decoder_ops *ops;

	if (!map_input_fill(in, err))
		return false;
	ops = decoder_detect(in->bytes, in->len);
	return ops ? decode(ops, in, text, err) : copy_plain(in, text, err);
}

static bool copy_plain(struct map_input *in, struct map_text *text, struct bmap_error *err)
{
	for (;;) {
		if (in->len > text->room - text->len)
			return map_text_too_long(text, in->path, err);
		memcpy(text->bytes + text->len, in->bytes, in->len);
		text->len += in->len;
		in->at = in->len;
		if (!text_check(text, in->ended, in->path, err))
			return false;
		if (in->ended)
			return true;
		if (!map_input_fill(in, err))
			return false;
	}
}

/* One step; *done: the container is at its end. */
static bool decode_step(struct decoder *d, struct map_input *in, struct map_text *text, bool *done,
			struct bmap_error *err)
{
	size_t left = text->room - text->len;
	size_t room = (size_t)min_u64(left, max_u64(ROOM_STEP_BYTES, d->want_room));
	struct in_span input = { in->bytes + in->at, in->len - in->at, in->ended };
	struct out_span output = { (uint8_t *)text->bytes + text->len, room };
	enum decode_status status = d->ops->step(d, &input, &output, err);
	bool moved = output.room != room || input.len != in->len - in->at;

	in->at = in->len - input.len;
	text->len += room - output.room;
	*done = status == DECODE_END;
	switch (status) {
	case DECODE_FAILED:
		return false;
	case DECODE_INPUT:
		/* More than this can hold, or than there is. */
		if (!moved && (in->ended || in->len == MAP_INPUT_BYTES))
			return bmap_error_set(err, BMAP_ERR_MAP,
					      "%s: cannot go on with this %s data", in->path,
					      d->ops->name);
		return map_input_fill(in, err);
	case DECODE_ROOM:
		if (d->want_room > text->room - text->len || text->len == text->room)
			return map_text_too_long(text, in->path, err);
		return true;
	default:
		return true;
	}
}

static bool decode(const struct decoder_ops *ops, struct map_input *in, struct map_text *text,
		   struct bmap_error *err)
{
	const struct decoder_limits limits = {
		.name = in->path,
		.history_max_bytes = text->room,
		.room_max_bytes = ROOM_STEP_BYTES,
		.input_max_bytes = MAP_INPUT_BYTES,
		.memory_bytes = DECODER_MEMORY_BYTES,
		.check_content = true, /* maps before 1.3 have no checksum of their own */
	};
	struct decoder *d = ops->open(&limits, err);
	bool done = false, good = d != NULL;

	while (good && !done)
		good = decode_step(d, in, text, &done, err) &&
		       text_check(text, done, in->path, err);
	ops->close(d);
	/* It is the map that is broken, not an image. */
	if (!good && err && err->code == BMAP_ERR_DATA)
		err->code = BMAP_ERR_MAP;
	return good;
}

/* SPDX-License-Identifier: MIT */
/* A bmap file, plain or compressed, becomes text in memory and then a map.
 *
 * The text lies in reserved address space, of which only what is written takes memory: it never
 * moves, so that a decoder finds its history where it wrote it, and nobody has to know the size
 * beforehand. What does not begin like a bmap is refused after its first bytes, so that an image
 * given by mistake is not unpacked first. */
#include "base/checked.h"
#include "base/cleanup.h"
#include "bmap/xml_reader.h"
#include "decode/decoder.h"
#include "job/job_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TEXT_MAX_BYTES (1024u * MIB)
/* Less is tried where address space is short: 32 bit, ulimit -v, strict overcommit. */
#define TEXT_MIN_BYTES (16u * MIB)
#define INPUT_BYTES (1u * MIB) /* a zstd block is 128 KiB, all others take less at once */
/* What a decoder may ask for at once, before its output has to be looked at. */
#define ROOM_STEP_BYTES (8u * MIB)
#define DECODER_MEMORY_BYTES (128u * MIB) /* xz -9 has a dictionary of 64 MiB */

struct text {
	char *bytes; /* room of reserved address space */
	size_t len, room;
	bool head_good; /* its first bytes were looked at */
};

struct input {
	const char *path; /* the source's name */
	struct source *source;
	uint8_t *bytes; /* INPUT_BYTES */
	size_t at, len; /* not consumed: from at to len */
	bool ended;
};

static bool text_new(struct text *text, const char *path, struct bmap_error *err);
static void text_free(struct text *text);
static bool read_text(struct input *in, struct text *text, struct bmap_error *err);
static bool input_fill(struct input *in, struct bmap_error *err);
static bool copy_plain(struct input *in, struct text *text, struct bmap_error *err);
static bool decode(const struct decoder_ops *ops, struct input *in, struct text *text,
		   struct bmap_error *err);

bool bmap_map_load(struct bmap_map **out, const char *path, struct bmap_error *err)
{
	struct source *source = source_open(path, NULL, err);
	bool good;

	*out = NULL;
	good = source && map_read(out, source, err);
	source_close(source);
	return good;
}

bool map_read(struct bmap_map **out, struct source *source, struct bmap_error *err)
{
	CLEANUP_FREE uint8_t *bytes = malloc(INPUT_BYTES);
	const char *path = source->name;
	struct input in = { .path = path, .source = source, .bytes = bytes };
	struct text text;
	bool good;

	*out = NULL;
	if (!bytes)
		return bmap_error_memory(err, path);
	if (!text_new(&text, path, err))
		return false;
	good = read_text(&in, &text, err) && bmap_map_parse(out, text.bytes, text.len, path, err);
	text_free(&text);
	return good;
}

static bool text_new(struct text *text, const char *path, struct bmap_error *err)
{
	*text = (struct text){ .room = TEXT_MAX_BYTES };
	for (; text->room >= TEXT_MIN_BYTES; text->room /= 2) {
		text->bytes = mmap(NULL, text->room, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (text->bytes != MAP_FAILED)
			return true;
	}
	return bmap_error_memory(err, path);
}

static void text_free(struct text *text)
{
	munmap(text->bytes, text->room);
}

/* After every piece of new text: looks at the first bytes as soon as there are enough. */
static bool text_check(struct text *text, bool ended, const char *path, struct bmap_error *err)
{
	if (text->head_good || (text->len < BMAP_HEAD_BYTES && !ended))
		return true;
	text->head_good = true;
	return bmap_head_check(text->bytes, (size_t)min_u64(text->len, BMAP_HEAD_BYTES), path, err);
}

static bool text_too_long(const struct text *text, const char *path, struct bmap_error *err)
{
	return bmap_error_set(err, BMAP_ERR_MAP,
			      "%s: more than %zu MiB of text: this is no bmap file", path,
			      text->room / MIB);
}

static bool read_text(struct input *in, struct text *text, struct bmap_error *err)
{
	const struct decoder_ops *ops;

	if (!input_fill(in, err))
		return false;
	ops = decoder_detect(in->bytes, in->len);
	return ops ? decode(ops, in, text, err) : copy_plain(in, text, err);
}

/* Reads until the buffer is full or the file ends. */
static bool input_fill(struct input *in, struct bmap_error *err)
{
	memmove(in->bytes, in->bytes + in->at, in->len - in->at);
	in->len -= in->at;
	in->at = 0;
	while (!in->ended && in->len < INPUT_BYTES) {
		ssize_t n =
			source_read(in->source, in->bytes + in->len, INPUT_BYTES - in->len, err);

		if (n < 0)
			return false;
		in->ended = n == 0;
		in->len += (size_t)n;
	}
	return true;
}

static bool copy_plain(struct input *in, struct text *text, struct bmap_error *err)
{
	for (;;) {
		if (in->len > text->room - text->len)
			return text_too_long(text, in->path, err);
		memcpy(text->bytes + text->len, in->bytes, in->len);
		text->len += in->len;
		in->at = in->len;
		if (!text_check(text, in->ended, in->path, err))
			return false;
		if (in->ended)
			return true;
		if (!input_fill(in, err))
			return false;
	}
}

/* One step; *done: the container is at its end. */
static bool decode_step(struct decoder *d, struct input *in, struct text *text, bool *done,
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
		if (!moved && (in->ended || in->len == INPUT_BYTES))
			return bmap_error_set(err, BMAP_ERR_MAP,
					      "%s: cannot go on with this %s data", in->path,
					      d->ops->name);
		return input_fill(in, err);
	case DECODE_ROOM:
		if (d->want_room > text->room - text->len || text->len == text->room)
			return text_too_long(text, in->path, err);
		return true;
	default:
		return true;
	}
}

static bool decode(const struct decoder_ops *ops, struct input *in, struct text *text,
		   struct bmap_error *err)
{
	const struct decoder_limits limits = {
		.name = in->path,
		.history_max_bytes = text->room,
		.room_max_bytes = ROOM_STEP_BYTES,
		.input_max_bytes = INPUT_BYTES,
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

/* SPDX-License-Identifier: MIT */
/* tar, serial: the image is one file of it. Every header's checksum is checked, sparse files come
 * out with their holes as zeros, and the archive is followed to its end: two blocks of zeros or the
 * end of the source, then nothing but zeros (tar pads to its blocking factor). Recognised by the
 * magic of a header with a right checksum, never by zeros; the oldest kind, which has no magic, is
 * not recognised.
 *
 * Nothing to cut: the bytes are only copied, as much at a time as there is room. Memory: of headers
 * in front of an entry, which come from outside, at most 8 MiB each, in a buffer of up to 16 MiB,
 * and what is kept of them; of a sparse map a million extents (16 MiB). None of it is taken before
 * the bytes have come, nor above the memory limit. */
#include "decode/tar_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Bytes are only copied: no need to wait for more room than is worth a call. */
#define ROOM_WANTED_BYTES (64u * KIB)
#define NAME_MAX_BYTES (64u * KIB)
#define PAX_MAX_BYTES (8u * MIB)
/* Long names and pax headers in front of one entry. Writers make one or two. */
#define EXTRA_HEADERS_MAX 16u

enum tar_phase {
	TAR_HEADER, /* an entry's header block; here a source may end */
	TAR_EXTRA, /* the data of a long name or pax header */
	TAR_GNU_MAP, /* extension blocks of an old sparse header */
	TAR_TEXT_MAP, /* the map in front of the data, pax sparse format 1.0 */
	TAR_IMAGE, /* the taken file's data */
	TAR_SKIP, /* what nobody wants, and padding to a block: then TAR_HEADER */
	TAR_PADDING, /* behind the end: zeros */
};

struct tar_decoder {
	struct decoder base;
	enum tar_phase phase;
	uint8_t block[TAR_BLOCK_BYTES]; /* as far as it was read */
	size_t block_len;
	uint64_t header_offset_bytes; /* of the last header */
	bool seen_zero_block;
	struct archive_choice choice;

	/* What the headers in front of an entry say about it. */
	char *long_name;
	struct tar_pax pax;
	unsigned extra_headers;
	char extra_type;
	uint8_t *extra;
	size_t extra_len, extra_room, extra_left;

	/* The entry. */
	bool in_entry; /* what was said about it is to be forgotten before the next */
	bool taken; /* this one */
	uint64_t stored_bytes, skip_bytes;
	uint64_t map_bytes; /* of the stored ones: a map in front of the data */
	uint64_t real_bytes; /* of the taken file */
	struct tar_map map;
	struct tar_map_text map_text;
	size_t extent; /* the next to put out, or inside */
	uint64_t position_bytes; /* in the taken file */
};

static bool header_read(struct tar_decoder *t, struct bmap_error *err);
static bool extra_step(struct tar_decoder *t, struct in_span *in, struct bmap_error *err);
static bool gnu_map_block(struct tar_decoder *t, struct bmap_error *err);
static bool text_map_block(struct tar_decoder *t, struct bmap_error *err);
static enum decode_status image_step(struct tar_decoder *t, struct in_span *in,
				     struct out_span *out);
static bool zeros_pass(struct tar_decoder *t, struct in_span *in);
static enum decode_status end_step(struct tar_decoder *t, const struct in_span *in,
				   struct bmap_error *err);

static bool broken(const struct tar_decoder *t, struct bmap_error *err, const char *reason)
{
	if (reason == TAR_NO_MEMORY)
		return bmap_error_memory(err, t->base.limits.name);
	decoder_broken(&t->base, t->header_offset_bytes, err, "%s", reason);
	return false;
}

/* True once the block is whole; it is then empty for the next one. */
static bool block_take(struct tar_decoder *t, struct in_span *in)
{
	size_t n = (size_t)min_u64(TAR_BLOCK_BYTES - t->block_len, in->len);

	if (n)
		memcpy(t->block + t->block_len, in->data, n);
	t->block_len += n;
	decoder_consume(&t->base, in, n);
	if (t->block_len < TAR_BLOCK_BYTES)
		return false;
	t->block_len = 0;
	return true;
}

static bool skip_take(struct tar_decoder *t, struct in_span *in)
{
	size_t n = (size_t)min_u64(t->skip_bytes, in->len);

	decoder_consume(&t->base, in, n);
	t->skip_bytes -= n;
	return !t->skip_bytes;
}

static enum decode_status tar_step(struct decoder *d, struct in_span *in, struct out_span *out,
				   struct bmap_error *err)
{
	struct tar_decoder *t = (struct tar_decoder *)d;

	d->want_input = 0;
	for (;;) {
		bool good = true, starved = false;
		enum decode_status status;

		switch (t->phase) {
		case TAR_HEADER:
			if (!(starved = !block_take(t, in)))
				good = header_read(t, err);
			break;
		case TAR_EXTRA:
			starved = t->extra_left && !in->len;
			good = starved || extra_step(t, in, err);
			break;
		case TAR_GNU_MAP:
			if (!(starved = !block_take(t, in)))
				good = gnu_map_block(t, err);
			break;
		case TAR_TEXT_MAP:
			if (!(starved = !block_take(t, in)))
				good = text_map_block(t, err);
			break;
		case TAR_IMAGE:
			status = image_step(t, in, out);
			if (status == DECODE_ROOM)
				return status;
			starved = status == DECODE_INPUT;
			break;
		case TAR_SKIP:
			if (!(starved = !skip_take(t, in)))
				t->phase = TAR_HEADER;
			break;
		case TAR_PADDING:
			if (!zeros_pass(t, in))
				return decoder_garbage(d, d->source_offset, err);
			starved = true;
			break;
		}
		if (!good)
			return DECODE_FAILED;
		if (starved)
			return end_step(t, in, err);
	}
}

/* All input was used. */
static enum decode_status end_step(struct tar_decoder *t, const struct in_span *in,
				   struct bmap_error *err)
{
	struct decoder *d = &t->base;
	bool may_end = t->phase == TAR_PADDING || (t->phase == TAR_HEADER && !t->block_len);

	if (!in->ended || !may_end)
		return decoder_want_input(d, in, 0, err);
	if (!t->choice.taken && !d->source_offset)
		return decoder_truncated(d, 0, err);
	if (!t->choice.taken)
		return archive_missing(&t->choice, d, err);
	archive_say(&t->choice, d);
	return DECODE_END;
}

static bool zeros_pass(struct tar_decoder *t, struct in_span *in)
{
	size_t n = 0;

	while (n < in->len && in->data[n] == 0)
		n++;
	decoder_consume(&t->base, in, n);
	return in->len == 0;
}

/* --- entries --- */

/* len bytes and their padding; INT64_MAX at most, so this fits. */
static void skip_begin(struct tar_decoder *t, uint64_t len)
{
	t->skip_bytes = align_up(len, TAR_BLOCK_BYTES);
	t->phase = TAR_SKIP;
}

/* What was said about one entry means nothing for the next. */
static void entry_forget(struct tar_decoder *t)
{
	free(t->long_name);
	t->long_name = NULL;
	tar_pax_clear(&t->pax);
	tar_map_clear(&t->map);
	t->map_text = (struct tar_map_text){ 0 };
	t->extra_headers = 0;
	t->map_bytes = 0;
	t->taken = false;
	t->in_entry = false;
}

static bool extra_begin(struct tar_decoder *t, uint64_t size, struct bmap_error *err)
{
	uint64_t most =
		t->extra_type == 'L' || t->extra_type == 'K' ? NAME_MAX_BYTES : PAX_MAX_BYTES;

	if (++t->extra_headers > EXTRA_HEADERS_MAX)
		return broken(t, err, "too many pax headers or long names for one entry");
	if (size > most)
		return broken(t, err, "a pax header or long name of an impossible size");
	if (size > t->base.limits.memory_bytes) {
		decoder_over_memory(&t->base, t->header_offset_bytes, "has a pax header", size,
				    err);
		return false;
	}
	t->extra_len = 0;
	t->extra_left = (size_t)size;
	t->phase = TAR_EXTRA;
	return true;
}

/* As far as it has come: a size that is only claimed costs no memory. */
static bool extra_keep(struct tar_decoder *t, const uint8_t *data, size_t len,
		       struct bmap_error *err)
{
	if (t->extra_room - t->extra_len < len) {
		size_t room = (size_t)max_u64(t->extra_len + len, 2 * (uint64_t)t->extra_room);
		uint8_t *grown = realloc(t->extra, room);

		if (!grown)
			return bmap_error_memory(err, t->base.limits.name);
		t->extra = grown;
		t->extra_room = room;
	}
	if (len)
		memcpy(t->extra + t->extra_len, data, len);
	t->extra_len += len;
	return true;
}

static bool extra_complete(struct tar_decoder *t, struct bmap_error *err)
{
	const char *reason = NULL;

	switch (t->extra_type) {
	case 'L':
		free(t->long_name);
		t->long_name = strndup(t->extra_len ? (char *)t->extra : "", t->extra_len);
		reason = t->long_name ? NULL : TAR_NO_MEMORY;
		break;
	case 'K':
		break;
	default:
		reason = tar_pax_read(&t->pax, &t->map, t->extra, t->extra_len,
				      t->extra_type == 'g', t->base.limits.memory_bytes);
	}
	/* Global headers belong to no entry: the number of those is not limited. */
	if (t->extra_type == 'g')
		t->extra_headers--;
	return !reason || broken(t, err, reason);
}

static bool extra_step(struct tar_decoder *t, struct in_span *in, struct bmap_error *err)
{
	size_t n = (size_t)min_u64(t->extra_left, in->len);

	if (!extra_keep(t, in->data, n, err))
		return false;
	decoder_consume(&t->base, in, n);
	t->extra_left -= n;
	if (t->extra_left)
		return true;
	if (!extra_complete(t, err))
		return false;
	t->skip_bytes = align_up(t->extra_len, TAR_BLOCK_BYTES) - t->extra_len;
	t->phase = TAR_SKIP;
	return true;
}

static bool entry_is_file(struct tar_decoder *t, char type)
{
	char own[TAR_NAME_BYTES];
	const char *name = own;
	size_t len = tar_name(t->block, own);

	if (t->pax.sparse_name)
		name = t->pax.sparse_name;
	else if (t->pax.path)
		name = t->pax.path;
	else if (t->long_name)
		name = t->long_name;
	if (name != own)
		len = strlen(name);
	if (!strchr("07S", type) && type != '\0')
		return false;
	if (len &&
	    name[len - 1] == '/') /* how directories were told apart before they had a type */
		return false;
	t->taken = archive_choose(&t->choice, t->base.limits.member, name, len);
	return true;
}

/* The taken file's map is complete: its data follow. */
static bool image_begin(struct tar_decoder *t, uint64_t stored_bytes, struct bmap_error *err)
{
	const char *reason = tar_map_check(&t->map, t->real_bytes, stored_bytes);

	if (reason)
		return broken(t, err, reason);
	t->extent = 0;
	t->position_bytes = 0;
	t->phase = TAR_IMAGE;
	return true;
}

static bool pax_sparse_begin(struct tar_decoder *t, struct bmap_error *err)
{
	const struct tar_pax *pax = &t->pax;

	if (!pax->has_real_size)
		return broken(t, err, "a sparse file without its real size");
	t->real_bytes = pax->real_size_bytes;
	if (pax->sparse_major == 0 && pax->sparse_minor <= 1)
		return image_begin(t, t->stored_bytes, err);
	if (pax->sparse_major != 1 || pax->sparse_minor != 0)
		return broken(t, err, "a sparse format that this build does not know");
	tar_map_clear(&t->map);
	t->phase = TAR_TEXT_MAP;
	return true;
}

static bool gnu_map_complete(struct tar_decoder *t, struct bmap_error *err)
{
	if (t->taken)
		return image_begin(t, t->stored_bytes, err);
	skip_begin(t, t->stored_bytes);
	return true;
}

static bool gnu_sparse_begin(struct tar_decoder *t, struct bmap_error *err)
{
	const char *reason;
	bool more;

	if (!tar_is_gnu(t->block))
		return broken(t, err, "a sparse file of a kind that this build does not know");
	if (!tar_number(t->block + 483, 12, &t->real_bytes))
		return broken(t, err, "the real size of a sparse file is no number");
	tar_map_clear(&t->map);
	reason = tar_map_add_gnu(&t->map, t->block, true, &more, t->base.limits.memory_bytes);
	if (reason)
		return broken(t, err, reason);
	if (more) {
		t->phase = TAR_GNU_MAP;
		return true;
	}
	return gnu_map_complete(t, err);
}

static bool gnu_map_block(struct tar_decoder *t, struct bmap_error *err)
{
	const char *reason;
	bool more;

	reason = tar_map_add_gnu(&t->map, t->block, false, &more, t->base.limits.memory_bytes);
	if (reason)
		return broken(t, err, reason);
	return more || gnu_map_complete(t, err);
}

static bool text_map_block(struct tar_decoder *t, struct bmap_error *err)
{
	const char *reason;
	bool complete = false;

	if (t->stored_bytes - t->map_bytes < TAR_BLOCK_BYTES)
		return broken(t, err, "a sparse map goes on behind the data of its file");
	t->map_bytes += TAR_BLOCK_BYTES;
	reason = tar_map_add_text(&t->map, &t->map_text, t->block, &complete,
				  t->base.limits.memory_bytes);
	if (reason)
		return broken(t, err, reason);
	if (!complete)
		return true;
	return image_begin(t, t->stored_bytes - t->map_bytes, err);
}

static bool file_begin(struct tar_decoder *t, char type, struct bmap_error *err)
{
	const char *reason;

	if (type == 'S')
		return gnu_sparse_begin(t, err); /* taken or not: how long is the header? */
	if (!t->taken) {
		skip_begin(t, t->stored_bytes);
		return true;
	}
	if (t->pax.is_sparse)
		return pax_sparse_begin(t, err);
	tar_map_clear(&t->map);
	t->real_bytes = t->stored_bytes;
	reason = tar_map_add(&t->map, 0, t->stored_bytes, UINT64_MAX);
	return reason ? broken(t, err, reason) : image_begin(t, t->stored_bytes, err);
}

static bool entry_begin(struct tar_decoder *t, char type, uint64_t size, struct bmap_error *err)
{
	t->in_entry = true;
	t->stored_bytes = t->pax.has_size ? t->pax.size_bytes : size;
	/* The skipping counts whole blocks. */
	if (t->stored_bytes > INT64_MAX - TAR_BLOCK_BYTES)
		return broken(t, err, "an entry of an impossible size");
	if (type == 'M')
		return broken(t, err, "an archive in several volumes: join them first");
	if (type >= '1' && type <= '6') /* links, devices, directories have no data */
		t->stored_bytes = 0;
	if (entry_is_file(t, type))
		return file_begin(t, type, err);
	skip_begin(t, t->stored_bytes);
	return true;
}

static bool header_read(struct tar_decoder *t, struct bmap_error *err)
{
	struct decoder *d = &t->base;
	uint64_t size;
	char type;

	t->header_offset_bytes = d->source_offset - TAR_BLOCK_BYTES;
	if (t->in_entry)
		entry_forget(t);
	if (tar_is_zero(t->block)) {
		t->phase = t->seen_zero_block ? TAR_PADDING : TAR_HEADER;
		t->seen_zero_block = true;
		return true;
	}
	if (t->seen_zero_block) {
		decoder_garbage(d, t->header_offset_bytes, err);
		return false;
	}
	if (!tar_is_header(t->block))
		return broken(t, err, "no header, or one whose checksum does not match");
	type = tar_type(t->block);
	if (!tar_size(t->block, &size))
		return broken(t, err, "the size of an entry is no number, or an impossible one");
	if (type && strchr("LKxXg", type)) {
		t->extra_type = type;
		return extra_begin(t, size, err);
	}
	return entry_begin(t, type, size, err);
}

/* --- the image --- */

static size_t zeros_emit(struct tar_decoder *t, struct out_span *out, uint64_t until)
{
	size_t n = (size_t)min_u64(until - t->position_bytes, out->room);

	memset(out->data, 0, n);
	decoder_emit(&t->base, out, n);
	return n;
}

static size_t data_emit(struct tar_decoder *t, struct in_span *in, struct out_span *out,
			uint64_t until)
{
	size_t n = (size_t)min_u64(until - t->position_bytes, min_u64(in->len, out->room));

	memcpy(out->data, in->data, n);
	decoder_consume(&t->base, in, n);
	decoder_emit(&t->base, out, n);
	return n;
}

/* DECODE_UNIT_END: the file is complete, and the phase the next one. */
static enum decode_status image_step(struct tar_decoder *t, struct in_span *in,
				     struct out_span *out)
{
	const struct tar_map *map = &t->map;

	for (;;) {
		const struct tar_extent *next =
			t->extent < map->count ? &map->extents[t->extent] : NULL;
		uint64_t data_at = next ? next->offset_bytes : t->real_bytes;

		if (next && t->position_bytes == next->offset_bytes + next->len_bytes) {
			t->extent++;
			continue;
		}
		if (!next && t->position_bytes == t->real_bytes)
			break;
		if (out->room < t->base.want_room)
			return DECODE_ROOM;
		if (t->position_bytes < data_at)
			t->position_bytes += zeros_emit(t, out, data_at);
		else if (!in->len)
			return DECODE_INPUT;
		else
			t->position_bytes +=
				data_emit(t, in, out, next->offset_bytes + next->len_bytes);
	}
	t->skip_bytes = align_up(t->stored_bytes, TAR_BLOCK_BYTES) - t->stored_bytes;
	t->phase = TAR_SKIP;
	return DECODE_UNIT_END;
}

/* --- begin and end --- */

static bool tar_probe(const uint8_t *head, size_t len)
{
	return len >= TAR_BLOCK_BYTES && tar_is_header(head);
}

static bool tar_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		     struct bmap_error *err)
{
	*plan = (struct decoder_plan){ 0 };
	if (!tar_probe(head, len))
		return bmap_error_data(err, 0,
				       "broken tar data at offset 0: no header of a tar archive "
				       "begins here");
	return true;
}

static struct decoder *tar_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	struct tar_decoder *t = calloc(1, sizeof(*t));

	if (!t) {
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	t->base = (struct decoder){ .ops = &tar_decoder, .limits = *limits };
	t->base.want_room = (size_t)max_u64(1, min_u64(ROOM_WANTED_BYTES, limits->room_max_bytes));
	return &t->base;
}

static void tar_close(struct decoder *d)
{
	struct tar_decoder *t = (struct tar_decoder *)d;

	if (!t)
		return;
	entry_forget(t);
	tar_map_free(&t->map);
	free(t->extra);
	free(t);
}

static const char *const tar_suffixes[] = { ".tar", NULL };

const struct decoder_ops tar_decoder = {
	.name = "tar",
	.suffixes = tar_suffixes,
	.probe = tar_probe,
	.plan = tar_plan,
	.open = tar_open,
	.step = tar_step,
	.close = tar_close,
};

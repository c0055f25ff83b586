/* SPDX-License-Identifier: MIT */
/* zip, serial and in order, so that it may come from a pipe: the image is one file of it, stored or
 * deflated. CRC-32 and both sizes are checked, and the archive is followed through its central
 * directory, where the image's entry must say the same, to the end record and the file's end.
 *
 * A member that is not wanted is passed by its size; if only a record behind it says that, it is
 * inflated to nowhere. Stored data without a size in front has no end that can be trusted.
 *
 * A member is one deflate stream, serial and of any length. Memory: an inflater (gzip_member.c),
 * 128 KiB for a record with its name and extra field, 64 KiB for nowhere and the taken name's. */
#include "decode/archive_member.h"
#include "decode/gzip_internal.h"
#include "decode/zip_internal.h"

#include <stdlib.h>
#include <string.h>

/* As for gzip: each call copies 32 KiB of history, and the CRC should find the bytes in cache. */
#define ROOM_WANTED_BYTES (256u * KIB)
#define ROOM_USED_BYTES (1024u * KIB)
#define NOWHERE_BYTES (64u * KIB)

enum zip_phase {
	ZIP_AT_RECORD, /* its signature comes */
	ZIP_IN_RECORD, /* of need bytes, so far as is known */
	ZIP_IN_DATA,
	ZIP_AT_DESCRIPTOR,
	ZIP_IN_SKIP, /* then ZIP_AT_RECORD, or the end */
	ZIP_AT_END,
};

enum zip_section { /* in this order */
		   SECTION_MEMBERS,
		   SECTION_DIRECTORY,
		   SECTION_END64,
		   SECTION_LOCATOR,
		   SECTION_END,
};

struct zip_decoder {
	struct decoder base;
	const struct inflate_ops *inflate;
	void *state;
	enum zip_phase phase;
	enum zip_section section;
	uint8_t *field; /* ZIP_RECORD_MAX_BYTES: the current record, as far as it was read */
	size_t field_len, need;
	uint32_t signature;
	uint64_t record_offset_bytes, skip_bytes;

	struct zip_entry entry; /* the member; its name points into field, gone with the header */
	bool size_known, wanted; /* the member's */
	struct zip_sums seen; /* of its data so far */
	uint8_t *nowhere; /* for inflating what is not wanted, once needed */

	struct archive_choice choice;
	char *taken_name;
	size_t taken_name_len;
	uint64_t taken_offset_bytes;
	uint32_t taken_method;
	struct zip_sums taken;

	uint64_t entries, directory_offset_bytes, directory_bytes;
	bool taken_listed, has_end64;
	uint64_t end64_offset_bytes;
	struct zip_end end64;
};

/* All give DECODE_UNIT_END for "go on". */
static enum decode_status record_begin(struct zip_decoder *z, struct in_span *in,
				       struct bmap_error *err);
static enum decode_status record_step(struct zip_decoder *z, struct in_span *in,
				      struct bmap_error *err);
static enum decode_status data_step(struct zip_decoder *z, struct in_span *in, struct out_span *out,
				    struct bmap_error *err);
static enum decode_status descriptor_step(struct zip_decoder *z, struct in_span *in,
					  struct bmap_error *err);
static enum decode_status skip_step(struct zip_decoder *z, struct in_span *in);
static enum decode_status end_step(struct zip_decoder *z, const struct in_span *in,
				   struct bmap_error *err);

static enum decode_status broken(const struct zip_decoder *z, struct bmap_error *err,
				 const char *reason)
{
	return decoder_broken(&z->base, z->record_offset_bytes, err, "%s", reason);
}

static enum decode_status zip_step(struct decoder *d, struct in_span *in, struct out_span *out,
				   struct bmap_error *err)
{
	struct zip_decoder *z = (struct zip_decoder *)d;
	enum decode_status status = DECODE_UNIT_END;

	d->want_input = 0;
	while (status == DECODE_UNIT_END) {
		switch (z->phase) {
		case ZIP_AT_RECORD:
			status = record_begin(z, in, err);
			break;
		case ZIP_IN_RECORD:
			status = record_step(z, in, err);
			break;
		case ZIP_IN_DATA:
			status = data_step(z, in, out, err);
			break;
		case ZIP_AT_DESCRIPTOR:
			status = descriptor_step(z, in, err);
			break;
		case ZIP_IN_SKIP:
			status = skip_step(z, in);
			break;
		case ZIP_AT_END:
			status = end_step(z, in, err);
			break;
		}
	}
	return status == DECODE_INPUT ? decoder_want_input(d, in, 0, err) : status;
}

/* --- gathering --- */

static bool gather(struct zip_decoder *z, struct in_span *in, size_t len)
{
	size_t n;

	if (z->field_len >= len)
		return true;
	n = (size_t)min_u64(len - z->field_len, in->len);
	if (n)
		memcpy(z->field + z->field_len, in->data, n);
	z->field_len += n;
	decoder_consume(&z->base, in, n);
	return z->field_len == len;
}

/* What was read behind a descriptor, or taken by the inflater behind its stream, stays. */
static void field_drop(struct zip_decoder *z, size_t len)
{
	z->field_len -= len;
	memmove(z->field, z->field + len, z->field_len);
}

static void skip_begin(struct zip_decoder *z, uint64_t len)
{
	z->skip_bytes = len;
	z->phase = ZIP_IN_SKIP;
}

static enum decode_status skip_step(struct zip_decoder *z, struct in_span *in)
{
	size_t kept = (size_t)min_u64(z->skip_bytes, z->field_len);
	size_t n = (size_t)min_u64(z->skip_bytes - kept, in->len);

	field_drop(z, kept);
	decoder_consume(&z->base, in, n);
	z->skip_bytes -= kept + n;
	if (z->skip_bytes)
		return DECODE_INPUT;
	if (z->section == SECTION_END)
		z->phase = ZIP_AT_END;
	else if (z->section == SECTION_MEMBERS && z->entry.flags & ZIP_DESCRIPTOR)
		z->phase = ZIP_AT_DESCRIPTOR;
	else
		z->phase = ZIP_AT_RECORD;
	return DECODE_UNIT_END;
}

static enum decode_status end_step(struct zip_decoder *z, const struct in_span *in,
				   struct bmap_error *err)
{
	struct decoder *d = &z->base;

	if (in->len || z->field_len)
		return decoder_garbage(d, d->source_offset - z->field_len, err);
	if (!in->ended)
		return DECODE_INPUT;
	archive_say(&z->choice, d);
	return DECODE_END;
}

/* --- records --- */

/* The order that is kept: members, central directory (perhaps signed), zip64's end and its locator,
 * end. */
static const char *section_enter(struct zip_decoder *z, enum zip_section section, bool allowed)
{
	if (!allowed)
		return "a record in the wrong place";
	if (z->section == SECTION_MEMBERS && section != SECTION_MEMBERS)
		z->directory_offset_bytes = z->record_offset_bytes;
	if (section > SECTION_DIRECTORY && z->section <= SECTION_DIRECTORY)
		z->directory_bytes = z->record_offset_bytes - z->directory_offset_bytes;
	z->section = section;
	return NULL;
}

static const char *signature_enter(struct zip_decoder *z)
{
	enum zip_section at = z->section;

	switch (z->signature) {
	case ZIP_SIG_LOCAL:
		z->need = ZIP_LOCAL_BYTES;
		return section_enter(z, SECTION_MEMBERS, at == SECTION_MEMBERS);
	case ZIP_SIG_CENTRAL:
		z->need = ZIP_CENTRAL_BYTES;
		return section_enter(z, SECTION_DIRECTORY, at <= SECTION_DIRECTORY);
	case ZIP_SIG_SIGNATURE:
		z->need = 6;
		return section_enter(z, SECTION_DIRECTORY, at == SECTION_DIRECTORY);
	case ZIP_SIG_END64:
		z->need = ZIP_END64_BYTES;
		return section_enter(z, SECTION_END64, at <= SECTION_DIRECTORY);
	case ZIP_SIG_LOCATOR:
		z->need = ZIP_LOCATOR_BYTES;
		return section_enter(z, SECTION_LOCATOR, at == SECTION_END64);
	case ZIP_SIG_END:
		z->need = ZIP_END_BYTES;
		return section_enter(z, SECTION_END, at != SECTION_END64);
	case ZIP_SIG_SPLIT:
	case ZIP_SIG_DESCRIPTOR:
		if (!z->record_offset_bytes)
			return "an archive in several volumes: join them first";
		break;
	}
	return "neither a member nor the central directory follows";
}

static enum decode_status record_begin(struct zip_decoder *z, struct in_span *in,
				       struct bmap_error *err)
{
	bool was_members = z->section == SECTION_MEMBERS;
	const char *reason;

	if (!gather(z, in, ZIP_SIGNATURE_BYTES))
		return DECODE_INPUT;
	z->record_offset_bytes = z->base.source_offset - z->field_len;
	z->signature = load_le32(z->field);
	reason = signature_enter(z);
	if (reason)
		return broken(z, err, reason);
	if (was_members && z->section != SECTION_MEMBERS && !z->choice.taken)
		return archive_missing(&z->choice, &z->base, err);
	z->phase = ZIP_IN_RECORD;
	return DECODE_UNIT_END;
}

/* --- members --- */

static const char *refusal(const struct zip_decoder *z)
{
	const struct zip_entry *entry = &z->entry;

	if (entry->flags & (ZIP_PATCH | ZIP_MASKED))
		return "a member that is a patch, or hidden by encryption";
	if (!z->wanted && z->size_known)
		return NULL;
	if (entry->flags & ZIP_ENCRYPTED)
		return "the member is encrypted: decrypt it first";
	if (!z->size_known && entry->method == ZIP_STORED)
		return "the member is stored, and its length said only behind it: make the "
		       "archive again as a file instead of a stream, or unpack it first";
	return NULL;
}

static bool taken_keep(struct zip_decoder *z, struct bmap_error *err)
{
	z->taken_name_len = z->entry.name_len;
	z->taken_name = malloc(z->entry.name_len + 1);
	if (!z->taken_name)
		return bmap_error_memory(err, z->base.limits.name);
	memcpy(z->taken_name, z->entry.name, z->entry.name_len);
	z->taken_offset_bytes = z->record_offset_bytes;
	z->taken_method = z->entry.method;
	return true;
}

static bool entry_is_file(const struct zip_entry *entry)
{
	return entry->name_len && entry->name[entry->name_len - 1] != '/';
}

static enum decode_status member_begin(struct zip_decoder *z, struct bmap_error *err)
{
	struct zip_entry *entry = &z->entry;
	const char *reason = zip_names_read(entry, z->field, ZIP_LOCAL_BYTES);
	bool is_file = entry_is_file(entry);

	if (reason)
		return broken(z, err, reason);
	z->wanted = is_file &&
		    archive_choose(&z->choice, z->base.limits.member, entry->name, entry->name_len);
	z->size_known = !(entry->flags & ZIP_DESCRIPTOR) || entry->sums.packed_bytes ||
			(!is_file && entry->method == ZIP_STORED);
	reason = refusal(z);
	if (reason)
		return broken(z, err, reason);
	if ((z->wanted || !z->size_known) && entry->method != ZIP_STORED &&
	    entry->method != ZIP_DEFLATED)
		return decoder_broken(&z->base, z->record_offset_bytes, err,
				      "the member is compressed by %s (method %u): only deflate "
				      "is supported",
				      zip_method_name(entry->method), entry->method);
	if (z->wanted && !taken_keep(z, err))
		return DECODE_FAILED;
	entry->name = NULL;
	z->field_len = 0;
	z->seen = (struct zip_sums){ 0 };
	if (!z->wanted && z->size_known) {
		z->seen = entry->sums; /* nobody looks */
		skip_begin(z, entry->sums.packed_bytes);
		return DECODE_UNIT_END;
	}
	z->inflate->reset(z->state);
	z->phase = ZIP_IN_DATA;
	return DECODE_UNIT_END;
}

static enum decode_status member_complete(struct zip_decoder *z)
{
	if (z->wanted)
		z->taken = z->seen;
	z->phase = ZIP_AT_RECORD;
	return DECODE_UNIT_END;
}

/* All data were seen, and a descriptor may still follow. */
static enum decode_status data_complete(struct zip_decoder *z, struct bmap_error *err)
{
	const struct zip_sums *said = &z->entry.sums;

	if (z->entry.flags & ZIP_DESCRIPTOR) {
		z->phase = ZIP_AT_DESCRIPTOR;
		return DECODE_UNIT_END;
	}
	if (z->seen.bytes != said->bytes)
		return broken(z, err, "the member is shorter than its header says");
	if (z->seen.crc != said->crc)
		return broken(z, err, "the CRC-32 of the member does not match");
	return member_complete(z);
}

static enum decode_status descriptor_step(struct zip_decoder *z, struct in_span *in,
					  struct bmap_error *err)
{
	size_t len;

	/* A good archive has at least so much left: the central directory. */
	if (!gather(z, in, ZIP_DESCRIPTOR_MAX_BYTES))
		return DECODE_INPUT;
	len = zip_descriptor_match(z->field, &z->seen);
	if (!len)
		return broken(z, err,
			      "CRC-32 or length of the member is not what stands behind it");
	field_drop(z, len);
	return member_complete(z);
}

/* --- data --- */

static enum decode_status stored_step(struct zip_decoder *z, struct in_span *in,
				      struct out_span *out, struct bmap_error *err)
{
	uint64_t left = z->entry.sums.packed_bytes - z->seen.packed_bytes;
	size_t n = (size_t)min_u64(min_u64(left, in->len), out->room);

	if (!left)
		return data_complete(z, err);
	if (out->room < z->base.want_room)
		return DECODE_ROOM;
	if (!n)
		return DECODE_INPUT;
	memcpy(out->data, in->data, n);
	z->seen.crc = z->inflate->crc32(z->seen.crc, out->data, n);
	z->seen.bytes += n;
	z->seen.packed_bytes += n;
	decoder_consume(&z->base, in, n);
	decoder_emit(&z->base, out, n);
	return DECODE_UNIT_END;
}

static enum decode_status inflated(struct zip_decoder *z, enum inflate_status status,
				   const char *reason, struct bmap_error *err)
{
	bool declared = !(z->entry.flags & ZIP_DESCRIPTOR);

	if (declared && z->seen.bytes > z->entry.sums.bytes)
		return broken(z, err, "the member is longer than its header says");
	switch (status) {
	case INFLATE_ROOM:
		return DECODE_UNIT_END;
	case INFLATE_INPUT:
		if (z->size_known && z->seen.packed_bytes == z->entry.sums.packed_bytes)
			return broken(z, err, "the member's compressed data end in the middle");
		return DECODE_INPUT;
	case INFLATE_BROKEN:
		return decoder_broken(&z->base, z->base.source_offset, err, "%s", reason);
	case INFLATE_DONE:
		break;
	}
	z->field_len = z->inflate->surplus(z->state, z->field);
	z->seen.packed_bytes -= z->field_len;
	if (z->size_known && z->seen.packed_bytes != z->entry.sums.packed_bytes)
		return broken(z, err,
			      "the member's compressed data are shorter than its header says");
	return data_complete(z, err);
}

/* out: the image, or nowhere. */
static enum decode_status inflate_step(struct zip_decoder *z, struct in_span *in,
				       struct out_span *out, struct bmap_error *err)
{
	uint64_t left =
		z->size_known ? z->entry.sums.packed_bytes - z->seen.packed_bytes : UINT64_MAX;
	struct in_span source = { in->data, (size_t)min_u64(left, in->len), false };
	struct out_span image = { out->data, min_u64(out->room, ROOM_USED_BYTES) };
	size_t given = source.len, got;
	const char *reason = NULL;
	enum inflate_status status;

	status = z->inflate->run(z->state, &source, &image, &reason);
	got = (size_t)(image.data - out->data);
	z->seen.crc = z->inflate->crc32(z->seen.crc, out->data, got);
	z->seen.bytes += got;
	z->seen.packed_bytes += given - source.len;
	decoder_consume(&z->base, in, given - source.len);
	if (z->wanted)
		decoder_emit(&z->base, out, got);
	return inflated(z, status, reason, err);
}

static enum decode_status data_step(struct zip_decoder *z, struct in_span *in, struct out_span *out,
				    struct bmap_error *err)
{
	if (z->entry.method == ZIP_STORED)
		return stored_step(z, in, out, err);
	if (!z->wanted) {
		if (!z->nowhere && !(z->nowhere = malloc(NOWHERE_BYTES))) {
			bmap_error_memory(err, z->base.limits.name);
			return DECODE_FAILED;
		}
		return inflate_step(z, in, &(struct out_span){ z->nowhere, NOWHERE_BYTES }, err);
	}
	if (out->room < z->base.want_room)
		return DECODE_ROOM;
	return inflate_step(z, in, out, err);
}

/* --- central directory and end --- */

static bool is_taken(const struct zip_decoder *z, const struct zip_entry *entry)
{
	return entry->offset_bytes == z->taken_offset_bytes;
}

static enum decode_status central_complete(struct zip_decoder *z, const struct zip_entry *entry,
					   struct bmap_error *err)
{
	z->entries++;
	if (is_taken(z, entry)) {
		if (entry->method != z->taken_method || entry->sums.crc != z->taken.crc ||
		    entry->sums.packed_bytes != z->taken.packed_bytes ||
		    entry->sums.bytes != z->taken.bytes || entry->name_len != z->taken_name_len ||
		    memcmp(entry->name, z->taken_name, entry->name_len))
			return broken(z, err,
				      "the central directory and the member's own header do not "
				      "say the same");
		z->taken_listed = true;
	}
	skip_begin(z, entry->comment_len);
	return DECODE_UNIT_END;
}

static const char *end64_complete(struct zip_decoder *z)
{
	uint64_t len = load_le64(z->field + 4);

	if (len < ZIP_END64_BYTES - 12 || len > INT64_MAX)
		return "zip64's end record has an impossible length";
	zip_end64_read(&z->end64, z->field);
	z->end64_offset_bytes = z->record_offset_bytes;
	z->has_end64 = true;
	skip_begin(z, len + 12 - ZIP_END64_BYTES);
	return NULL;
}

static const char *end_check(const struct zip_decoder *z)
{
	struct zip_end end;

	zip_end_read(&end, z->field);
	if (!end.one_volume || (z->has_end64 && !z->end64.one_volume))
		return "an archive in several volumes: join them first";
	if (!z->taken_listed)
		return "the central directory does not list the member that was taken";
	if (z->has_end64 &&
	    (z->end64.entries != z->entries || z->end64.directory_bytes != z->directory_bytes ||
	     z->end64.directory_offset_bytes != z->directory_offset_bytes))
		return "zip64's end record and the central directory do not belong together";
	if (z->has_end64) /* what fits stands here, too; what does not is all ones */
		return NULL;
	/* Writers that know no zip64 write the lowest 16 bits of the number of entries. */
	if ((uint16_t)end.entries != (uint16_t)z->entries ||
	    end.directory_bytes != z->directory_bytes ||
	    end.directory_offset_bytes != z->directory_offset_bytes)
		return "the end record and the central directory do not belong together";
	return NULL;
}

/* The record's need bytes are there. */
static enum decode_status record_complete(struct zip_decoder *z, struct bmap_error *err)
{
	struct zip_entry central;
	const char *reason = NULL;
	enum decode_status status;
	size_t skip;

	switch (z->signature) {
	case ZIP_SIG_LOCAL:
		return member_begin(z, err);
	case ZIP_SIG_CENTRAL:
		zip_central_read(&central, z->field);
		reason = zip_names_read(&central, z->field, ZIP_CENTRAL_BYTES);
		if (reason)
			return broken(z, err, reason);
		status = central_complete(z, &central, err);
		field_drop(z, z->need);
		return status;
	case ZIP_SIG_SIGNATURE:
		skip = load_le16(z->field + 4);
		break;
	case ZIP_SIG_END64:
		reason = end64_complete(z);
		skip = (size_t)z->skip_bytes;
		break;
	case ZIP_SIG_LOCATOR:
		skip = 0;
		if (load_le64(z->field + 8) != z->end64_offset_bytes)
			reason = "zip64's locator points somewhere else than to its end record";
		break;
	default:
		skip = load_le16(z->field + 20);
		reason = end_check(z);
	}
	if (reason)
		return broken(z, err, reason);
	field_drop(z, z->need);
	skip_begin(z, skip);
	return DECODE_UNIT_END;
}

static enum decode_status record_step(struct zip_decoder *z, struct in_span *in,
				      struct bmap_error *err)
{
	struct zip_entry central;
	size_t need = z->need;

	if (!gather(z, in, need))
		return DECODE_INPUT;
	if (z->signature == ZIP_SIG_LOCAL)
		need = zip_local_read(&z->entry, z->field);
	else if (z->signature == ZIP_SIG_CENTRAL)
		need = zip_central_read(&central, z->field);
	if (need > z->need) {
		z->need = need;
		return DECODE_UNIT_END;
	}
	return record_complete(z, err);
}

/* --- begin and end --- */

static bool zip_probe(const uint8_t *head, size_t len)
{
	if (len < ZIP_SIGNATURE_BYTES)
		return false;
	switch (load_le32(head)) {
	case ZIP_SIG_LOCAL:
	case ZIP_SIG_END: /* an empty archive: to be refused by name */
		return true;
	case ZIP_SIG_SPLIT: /* likewise */
	case ZIP_SIG_DESCRIPTOR:
		return len >= 8 && load_le32(head + 4) == ZIP_SIG_LOCAL;
	}
	return false;
}

static bool zip_plan(const uint8_t *head, size_t len, struct decoder_plan *plan,
		     struct bmap_error *err)
{
	*plan = (struct decoder_plan){ 0 };
	if (!zip_probe(head, len))
		return bmap_error_data(err, 0,
				       "broken zip data at offset 0: no member begins here");
	return true;
}

static struct decoder *zip_open(const struct decoder_limits *limits, struct bmap_error *err)
{
	struct zip_decoder *z = calloc(1, sizeof(*z));

	if (z) {
		z->inflate = inflate_provider();
		z->field = malloc(ZIP_RECORD_MAX_BYTES);
		z->state = z->inflate->open();
	}
	if (!z || !z->field || !z->state) {
		if (z)
			z->inflate->close(z->state);
		if (z)
			free(z->field);
		free(z);
		bmap_error_memory(err, limits->name);
		return NULL;
	}
	z->base = (struct decoder){ .ops = &zip_decoder, .limits = *limits };
	z->base.want_room = (size_t)max_u64(1, min_u64(ROOM_WANTED_BYTES, limits->room_max_bytes));
	return &z->base;
}

static void zip_close(struct decoder *d)
{
	struct zip_decoder *z = (struct zip_decoder *)d;

	if (!z)
		return;
	z->inflate->close(z->state);
	free(z->taken_name);
	free(z->nowhere);
	free(z->field);
	free(z);
}

static const char *const zip_suffixes[] = { ".zip", NULL };

const struct decoder_ops zip_decoder = {
	.name = "zip",
	.suffixes = zip_suffixes,
	.probe = zip_probe,
	.plan = zip_plan,
	.open = zip_open,
	.step = zip_step,
	.close = zip_close,
};

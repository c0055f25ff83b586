/* SPDX-License-Identifier: MIT */
#include "decode/zip_internal.h"

#define EXTRA_ZIP64 1u
#define IN_ZIP64 0xFFFFFFFFu /* the number stands in the extra field */

size_t zip_local_read(struct zip_entry *entry, const uint8_t *record)
{
	*entry = (struct zip_entry){
		.flags = load_le16(record + 6),
		.method = load_le16(record + 8),
		.sums = { .crc = load_le32(record + 14),
			  .packed_bytes = load_le32(record + 18),
			  .bytes = load_le32(record + 22) },
		.name_len = load_le16(record + 26),
		.extra_len = load_le16(record + 28),
	};
	return ZIP_LOCAL_BYTES + entry->name_len + entry->extra_len;
}

size_t zip_central_read(struct zip_entry *entry, const uint8_t *record)
{
	*entry = (struct zip_entry){
		.flags = load_le16(record + 8),
		.method = load_le16(record + 10),
		.sums = { .crc = load_le32(record + 16),
			  .packed_bytes = load_le32(record + 20),
			  .bytes = load_le32(record + 24) },
		.name_len = load_le16(record + 28),
		.extra_len = load_le16(record + 30),
		.comment_len = load_le16(record + 32),
		.offset_bytes = load_le32(record + 42),
	};
	return ZIP_CENTRAL_BYTES + entry->name_len + entry->extra_len;
}

static bool number64_take(uint64_t *number, const uint8_t **field, const uint8_t *end)
{
	if (*number != IN_ZIP64)
		return true;
	if (end - *field < 8)
		return false;
	*number = load_le64(*field);
	*field += 8;
	return *number <= INT64_MAX;
}

/* 4.5.3: only the numbers that did not fit, in this order. */
static const char *zip64_read(struct zip_entry *entry, const uint8_t *field, size_t len)
{
	const uint8_t *end = field + len;

	if (number64_take(&entry->sums.bytes, &field, end) &&
	    number64_take(&entry->sums.packed_bytes, &field, end) &&
	    number64_take(&entry->offset_bytes, &field, end))
		return NULL;
	return "a zip64 field that is too short, or with an impossible size";
}

const char *zip_names_read(struct zip_entry *entry, const uint8_t *record, size_t fixed_len)
{
	const uint8_t *extra = record + fixed_len + entry->name_len;
	size_t left = entry->extra_len;

	entry->name = (const char *)record + fixed_len;
	/* What is behind the last whole field is padding: some writers align data by it. */
	while (left >= 4) {
		size_t len = load_le16(extra + 2);

		if (len > left - 4)
			break;
		if (load_le16(extra) == EXTRA_ZIP64)
			return zip64_read(entry, extra + 4, len);
		extra += 4 + len;
		left -= 4 + len;
	}
	return NULL;
}

static bool numbers_match(const uint8_t *bytes, bool is_64, const struct zip_sums *sums)
{
	if (load_le32(bytes) != sums->crc)
		return false;
	if (is_64)
		return load_le64(bytes + 4) == sums->packed_bytes &&
		       load_le64(bytes + 12) == sums->bytes;
	return load_le32(bytes + 4) == (uint32_t)sums->packed_bytes &&
	       load_le32(bytes + 8) == (uint32_t)sums->bytes;
}

/* With or without a signature, with numbers of 32 or 64 bits (4.3.9.3): writers do not agree on
 * when to use which. Behind it comes a record, so a longer form that fits is no accident. */
size_t zip_descriptor_match(const uint8_t *bytes, const struct zip_sums *sums)
{
	if (load_le32(bytes) == ZIP_SIG_DESCRIPTOR) {
		if (numbers_match(bytes + 4, true, sums))
			return 24;
		if (numbers_match(bytes + 4, false, sums))
			return 16;
	}
	if (numbers_match(bytes, true, sums))
		return 20;
	return numbers_match(bytes, false, sums) ? 12 : 0;
}

void zip_end_read(struct zip_end *end, const uint8_t *record)
{
	*end = (struct zip_end){
		.entries = load_le16(record + 10),
		.directory_bytes = load_le32(record + 12),
		.directory_offset_bytes = load_le32(record + 16),
		/* 0xFFFF: zip64's record says it */
		.one_volume = (load_le16(record + 4) == 0 || load_le16(record + 4) == 0xFFFF) &&
			      load_le16(record + 8) == load_le16(record + 10),
	};
}

void zip_end64_read(struct zip_end *end, const uint8_t *record)
{
	*end = (struct zip_end){
		.entries = load_le64(record + 32),
		.directory_bytes = load_le64(record + 40),
		.directory_offset_bytes = load_le64(record + 48),
		.one_volume = load_le32(record + 16) == 0 &&
			      load_le64(record + 24) == load_le64(record + 32),
	};
}

const char *zip_method_name(uint32_t method)
{
	static const struct {
		uint32_t method;
		const char *name;
	} names[] = {
		{ 1, "shrink" }, { 6, "implode" }, { 9, "deflate64" },
		{ 12, "bzip2" }, { 14, "LZMA" },   { 93, "zstd" },
		{ 95, "xz" },    { 98, "PPMd" },   { 99, "AES" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].method == method)
			return names[i].name;
	return "an unknown method";
}

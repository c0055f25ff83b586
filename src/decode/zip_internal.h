/* SPDX-License-Identifier: MIT */
/* decode/zip_internal.h - the records of a zip file, as PKWARE's APPNOTE.TXT numbers them.
 * zip_records.c reads them, zip_decoder.c walks from one to the next. */
#ifndef DECODE_ZIP_INTERNAL_H
#define DECODE_ZIP_INTERNAL_H

#include "decode/decoder_internal.h"

#define ZIP_SIGNATURE_BYTES 4u
#define ZIP_LOCAL_BYTES 30u
#define ZIP_CENTRAL_BYTES 46u
#define ZIP_END64_BYTES 56u
#define ZIP_LOCATOR_BYTES 20u
#define ZIP_END_BYTES 22u
#define ZIP_DESCRIPTOR_MAX_BYTES 24u
/* The longest one that is read as a whole: a central entry with name and extra fields. */
#define ZIP_RECORD_MAX_BYTES (ZIP_CENTRAL_BYTES + 2u * 0xFFFFu)

enum zip_signature {
	ZIP_SIG_LOCAL = 0x04034B50, /* 4.3.7 */
	ZIP_SIG_DESCRIPTOR = 0x08074B50, /* 4.3.9; at the file's start: split into volumes */
	ZIP_SIG_SPLIT = 0x30304B50, /* "PK00": made for volumes, in one */
	ZIP_SIG_CENTRAL = 0x02014B50, /* 4.3.12 */
	ZIP_SIG_SIGNATURE = 0x05054B50, /* 4.3.13 */
	ZIP_SIG_END64 = 0x06064B50, /* 4.3.14 */
	ZIP_SIG_LOCATOR = 0x07064B50, /* 4.3.15 */
	ZIP_SIG_END = 0x06054B50, /* 4.3.16 */
};

enum zip_flag {
	ZIP_ENCRYPTED = 1 << 0,
	ZIP_DESCRIPTOR = 1 << 3, /* CRC and sizes are behind the data */
	ZIP_PATCH = 1 << 5,
	ZIP_MASKED = 1 << 13,
};

enum zip_method { ZIP_STORED = 0, ZIP_DEFLATED = 8 };

struct zip_sums {
	uint32_t crc;
	uint64_t packed_bytes, bytes;
};

/* What local headers and central entries say alike. */
struct zip_entry {
	uint32_t flags, method;
	struct zip_sums sums;
	size_t name_len, extra_len, comment_len;
	const char *name; /* inside the record; once it is whole, as are zip64's sizes */
	uint64_t offset_bytes; /* of the local header: central entries */
};

/* record: the fixed part. Returns the length of the whole record without the comment. */
size_t zip_local_read(struct zip_entry *entry, const uint8_t *record);
size_t zip_central_read(struct zip_entry *entry, const uint8_t *record);
/* record: all of it, fixed_len the length of its fixed part. NULL, or what is wrong. */
const char *zip_names_read(struct zip_entry *entry, const uint8_t *record, size_t fixed_len);
/* bytes: ZIP_DESCRIPTOR_MAX_BYTES, of which the descriptor in one of its four forms is the begin.
 * Its length, 0: none of them says the same as sums. */
size_t zip_descriptor_match(const uint8_t *bytes, const struct zip_sums *sums);

struct zip_end {
	uint64_t entries, directory_bytes, directory_offset_bytes;
	bool one_volume;
};
void zip_end_read(struct zip_end *end, const uint8_t *record);
void zip_end64_read(struct zip_end *end, const uint8_t *record);
/* "AES encryption", "bzip2", ...: for messages. */
const char *zip_method_name(uint32_t method);

#endif

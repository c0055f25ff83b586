/* SPDX-License-Identifier: MIT */
/* zip_make.h - archives, record by record, with whatever a test wants wrong in them. */
#ifndef DECODE_ZIP_MAKE_H
#define DECODE_ZIP_MAKE_H

#include "base/checked.h"
#include "decode_driver.h"
#include "unit_test.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum zip_make_sizes {
	SIZES_IN_FRONT,
	SIZES_ZIP64, /* in front, in the extra field */
	SIZES_BEHIND, /* signature and 32 bits */
	SIZES_BEHIND_BARE, /* no signature */
	SIZES_BEHIND_64,
	SIZES_BEHIND_64_BARE,
	SIZES_COUNT
};

struct zip_made {
	const char *name;
	unsigned method; /* 0, 8; others are stored and lie */
	unsigned flags; /* beside bit 3 */
	enum zip_make_sizes sizes;
	const uint8_t *data;
	size_t len;
	/* filled: */
	size_t offset, packed_len;
	uint32_t crc;
};

static inline void zip_number_add(struct test_bytes *to, uint64_t value, size_t bytes)
{
	uint8_t out[8];

	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(value >> 8 * i);
	test_bytes_add(to, out, bytes);
}

static inline void zip_deflate_add(struct test_bytes *to, const uint8_t *data, size_t len)
{
	z_stream z = { 0 };
	uLong bound;

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
	bound = deflateBound(&z, len) + 64;
	z.next_in = (Bytef *)data;
	z.avail_in = (uInt)len;
	z.next_out = test_bytes_room(to, bound);
	z.avail_out = (uInt)bound;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	to->len += bound - z.avail_out;
	deflateEnd(&z);
}

static inline void zip_member_add(struct test_bytes *to, struct zip_made *m)
{
	bool behind = m->sizes >= SIZES_BEHIND, zip64 = m->sizes == SIZES_ZIP64;
	struct test_bytes packed = { 0 };

	if (m->method == 8)
		zip_deflate_add(&packed, m->data, m->len);
	else
		test_bytes_add(&packed, m->data, m->len);
	m->offset = to->len;
	m->packed_len = packed.len;
	m->crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), m->data, m->len);
	zip_number_add(to, 0x04034B50, 4);
	zip_number_add(to, 45, 2);
	zip_number_add(to, m->flags | (behind ? 8 : 0), 2);
	zip_number_add(to, m->method, 2);
	zip_number_add(to, 0, 4);
	zip_number_add(to, behind ? 0 : m->crc, 4);
	zip_number_add(to, zip64 ? UINT32_MAX : behind ? 0 : packed.len, 4);
	zip_number_add(to, zip64 ? UINT32_MAX : behind ? 0 : m->len, 4);
	zip_number_add(to, strlen(m->name), 2);
	zip_number_add(to, zip64 ? 25 : 0, 2);
	test_bytes_add(to, m->name, strlen(m->name));
	if (zip64) {
		test_bytes_add(to, "UT\1\0\7", 5); /* another field in front */
		zip_number_add(to, 1, 2);
		zip_number_add(to, 16, 2);
		zip_number_add(to, m->len, 8);
		zip_number_add(to, packed.len, 8);
	}
	test_bytes_add(to, packed.data, packed.len);
	if (m->sizes == SIZES_BEHIND || m->sizes == SIZES_BEHIND_64)
		zip_number_add(to, 0x08074B50, 4);
	if (behind) {
		size_t bytes = m->sizes >= SIZES_BEHIND_64 ? 8 : 4;

		zip_number_add(to, m->crc, 4);
		zip_number_add(to, packed.len, bytes);
		zip_number_add(to, m->len, bytes);
	}
	test_bytes_free(&packed);
}

static inline void zip_central_add(struct test_bytes *to, const struct zip_made *m)
{
	zip_number_add(to, 0x02014B50, 4);
	zip_number_add(to, 45, 2);
	zip_number_add(to, 45, 2);
	zip_number_add(to, m->flags | (m->sizes >= SIZES_BEHIND ? 8 : 0), 2);
	zip_number_add(to, m->method, 2);
	zip_number_add(to, 0, 4);
	zip_number_add(to, m->crc, 4);
	zip_number_add(to, m->packed_len, 4);
	zip_number_add(to, m->len, 4);
	zip_number_add(to, strlen(m->name), 2);
	zip_number_add(to, 0, 2);
	zip_number_add(to, 7, 2); /* comment */
	zip_number_add(to, 0, 8);
	zip_number_add(to, m->offset, 4);
	test_bytes_add(to, m->name, strlen(m->name));
	test_bytes_add(to, "comment", 7);
}

/* begin: where the central directory does. */
static inline void zip_end_add(struct test_bytes *to, size_t begin, size_t count, bool zip64)
{
	size_t len = to->len - begin, end64 = to->len;

	if (zip64) {
		zip_number_add(to, 0x06064B50, 4);
		zip_number_add(to, 44 + 3, 8);
		zip_number_add(to, 45, 2);
		zip_number_add(to, 45, 2);
		zip_number_add(to, 0, 8);
		zip_number_add(to, count, 8);
		zip_number_add(to, count, 8);
		zip_number_add(to, len, 8);
		zip_number_add(to, begin, 8);
		test_bytes_add(to, "ext", 3);
		zip_number_add(to, 0x07064B50, 4);
		zip_number_add(to, 0, 4);
		zip_number_add(to, end64, 8);
		zip_number_add(to, 1, 4);
	}
	zip_number_add(to, 0x06054B50, 4);
	zip_number_add(to, 0, 4);
	zip_number_add(to, zip64 ? 0xFFFF : count, 2);
	zip_number_add(to, zip64 ? 0xFFFF : count, 2);
	zip_number_add(to, zip64 ? UINT32_MAX : len, 4);
	zip_number_add(to, zip64 ? UINT32_MAX : begin, 4);
	zip_number_add(to, 4, 2);
	test_bytes_add(to, "PK\5\6", 4); /* a comment that looks like something */
}

static inline struct test_bytes zip_make(struct zip_made *members, size_t count, bool zip64)
{
	struct test_bytes zip = { 0 };
	size_t begin;

	for (size_t i = 0; i < count; i++)
		zip_member_add(&zip, &members[i]);
	begin = zip.len;
	for (size_t i = 0; i < count; i++)
		zip_central_add(&zip, &members[i]);
	zip_end_add(&zip, begin, count, zip64);
	return zip;
}

#endif

/* SPDX-License-Identifier: MIT */
/* tar_make.h - archives, block by block, right or wrong. */
#ifndef DECODE_TAR_MAKE_H
#define DECODE_TAR_MAKE_H

#include "base/checked.h"
#include "decode/decoder_internal.h"
#include "decode_driver.h"
#include "unit_test.h"

#include <stdio.h>
#include <string.h>

enum tar_make_kind { MAKE_USTAR, MAKE_GNU, MAKE_V7 };

static inline void tar_sum(uint8_t *block)
{
	unsigned sum = 0;

	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += block[i];
	snprintf((char *)block + 148, 8, "%06o", sum & 07777777);
}

/* Octal where it fits, else base 256. */
static inline void tar_put(uint8_t *field, size_t len, uint64_t value)
{
	if (value < 1ull << 3 * (len - 1)) {
		snprintf((char *)field, len, "%0*llo", (int)len - 1, (unsigned long long)value);
		return;
	}
	field[0] = 0x80;
	for (size_t i = 1; i < len; i++)
		field[i] = (uint8_t)(len - 1 - i < 8 ? value >> 8 * (len - 1 - i) : 0);
}

/* Stays where it is until the next addition; after changing it: tar_sum(). */
static inline uint8_t *tar_header_add(struct test_bytes *to, enum tar_make_kind kind,
				      const char *name, char type, uint64_t size)
{
	uint8_t *block = test_bytes_room(to, 512);

	/* No strnlen(): gcc's sanitizer builds know how long the names are, and complain. */
	for (size_t i = 0; i < 100 && name[i]; i++)
		block[i] = (uint8_t)name[i];
	memcpy(block + 100, "0000644", 8);
	tar_put(block + 124, 12, size);
	tar_put(block + 136, 12, 1234567890);
	block[156] = (uint8_t)type;
	if (kind != MAKE_V7)
		memcpy(block + 257,
		       kind == MAKE_GNU ? "ustar  "
					: "ustar\0"
					  "00",
		       8);
	tar_sum(block);
	to->len += 512;
	return block;
}

static inline void tar_data_add(struct test_bytes *to, const void *data, size_t len)
{
	size_t padding = (size_t)(align_up(len, 512) - len);

	test_bytes_add(to, data, len);
	test_bytes_room(to, padding);
	to->len += padding;
}

static inline void tar_file_add(struct test_bytes *to, const char *name, const void *data,
				size_t len)
{
	tar_header_add(to, MAKE_USTAR, name, '0', len);
	tar_data_add(to, data, len);
}

static inline void tar_record_add(struct test_bytes *to, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;
	char digits[32];

	while (rest + (size_t)snprintf(digits, sizeof(digits), "%zu", len) != len)
		len = rest + strlen(digits);
	test_bytes_add(to, digits, strlen(digits));
	test_bytes_add(to, " ", 1);
	test_bytes_add(to, key, strlen(key));
	test_bytes_add(to, "=", 1);
	test_bytes_add(to, value, strlen(value));
	test_bytes_add(to, "\n", 1);
}

static inline void tar_number_record_add(struct test_bytes *to, const char *key, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	tar_record_add(to, key, text);
}

/* Takes the records over. */
static inline void tar_pax_add(struct test_bytes *to, char type, struct test_bytes *records)
{
	tar_header_add(to, MAKE_USTAR, "PaxHeaders/x", type, records->len);
	tar_data_add(to, records->data, records->len);
	test_bytes_free(records);
}

static inline void tar_end_add(struct test_bytes *to)
{
	test_bytes_room(to, 1024);
	to->len += 1024;
}

/* Small memory: there are many of these. */
#define SMALL .ring_bytes = 64 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB
static const struct decode_feed small_feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_ALL, .room_max_bytes = 1 },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST, .room_max_bytes = 7 },
};

/* Fails with the words in its message, in every way. */
static inline void expect_refused(const struct test_bytes *source, const char *words)
{
	for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++) {
		struct decode_result r = decode_drive(&tar_decoder, source->data, source->len, NULL,
						      0, &small_feeds[i]);

		if (r.good || !strstr(r.err.text, words))
			fail_msg("'%s', wanted: %s", r.good ? "good" : r.err.text, words);
	}
}

#endif

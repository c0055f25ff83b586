/* SPDX-License-Identifier: MIT */
#include "decode/tar_internal.h"

#include <string.h>

/* Where the fields lie: POSIX.1-2017 pax(1), "ustar Interchange Format". */
#define NAME_AT 0u
#define NAME_LEN 100u
#define SIZE_AT 124u
#define SIZE_LEN 12u
#define CHECKSUM_AT 148u
#define CHECKSUM_LEN 8u
#define TYPE_AT 156u
#define MAGIC_AT 257u
#define PREFIX_AT 345u
#define PREFIX_LEN 155u

const char TAR_NO_MEMORY[] = "";

static bool checksum_is_right(const uint8_t *block)
{
	uint64_t said;
	uint32_t sum = 0;
	int32_t signed_sum = 0; /* some old writers added the bytes as signed ones */

	if (!tar_number(block + CHECKSUM_AT, CHECKSUM_LEN, &said))
		return false;
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
		uint8_t byte = i - CHECKSUM_AT < CHECKSUM_LEN ? ' ' : block[i];

		sum += byte;
		signed_sum += (int8_t)byte;
	}
	return said == sum || (signed_sum >= 0 && said == (uint64_t)signed_sum);
}

bool tar_is_header(const uint8_t *block)
{
	const uint8_t *magic = block + MAGIC_AT;

	return (!memcmp(magic, "ustar\0", 6) || tar_is_gnu(block)) && checksum_is_right(block);
}

bool tar_is_gnu(const uint8_t *block)
{
	return !memcmp(block + MAGIC_AT, "ustar  ", 8);
}

bool tar_is_zero(const uint8_t *block)
{
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		if (block[i])
			return false;
	return true;
}

static bool base256(const uint8_t *field, size_t len, uint64_t *value)
{
	uint64_t n = field[0] & 0x7F; /* a negative number has bit 6 set: too large, too */

	for (size_t i = 1; i < len; i++) {
		if (n > (uint64_t)INT64_MAX >> 8)
			return false;
		n = n << 8 | field[i];
	}
	*value = n;
	return true;
}

bool tar_number(const uint8_t *field, size_t len, uint64_t *value)
{
	uint64_t n = 0;
	size_t i = 0;

	if (field[0] & 0x80)
		return base256(field, len, value);
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++) {
		if (n > (uint64_t)INT64_MAX >> 3)
			return false;
		n = n << 3 | (uint64_t)(field[i] - '0');
	}
	*value = n;
	return i == len || field[i] == ' ' || field[i] == '\0';
}

bool tar_size(const uint8_t *block, uint64_t *value)
{
	return tar_number(block + SIZE_AT, SIZE_LEN, value);
}

char tar_type(const uint8_t *block)
{
	return (char)block[TYPE_AT];
}

size_t tar_name(const uint8_t *block, char name[TAR_NAME_BYTES])
{
	const char *field = (const char *)block + NAME_AT,
		   *prefix = (const char *)block + PREFIX_AT;
	size_t len = strnlen(field, NAME_LEN);
	size_t prefix_len = tar_is_gnu(block) ? 0 : strnlen(prefix, PREFIX_LEN);
	size_t at = 0;

	if (prefix_len) {
		memcpy(name, prefix, prefix_len);
		name[prefix_len] = '/';
		at = prefix_len + 1;
	}
	memcpy(name + at, field, len);
	name[at + len] = '\0';
	return at + len;
}

/* SPDX-License-Identifier: MIT */
/* Records "LEN KEY=VALUE\n", LEN counting all of it: POSIX.1-2017 pax(1), "pax Extended Header".
 * GNU's keys for sparse files: the tar manual, "Storing Sparse Files". */
#include "decode/tar_internal.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER_DIGITS_MAX 18u /* below INT64_MAX */

struct record {
	const char *key, *value; /* not terminated */
	size_t key_len, value_len;
};

static const char *record_next(const uint8_t *records, size_t len, size_t *at,
			       struct record *record);
static const char *record_take(struct tar_pax *pax, struct tar_map *map,
			       const struct record *record, uint64_t memory_bytes);

void tar_pax_clear(struct tar_pax *pax)
{
	free(pax->path);
	free(pax->sparse_name);
	*pax = (struct tar_pax){ 0 };
}

static bool key_is(const struct record *record, const char *key)
{
	return record->key_len == strlen(key) && !memcmp(record->key, key, record->key_len);
}

static bool key_begins(const struct record *record, const char *key)
{
	return record->key_len >= strlen(key) && !memcmp(record->key, key, strlen(key));
}

const char *tar_pax_read(struct tar_pax *pax, struct tar_map *map, const uint8_t *records,
			 size_t len, bool is_global, uint64_t memory_bytes)
{
	struct record record;
	const char *reason;

	for (size_t at = 0; at < len;) {
		reason = record_next(records, len, &at, &record);
		if (reason)
			return reason;
		if (!is_global)
			reason = record_take(pax, map, &record, memory_bytes);
		else if (key_is(&record, "size") || key_begins(&record, "GNU.sparse."))
			reason = "a global pax header gives the size of files";
		if (reason)
			return reason;
	}
	return NULL;
}

static const char *record_next(const uint8_t *records, size_t len, size_t *at,
			       struct record *record)
{
	const char *begin = (const char *)records + *at, *equals;
	size_t left = len - *at, total = 0, i = 0;

	for (; i < left && begin[i] >= '0' && begin[i] <= '9' && total <= left; i++)
		total = total * 10 + (size_t)(begin[i] - '0');
	if (!i || i == left || begin[i] != ' ' || total <= i + 1 || total > left ||
	    begin[total - 1] != '\n')
		return "a pax record with a wrong length";
	record->key = begin + i + 1;
	equals = memchr(record->key, '=', total - i - 1);
	if (!equals)
		return "a pax record without a value";
	record->key_len = (size_t)(equals - record->key);
	record->value = equals + 1;
	record->value_len = (size_t)(begin + total - 1 - record->value);
	*at += total;
	return NULL;
}

static const char *text_take(char **to, const struct record *record)
{
	free(*to);
	*to = strndup(record->value, record->value_len);
	return *to ? NULL : TAR_NO_MEMORY;
}

/* Decimal digits up to `end` or the value's end; moves *at behind them. */
static bool digits_read(const struct record *record, size_t *at, uint64_t *number)
{
	size_t begin = *at;

	*number = 0;
	for (; *at < record->value_len; (*at)++) {
		char c = record->value[*at];

		if (c < '0' || c > '9')
			break;
		*number = *number * 10 + (uint64_t)(c - '0');
		if (*at - begin >= NUMBER_DIGITS_MAX)
			return false;
	}
	return *at > begin;
}

static const char *number_take(uint64_t *to, const struct record *record)
{
	size_t at = 0;

	if (!digits_read(record, &at, to) || at != record->value_len)
		return "a pax record with something else than a number";
	return NULL;
}

/* Format 0.1: "offset,length,offset,length,..." */
static const char *map_take(struct tar_map *map, const struct record *record, uint64_t memory_bytes)
{
	const char *reason = NULL;

	tar_map_clear(map);
	if (!record->value_len)
		return NULL;
	for (size_t at = 0; !reason; at++) {
		uint64_t number;

		if (!digits_read(record, &at, &number) ||
		    (at < record->value_len && record->value[at] != ','))
			return "a sparse map has something else than numbers";
		reason = tar_map_add_number(map, number, memory_bytes);
		if (at == record->value_len)
			break;
	}
	return reason;
}

/* Format 0.0: a record for each number, offset and length in turn. */
static const char *half_take(struct tar_map *map, const struct record *record, bool is_length,
			     uint64_t memory_bytes)
{
	uint64_t number;
	const char *reason = number_take(&number, record);

	if (reason)
		return reason;
	if (map->half != is_length)
		return "offsets and lengths of a sparse map do not come in turn";
	return tar_map_add_number(map, number, memory_bytes);
}

static const char *record_take(struct tar_pax *pax, struct tar_map *map,
			       const struct record *record, uint64_t memory_bytes)
{
	if (key_is(record, "path"))
		return text_take(&pax->path, record);
	if (key_is(record, "size")) {
		pax->has_size = true;
		return number_take(&pax->size_bytes, record);
	}
	if (!key_begins(record, "GNU.sparse."))
		return NULL; /* times, owners, and whatever else */
	pax->is_sparse = true;
	if (key_is(record, "GNU.sparse.name"))
		return text_take(&pax->sparse_name, record);
	if (key_is(record, "GNU.sparse.size") || key_is(record, "GNU.sparse.realsize")) {
		pax->has_real_size = true;
		return number_take(&pax->real_size_bytes, record);
	}
	if (key_is(record, "GNU.sparse.major"))
		return number_take(&pax->sparse_major, record);
	if (key_is(record, "GNU.sparse.minor"))
		return number_take(&pax->sparse_minor, record);
	if (key_is(record, "GNU.sparse.map"))
		return map_take(map, record, memory_bytes);
	if (key_is(record, "GNU.sparse.offset"))
		return half_take(map, record, false, memory_bytes);
	if (key_is(record, "GNU.sparse.numbytes"))
		return half_take(map, record, true, memory_bytes);
	return NULL; /* numblocks: says how many will come */
}

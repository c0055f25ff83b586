/* SPDX-License-Identifier: MIT */
#include "cli/json_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Length of the character that s (not at its end) begins with; 0: it is none. RFC 3629: no longer
 * forms than needed, no surrogates, nothing above U+10FFFF. */
static size_t utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char first, last, second_first, second_last;
		size_t len;
	} forms[] = {
		{ 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (s[0] < forms[i].first || s[0] > forms[i].last)
			continue;
		if (forms[i].len == 1)
			return 1;
		if (s[1] < forms[i].second_first || s[1] > forms[i].second_last)
			return 0;
		for (size_t k = 2; k < forms[i].len; k++) /* the NUL is none of them */
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

bool text_is_utf8(const char *bytes)
{
	const unsigned char *s = (const unsigned char *)bytes;
	size_t len;

	for (; *s; s += len) {
		len = utf8_length(s);
		if (!len)
			return false;
	}
	return true;
}

json_t *json_text(const char *bytes)
{
	const unsigned char *s = (const unsigned char *)bytes;
	json_t *value;
	char *clean, *to;

	if (!bytes)
		return json_null();
	clean = to = malloc(strlen(bytes) * strlen(REPLACEMENT) + 1);
	if (!clean)
		return NULL;
	while (*s) {
		size_t len = utf8_length(s);

		memcpy(to, len ? (const char *)s : REPLACEMENT, len ? len : strlen(REPLACEMENT));
		to += len ? len : strlen(REPLACEMENT);
		s += len ? len : 1;
	}
	value = json_stringn(clean, (size_t)(to - clean));
	free(clean);
	return value;
}

json_t *json_text_hex(const char *bytes)
{
	json_t *value;
	char *hex;

	if (!bytes || text_is_utf8(bytes))
		return NULL;
	hex = malloc(2 * strlen(bytes) + 1);
	if (!hex)
		return NULL;
	for (size_t i = 0; bytes[i]; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
	value = json_string(hex);
	free(hex);
	return value;
}

json_t *json_number(uint64_t n)
{
	return json_integer(n <= INT64_MAX ? (json_int_t)n : INT64_MAX);
}

json_t *json_number_or_null(uint64_t n)
{
	return n ? json_number(n) : json_null();
}

json_t *json_ms(uint64_t ns)
{
	return json_number(ns / NS_PER_MS + (ns % NS_PER_MS >= NS_PER_MS / 2));
}

json_t *json_time(const struct timespec *realtime)
{
	char text[64];
	struct tm tm;
	size_t len;

	if (!gmtime_r(&realtime->tv_sec, &tm))
		return json_null();
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%03uZ",
		 (unsigned)realtime->tv_nsec / NS_PER_MS % 1000);
	return json_string(text);
}

json_t *json_time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return json_time(&now);
}

json_t *json_speed(uint64_t bytes, uint64_t ns)
{
	double speed = ns ? (double)bytes * NS_PER_S / (double)ns : 0;

	if (!ns)
		return json_null();
	return json_number(speed < 9e18 ? (uint64_t)speed : INT64_MAX);
}

json_t *json_append(json_t *list, json_t *item)
{
	if (list && !json_array_append_new(list, item)) /* takes item in any case */
		return list;
	if (!list)
		json_decref(item);
	json_decref(list);
	return NULL;
}

const char *error_code_word(enum bmap_error_code code)
{
	static const char *const words[] = {
		[BMAP_ERR_NONE] = "none",
		[BMAP_ERR_USAGE] = "usage",
		[BMAP_ERR_NOT_FOUND] = "not-found",
		[BMAP_ERR_IO] = "io",
		[BMAP_ERR_MAP] = "map",
		[BMAP_ERR_DATA] = "data",
		[BMAP_ERR_REFUSED] = "refused",
		[BMAP_ERR_UNSUPPORTED] = "unsupported",
		[BMAP_ERR_MEMORY] = "memory",
		[BMAP_ERR_STALLED] = "stalled",
		[BMAP_ERR_INTERRUPTED] = "interrupted",
	};

	return (size_t)code < sizeof(words) / sizeof(words[0]) ? words[code] : "unknown";
}

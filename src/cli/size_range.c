/* SPDX-License-Identifier: MIT */
#include "cli/size_range.h"
#include "cli/options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_ROOM 32
#define PLUS_MINUS "\302\261" /* UTF-8 */
#define WHOLE 100000u /* 100 % in the thousandths that tolerances are counted in */

/* "32GB": false if it does not end so. */
static bool parse_decimal(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	unsigned long long n;
	const char *unit;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	n = strtoull(text, &end, 10);
	if (!*end || !(unit = strchr(units, toupper((unsigned char)*end))) ||
	    toupper((unsigned char)end[1]) != 'B' || end[2] || n == 0)
		return false;
	for (const char *at = units; at <= unit; at++) {
		if (n > UINT64_MAX / 1000) /* strtoull's own overflow is that too */
			return false;
		n *= 1000;
	}
	*bytes = n;
	return true;
}

/* "5", "0.5", "12.125%": at most 100. */
static bool parse_percent(const char *text, unsigned *thousandths)
{
	unsigned whole = 0, part = 0, unit = 1000;
	const char *at = text;

	for (; isdigit((unsigned char)*at) && whole <= 100; at++)
		whole = whole * 10 + (unsigned)(*at - '0');
	if (at == text)
		return false;
	if (*at == '.' && isdigit((unsigned char)at[1]))
		for (at++; isdigit((unsigned char)*at) && unit > 1; at++)
			part += (unsigned)(*at - '0') * (unit /= 10);
	if (*at == '%')
		at++;
	*thousandths = whole * 1000 + part;
	return !*at && whole <= 100 && *thousandths <= WHOLE;
}

static bool parse_tolerance(const char *text, unsigned *thousandths)
{
	static const char *const signs[] = { PLUS_MINUS, "+-", "+/-" };

	*thousandths = 0;
	if (!*text)
		return true;
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (!strncmp(text, signs[i], strlen(signs[i])))
			return parse_percent(text + strlen(signs[i]), thousandths);
	return false;
}

bool size_range_parse(const char *text, uint64_t *least_bytes, uint64_t *most_bytes)
{
	size_t len = strcspn(text, "+" PLUS_MINUS);
	unsigned thousandths;
	char size[SIZE_ROOM];
	uint64_t bytes, delta;

	if (len >= sizeof(size) || !parse_tolerance(text + len, &thousandths))
		return false;
	memcpy(size, text, len);
	size[len] = '\0';
	if (!parse_decimal(size, &bytes) && !parse_size(size, &bytes))
		return false;
	delta = bytes / WHOLE * thousandths + bytes % WHOLE * thousandths / WHOLE;
	if (bytes > UINT64_MAX - delta)
		return false;
	*least_bytes = bytes - delta;
	*most_bytes = bytes + delta;
	return true;
}

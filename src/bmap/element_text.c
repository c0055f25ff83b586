/* SPDX-License-Identifier: MIT */
#include "bmap/reader_internal.h"

#include "base/checked.h"

void text_begin(struct element_text *text)
{
	*text->bytes = '\0';
	text->len = 0;
	text->space = text->too_long = false;
}

void text_add(struct element_text *text, const char *more, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = more[i];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			text->space = text->len > 0;
			continue;
		}
		if (text->len + 3 > TEXT_BYTES) {
			text->too_long = true;
			break;
		}
		if (text->space)
			text->bytes[text->len++] = ' ';
		text->space = false;
		text->bytes[text->len++] = c;
	}
	text->bytes[text->len] = '\0';
}

bool read_number(const char **p, uint64_t *out)
{
	const char *at = *p;
	uint64_t n = 0;

	while (*at == ' ')
		at++;
	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (!checked_mul(n, 10, &n) || !checked_add(n, (uint64_t)(*at - '0'), &n))
			return false;
	}
	while (*at == ' ')
		at++;
	*p = at;
	*out = n;
	return true;
}

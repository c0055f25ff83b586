/* SPDX-License-Identifier: MIT */
#include "source/http_headers.h"
#include "base/checked.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct text {
	const char *at;
	size_t len;
};

static void status_line(struct http_headers *headers, struct text line);
static bool value_of(struct text line, const char *name, struct text *value);
static void keep(char *out, size_t size, struct text value);
static void content_range(struct http_headers *headers, struct text value);

static struct text trim(struct text text)
{
	while (text.len && strchr(" \t\r\n", text.at[text.len - 1]))
		text.len--;
	while (text.len && strchr(" \t", text.at[0])) {
		text.at++;
		text.len--;
	}
	return text;
}

void http_headers_line(struct http_headers *headers, const char *bytes, size_t len)
{
	struct text line = { bytes, len }, value;

	if (memchr(bytes, '\0', len))
		return;
	line = trim(line);
	if (line.len >= 5 && !strncmp(line.at, "HTTP/", 5)) {
		status_line(headers, line);
	} else if (value_of(line, "Accept-Ranges", &value)) {
		headers->accepts_ranges = value.len == 5 && !strncasecmp(value.at, "bytes", 5);
	} else if (value_of(line, "Content-Range", &value)) {
		content_range(headers, value);
	} else if (value_of(line, "ETag", &value)) {
		headers->etag[0] = '\0';
		if (value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"')
			keep(headers->etag, sizeof(headers->etag), value);
	} else if (value_of(line, "Last-Modified", &value)) {
		keep(headers->last_modified, sizeof(headers->last_modified), value);
	} else if (value_of(line, "Location", &value)) {
		keep(headers->location, sizeof(headers->location), value);
	}
}

static void status_line(struct http_headers *headers, struct text line)
{
	const char *space = memchr(line.at, ' ', line.len);
	struct text status = { line.at + line.len, 0 };
	size_t len = 0;

	*headers = (struct http_headers){ 0 };
	if (space)
		status = trim((struct text){ space, line.len - (size_t)(space - line.at) });
	for (size_t i = 0; i < status.len && i < 3 && isdigit((unsigned char)status.at[i]); i++)
		headers->status = headers->status * 10 + (unsigned)(status.at[i] - '0');
	for (; len < status.len && len < sizeof(headers->status_text) - 1; len++) {
		char c = status.at[len];

		headers->status_text[len] = c;
		if (c < 0x20 || c >= 0x7f)
			headers->status_text[len] = '?';
	}
}

static bool value_of(struct text line, const char *name, struct text *value)
{
	size_t len = strlen(name);

	if (line.len <= len || line.at[len] != ':' || strncasecmp(line.at, name, len))
		return false;
	*value = trim((struct text){ line.at + len + 1, line.len - len - 1 });
	return true;
}

/* A value that does not fit, or that could not be sent back as it is, is not kept. */
static void keep(char *out, size_t size, struct text value)
{
	out[0] = '\0';
	if (value.len >= size)
		return;
	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char)value.at[i] < 0x20 || value.at[i] == 0x7f)
			return;
	memcpy(out, value.at, value.len);
	out[value.len] = '\0';
}

static bool number(struct text *text, uint64_t *out)
{
	size_t digits = 0;

	*out = 0;
	while (digits < text->len && isdigit((unsigned char)text->at[digits])) {
		uint64_t digit = (uint64_t)(text->at[digits] - '0');

		if (!checked_mul(*out, 10, out) || !checked_add(*out, digit, out))
			return false;
		digits++;
	}
	text->at += digits;
	text->len -= digits;
	return digits > 0;
}

static bool character(struct text *text, char c)
{
	if (!text->len || text->at[0] != c)
		return false;
	text->at++;
	text->len--;
	return true;
}

/* RFC 9110 14.4. An answer without a range (416 sends "bytes *" and the total) has none. */
static void content_range(struct http_headers *headers, struct text value)
{
	uint64_t begin, last, total = 0;
	bool has_total;

	headers->has_range = headers->has_total = false;
	if (value.len < 6 || strncasecmp(value.at, "bytes ", 6))
		return;
	value.at += 6;
	value.len -= 6;
	if (!number(&value, &begin) || !character(&value, '-') || !number(&value, &last) ||
	    !character(&value, '/') || last < begin || last == UINT64_MAX)
		return;
	has_total = !character(&value, '*');
	if ((has_total && (!number(&value, &total) || last >= total)) || value.len)
		return;
	headers->has_range = true;
	headers->has_total = has_total;
	headers->range_begin = begin;
	headers->range_end = last + 1;
	headers->range_total = total;
}

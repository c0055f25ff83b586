/* SPDX-License-Identifier: MIT */
#include "target/device_text.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SERIAL_PAGE 0x80
#define SERIAL_PAGE_HEADER 4u

static bool blank(char c)
{
	return c == ' ' || c == '\0' || c == '\n' || c == '\t';
}

static bool is_tail(const unsigned char *p, size_t left, size_t at)
{
	return at < left && (p[at] & 0xc0) == 0x80;
}

/* Bytes of the character that p begins with, 0 if it is no UTF-8 (RFC 3629 4). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] < 0xe0)
		return is_tail(p, left, 1) ? 2 : 0;
	if (p[0] >= 0xe0 && p[0] < 0xf0) {
		if (!is_tail(p, left, 1) || !is_tail(p, left, 2) || (p[0] == 0xe0 && p[1] < 0xa0) ||
		    (p[0] == 0xed && p[1] >= 0xa0))
			return 0;
		return 3;
	}
	if (p[0] >= 0xf0 && p[0] < 0xf5) {
		if (!is_tail(p, left, 1) || !is_tail(p, left, 2) || !is_tail(p, left, 3) ||
		    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
			return 0;
		return 4;
	}
	return 0;
}

static bool showable(const unsigned char *p, size_t len)
{
	switch (len) {
	case 1:
		return p[0] >= 0x20 && p[0] != 0x7f;
	case 2:
		return p[0] != 0xc2 || p[1] >= 0xa0; /* C1: terminals obey them */
	case 3: /* U+2028 to 2029: lines; 200e, 200f, 202a to 202e and 2066 to 2069: direction */
		return p[0] != 0xe2 || !((p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f ||
							   (p[2] >= 0xa8 && p[2] <= 0xae))) ||
					 (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
	}
	return true;
}

bool device_text_clean(char *text, size_t len)
{
	size_t first = 0;

	while (len && blank(text[len - 1]))
		len--;
	while (first < len && blank(text[first]))
		first++;
	len -= first;
	memmove(text, text + first, len);
	text[len] = '\0';
	for (size_t at = 0; at < len;) {
		unsigned char *p = (unsigned char *)text + at;
		size_t n = utf8_length(p, len - at);

		if (!n || !showable(p, n)) {
			n = n ? n : 1;
			memset(p, '?', n);
		}
		at += n;
	}
	return len > 0;
}

static int hex_value(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

bool device_text_decode(char *text)
{
	char *out = text;

	for (const char *in = text; *in;) {
		bool coded = in[0] == '\\' && in[1] == 'x' && hex_value(in[2]) >= 0 &&
			     hex_value(in[3]) >= 0;

		*out++ = coded ? (char)(hex_value(in[2]) * 16 + hex_value(in[3])) : *in;
		in += coded ? 4 : 1;
	}
	return device_text_clean(text, (size_t)(out - text));
}

bool device_text_serial_page(const uint8_t *page, size_t len, char text[DEVICE_TEXT_BYTES])
{
	size_t serial_len;

	if (len < SERIAL_PAGE_HEADER || page[1] != SERIAL_PAGE)
		return false;
	serial_len = (size_t)page[2] << 8 | page[3];
	if (serial_len > len - SERIAL_PAGE_HEADER || serial_len >= DEVICE_TEXT_BYTES)
		return false;
	memcpy(text, page + SERIAL_PAGE_HEADER, serial_len);
	return device_text_clean(text, serial_len);
}

size_t device_bytes_read(const char *folder, const char *attribute, void *bytes, size_t size)
{
	char path[PATH_MAX];
	CLEANUP_CLOSE int fd = -1;
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/%s", folder, attribute) >= (int)sizeof(path))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return 0;
	do
		n = read(fd, bytes, size);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

bool device_text_read(const char *folder, const char *attribute, char text[DEVICE_TEXT_BYTES])
{
	return device_text_clean(text,
				 device_bytes_read(folder, attribute, text, DEVICE_TEXT_BYTES - 1));
}

uint64_t device_number_read(const char *folder, const char *attribute)
{
	char text[24];
	size_t len = device_bytes_read(folder, attribute, text, sizeof(text) - 1);
	uint64_t number = 0;

	for (size_t i = 0; i < len && text[i] != '\n'; i++)
		if (!isdigit((unsigned char)text[i]) ||
		    __builtin_mul_overflow(number, 10u, &number) ||
		    __builtin_add_overflow(number, (unsigned)(text[i] - '0'), &number))
			return 0;
	return number;
}

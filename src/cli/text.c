/* SPDX-License-Identifier: MIT */
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_TENTH 100000000u
#define MIB (1024.0 * 1024.0)

char *text_size(char out[TEXT_ROOM], uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	unsigned unit = 0;

	if (bytes < 1000) {
		snprintf(out, TEXT_ROOM, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
		return out;
	}
	/* 1023.96 would be printed as 1024.0. */
	for (n /= 1024; n >= 1023.95; n /= 1024)
		unit++;
	snprintf(out, TEXT_ROOM, "%.1f %s", n, units[unit]);
	return out;
}

char *text_time(char out[TEXT_ROOM], uint64_t ns)
{
	/* Rounded before it is split: 59.96 s is 1m 00.0s, not 60.0s. */
	uint64_t tenths = ns / NS_PER_TENTH + (ns % NS_PER_TENTH >= NS_PER_TENTH / 2);

	if (tenths < 600)
		snprintf(out, TEXT_ROOM, "%" PRIu64 ".%" PRIu64 "s", tenths / 10, tenths % 10);
	else
		snprintf(out, TEXT_ROOM, "%" PRIu64 "m %02" PRIu64 ".%" PRIu64 "s", tenths / 600,
			 tenths % 600 / 10, tenths % 10);
	return out;
}

char *text_speed(char out[TEXT_ROOM], uint64_t bytes, uint64_t ns)
{
	double speed = (double)bytes / MIB / ((double)(ns ? ns : 1) / 1e9);

	/* A slow line is not standing still: 0.004 MiB/sec. */
	snprintf(out, TEXT_ROOM, bytes && speed < 0.1 ? "%.3f MiB/sec" : "%.1f MiB/sec", speed);
	return out;
}

char *text_clock(char out[TEXT_ROOM], uint64_t seconds)
{
	if (seconds >= 3600)
		snprintf(out, TEXT_ROOM, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600,
			 seconds / 60 % 60, seconds % 60);
	else
		snprintf(out, TEXT_ROOM, "%" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
	return out;
}

void text_bar(char *out, size_t width, unsigned percent)
{
	size_t inside = width - 2;
	size_t full = inside * percent / 100;

	out[0] = '[';
	memset(out + 1, '#', full);
	memset(out + 1 + full, '.', inside - full);
	out[width - 1] = ']';
	out[width] = '\0';
}

unsigned percent_of(uint64_t done, uint64_t total)
{
	if (done >= total)
		return 100;
	/* done * 100 may not fit. */
	return (unsigned)(total > UINT64_MAX / 100 ? done / (total / 100 + 1) : done * 100 / total);
}

size_t text_clean(char *out, size_t room, const char *text)
{
	size_t len = 0;

	for (; text[len] && len < room; len++) {
		unsigned char c = (unsigned char)text[len];
		bool c1 = len && (unsigned char)text[len - 1] == 0xc2 && c >= 0x80 && c < 0xa0;

		/* C0, DEL, and C1 in UTF-8: terminals obey all of them. */
		out[len] = c < 0x20 || c == 0x7f || c1 ? '?' : (char)c;
	}
	return len;
}

char *text_tail(char *out, size_t columns, const char *text)
{
	size_t len = strlen(text), dots = 0;

	if (len > columns) {
		dots = columns < 3 ? columns : 3;
		text += len - (columns - dots);
		/* No half letter of UTF-8 at the front. */
		while (((unsigned char)*text & 0xc0) == 0x80)
			text++;
	}
	memset(out, '.', dots);
	out[dots + text_clean(out + dots, columns - dots, text)] = '\0';
	return out;
}

/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

const char *size_text(uint64_t bytes, char *text)
{
	static const char *const names[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	size_t i = 0;

	if (bytes < 1000) {
		snprintf(text, SIZE_TEXT_BYTES, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
		return text;
	}
	/* 1023.96 would be printed as 1024.0. */
	for (n /= 1024; n >= 1023.95; n /= 1024)
		i++;
	snprintf(text, SIZE_TEXT_BYTES, "%.1f %s", n, names[i]);
	return text;
}

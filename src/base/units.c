/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

const char *size_text(uint64_t bytes, char *text)
{
	static const char *const names[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	size_t i = 0;

	if (bytes < 512) {
		snprintf(text, SIZE_TEXT_BYTES, "%" PRIu64 " bytes", bytes);
		return text;
	}
	for (n /= 1024; n >= 1024 && i < 5; i++)
		n /= 1024;
	snprintf(text, SIZE_TEXT_BYTES, "%.1f %s", n, names[i]);
	return text;
}

/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdio.h>

void log_message(const struct bmap_log *log, enum bmap_log_level level, const char *fmt, ...)
{
	char text[1536];
	va_list args;

	if (!log || !log->message)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log->message(log->user, level, text);
}

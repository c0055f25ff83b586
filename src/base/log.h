/* SPDX-License-Identifier: MIT */
/* base/log.h - one formatted line to the job's log callback. A NULL log drops it.
 * Threads: any. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"

#include <bmap/log.h>

void log_message(const struct bmap_log *log, enum bmap_log_level level, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
#define log_warning(log, ...) log_message(log, BMAP_LOG_WARNING, __VA_ARGS__)
#define log_info(log, ...) log_message(log, BMAP_LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_message(log, BMAP_LOG_DEBUG, __VA_ARGS__)

#endif

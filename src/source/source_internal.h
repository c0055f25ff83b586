/* SPDX-License-Identifier: MIT */
/* source/source_internal.h - what source.c and the kinds of source share. */
#ifndef SOURCE_SOURCE_INTERNAL_H
#define SOURCE_SOURCE_INTERNAL_H

#include "source/source.h"
#include "source/url.h"

#include <sys/stat.h>

/* Both take over fd and name, on failure too, and return NULL with err filled then. */

/* A regular file or block device, read from offset 0 whatever the descriptor's own offset is. */
struct source *file_source_open(int fd, char *name, const struct stat *st, struct bmap_error *err);
/* Anything that gives bytes only in order. A fifo or device must be open with O_NONBLOCK if the
 * process may do that to it (not to standard input, which it shares with others). */
struct source *pipe_source_open(int fd, char *name, const struct bmap_stop *stop,
				struct bmap_error *err);

/* What the sources behind a URL are opened with. All borrowed. */
struct url_request {
	const char *text; /* as the user wrote it: never shown */
	const char *name; /* that may be shown */
	const struct url *url; /* of text */
	const struct bmap_stop *stop;
	const struct bmap_log *log;
};

/* Time-outs and pauses in milliseconds, so that tests need not wait. */
struct http_limits {
	unsigned connect_ms;
	unsigned stall_ms; /* without a byte */
	unsigned first_pause_ms, longest_pause_ms; /* before a retry: doubled each time */
	unsigned opening_retries; /* before the first byte */
	unsigned retries; /* in a row, without a byte in between */
};

/* http, https, ftp; has received the response's header and the first bytes when it returns, so
 * that the constant fields are right. Waits. NULL with err filled on failure. */
struct source *http_source_open(const struct url_request *request, const struct http_limits *limits,
				struct bmap_error *err);
/* ssh: starts the program. */
struct source *ssh_source_open(const struct url_request *request, struct bmap_error *err);

#endif

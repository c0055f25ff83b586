/* SPDX-License-Identifier: MIT */
/* source/http_headers.h - what matters of a response's header (RFC 9110), line by line.
 *
 * Pure: no I/O, any thread. What cannot be understood counts as not said. */
#ifndef SOURCE_HTTP_HEADERS_H
#define SOURCE_HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_headers {
	unsigned status; /* 0: no status line was seen */
	char status_text[80]; /* "404 Not Found" */
	bool accepts_ranges; /* Accept-Ranges: bytes */
	bool has_range, has_total; /* Content-Range: bytes BEGIN-(END-1)/TOTAL */
	uint64_t range_begin, range_end, range_total;
	char etag[256]; /* with its quotes; empty: none, a weak one, or one too long to keep */
	char last_modified[64];
	char location[8192]; /* may be relative; empty: none, or one too long to keep */
};

/* One line, with or without its end. A status line begins anew: only the last response counts. */
void http_headers_line(struct http_headers *headers, const char *line, size_t len);

#endif

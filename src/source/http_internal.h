/* SPDX-License-Identifier: MIT */
/* source/http_internal.h - what http_source.c (the source: order of requests, retries, redirects)
 * and http_request.c (one request: options, callbacks, what an answer is worth) share.
 *
 * Threads: all of it belongs to the thread that reads; libcurl calls back on it. */
#ifndef SOURCE_HTTP_INTERNAL_H
#define SOURCE_HTTP_INTERNAL_H

#include "source/http_headers.h"
#include "source/source_internal.h"

#include <curl/curl.h>

/* libcurl hands out at most this much at once; the spill takes it when the reader has no room. */
#define HTTP_PIECE_BYTES (256u * 1024u)
#define HTTP_SPILL_BYTES (2u * HTTP_PIECE_BYTES)
#define HTTP_OPEN_END UINT64_MAX

enum http_verdict {
	HTTP_UNJUDGED,
	HTTP_GOOD, /* its body is what was asked for */
	HTTP_REDIRECTED,
	HTTP_TRY_AGAIN, /* the server says that it cannot now */
	HTTP_BAD, /* final: http_source.bad says why */
};

/* How to tell that it is still the same file. */
struct http_identity {
	bool has_size;
	uint64_t size_bytes;
	char etag[sizeof(((struct http_headers *)0)->etag)];
	char last_modified[sizeof(((struct http_headers *)0)->last_modified)];
	int64_t file_time; /* ftp; -1: not known */
};

struct http_request {
	CURL *easy; /* NULL: there is none */
	struct curl_slist *fields;
	struct http_headers headers;
	enum http_verdict verdict;
	bool is_ftp, ranged;
	bool kept_redirect; /* goes to where an earlier request was sent on to */
	uint64_t body_end; /* position behind the body's last byte; HTTP_OPEN_END: not known */
	uint64_t discard_bytes; /* of the body, in front of what is wanted */
	bool paused;
	char curl_text[CURL_ERROR_SIZE];
};

struct http_source {
	struct source source; /* first: the two are converted into each other */
	struct http_limits limits; /* constant */
	CURLM *multi;
	struct http_request request;
	char *text; /* the URL as the user wrote it; constant, never shown */
	char *redirected; /* the URL in use in its place, or NULL */
	unsigned redirects; /* since the last good answer */
	bool identified; /* identity is that of the first answer */
	struct http_identity identity;
	bool accepts_ranges;
	uint64_t position; /* of the next byte that the server sends */
	uint64_t want_end; /* the reader skips from here on; HTTP_OPEN_END: not known */
	bool skipped; /* position was reached by a skip: a whole file will do, too */
	bool ended;
	unsigned retries; /* in a row */
	uint64_t activity; /* moves with every line and piece received */
	/* The reader's buffer during a read, and what had no room there. */
	uint8_t *dest;
	size_t room, got;
	uint8_t *spill; /* HTTP_SPILL_BYTES */
	size_t spill_at, spill_len;
	struct bmap_error bad;
};

/* Begins to ask for [position, want_end). */
bool http_request_open(struct http_source *http, struct bmap_error *err);
/* When a request ended, with or without a body. Fills request.verdict, and bad. */
void http_request_judge(struct http_source *http);
/* Accepts that there is none. */
void http_request_close(struct http_source *http);
/* Can another request prove that it continues the same file? */
bool http_can_resume(const struct http_source *http);

#endif

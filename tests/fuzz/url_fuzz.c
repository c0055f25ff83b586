/* SPDX-License-Identifier: MIT */
/* URLs, and the header lines of the servers they lead to. What is shown of a URL that was
 * understood must be the same URL without user information. */
#include "source/http_headers.h"
#include "source/url.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_shown(const struct url *url, const char *shown)
{
	struct url again;

	assert(url_parse(&again, shown, NULL));
	assert(!again.has_userinfo && again.port == url->port && again.host.len == url->host.len);
	assert(!memcmp(again.host.at, url->host.at, url->host.len));
	assert(again.path.len == url->path.len && again.tail.len == url->tail.len);
	assert(again.scheme == URL_FILE || again.scheme == URL_OTHER ||
	       url_same_origin(url, &again));
}

static void check_asked(const struct url *url)
{
	char *asked = url_request_text(url);
	struct url again;

	assert(asked && url_parse(&again, asked, NULL));
	assert(!again.has_userinfo && again.port == url->port &&
	       !memchr(asked, '#', strlen(asked)));
	free(asked);
}

static void try_url(const char *text)
{
	char *shown = url_display(text), *local = url_to_local(text, NULL), *decoded;
	struct bmap_error err = { 0 };
	struct url url;

	assert(shown);
	free(local);
	if (url_parse(&url, text, &err)) {
		check_shown(&url, shown);
		check_asked(&url);
		decoded = url_decode(url.path, "name", NULL);
		assert(!decoded || strlen(decoded) <= url.path.len);
		free(decoded);
	} else {
		assert(err.code == BMAP_ERR_USAGE && err.text[0]);
	}
	free(shown);
}

static void try_headers(const char *text, size_t len)
{
	struct http_headers headers = { 0 };

	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) + 1 : len;

		http_headers_line(&headers, text, line);
		text += line;
		len -= line;
	}
	assert(!headers.has_range || headers.range_begin < headers.range_end);
	assert(!headers.has_range || !headers.has_total ||
	       headers.range_end <= headers.range_total);
	assert(!headers.etag[0] || headers.etag[0] == '"');
	assert(headers.status <= 999);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);

	memcpy(text, data, len);
	text[len] = '\0';
	try_headers(text, len);
	try_url(text);
	free(text);
	return 0;
}

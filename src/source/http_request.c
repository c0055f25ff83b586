/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/cleanup.h"
#include "source/http_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Since 7.87: do not wait for a resolver's thread when a request is given up; without it a stop
 * during a slow look-up of a name takes as long as the look-up. */
#if LIBCURL_VERSION_NUM >= 0x075700
#define SET_QUICK_EXIT(easy) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L)
#else
#define SET_QUICK_EXIT(easy) CURLE_OK
#endif
/* Since 7.85 by name. A request may use nothing but its own URL's scheme: redirects are requests of
 * their own, checked by http_source.c. */
#if LIBCURL_VERSION_NUM >= 0x075500
#define SET_PROTOCOL(easy, name, bit) curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, name)
#else
#define SET_PROTOCOL(easy, name, bit) curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(bit))
#endif

static bool set_protocol(CURL *easy, enum url_scheme scheme);
static bool set_authorities(CURL *easy);
static bool set_credentials(struct http_source *http, const struct url *url, const char *asked,
			    struct bmap_error *err);
static bool set_range(struct http_source *http);
static size_t on_header(char *line, size_t size, size_t count, void *arg);
static size_t on_body(char *data, size_t size, size_t count, void *arg);
static enum http_verdict judge_ftp(struct http_source *http);
static enum http_verdict judge_http(struct http_source *http);
static enum http_verdict judge_whole(struct http_source *http);
static enum http_verdict judge_range(struct http_source *http);

bool http_request_open(struct http_source *http, struct bmap_error *err)
{
	struct http_request *request = &http->request;
	const char *text = http->redirected ? http->redirected : http->text;
	CLEANUP_FREE char *asked = NULL;
	struct url url;
	CURL *easy;

	if (!url_parse(&url, text, err))
		return false;
	asked = url_request_text(&url);
	*request = (struct http_request){
		.is_ftp = url.scheme == URL_FTP,
		.kept_redirect = http->redirected && !http->redirects,
		.body_end = HTTP_OPEN_END,
	};
	request->easy = easy = curl_easy_init();
	if (!asked || !easy || curl_easy_setopt(easy, CURLOPT_URL, asked) ||
	    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->curl_text) ||
	    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) ||
	    curl_easy_setopt(easy, CURLOPT_USERAGENT, "bmaptool/" BMAP_VERSION) ||
	    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)HTTP_PIECE_BYTES) ||
	    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->limits.connect_ms) ||
	    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) ||
	    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) ||
	    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) ||
	    curl_easy_setopt(easy, CURLOPT_HEADERDATA, http) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEDATA, http) ||
	    curl_easy_setopt(easy, CURLOPT_FILETIME, 1L) || SET_QUICK_EXIT(easy) ||
	    !set_protocol(easy, url.scheme) || !set_authorities(easy) || !set_range(http)) {
		http_request_close(http);
		return bmap_error_set(err, BMAP_ERR_UNSUPPORTED,
				      "%s: libcurl cannot prepare the request: no memory, or built "
				      "without the URL's scheme",
				      http->source.name);
	}
	if (!set_credentials(http, &url, asked, err)) {
		http_request_close(http);
		return false;
	}
	if (curl_multi_add_handle(http->multi, easy)) {
		http_request_close(http);
		return bmap_error_memory(err, http->source.name);
	}
	return true;
}

static bool set_protocol(CURL *easy, enum url_scheme scheme)
{
	switch (scheme) {
	case URL_HTTP:
		return SET_PROTOCOL(easy, "http", CURLPROTO_HTTP) == CURLE_OK;
	case URL_HTTPS:
		return SET_PROTOCOL(easy, "https", CURLPROTO_HTTPS) == CURLE_OK;
	case URL_FTP:
		return SET_PROTOCOL(easy, "ftp", CURLPROTO_FTP) == CURLE_OK;
	default:
		return false;
	}
}

/* Whom to trust in the place of the system's store: as curl(1), not libcurl, takes it from the
 * user. */
static bool set_authorities(CURL *easy)
{
	const char *file = getenv("CURL_CA_BUNDLE");

	if (!file || !*file)
		file = getenv("SSL_CERT_FILE");
	return !file || !*file || curl_easy_setopt(easy, CURLOPT_CAINFO, file) == CURLE_OK;
}

/* libcurl looks into ~/.netrc for the password of a user that stands in the URL, but not for that
 * of its option. */
static bool set_user(CURL *easy, const struct url *url, const char *asked, const char *user)
{
	char *escaped = curl_easy_escape(easy, user, 0), *with_user;
	bool good = false;

	if (escaped &&
	    asprintf(&with_user, "%.*s://%s@%s", (int)url->scheme_name.len, url->scheme_name.at,
		     escaped, asked + url->scheme_name.len + 3) >= 0) {
		good = curl_easy_setopt(easy, CURLOPT_URL, with_user) == CURLE_OK;
		free(with_user);
	}
	curl_free(escaped);
	return good;
}

/* The URL's own user and password, or, where a redirect leads elsewhere on the same server, those
 * of the URL it came from. What is found in ~/.netrc is looked up for the host that is asked. */
static bool set_credentials(struct http_source *http, const struct url *url, const char *asked,
			    struct bmap_error *err)
{
	CURL *easy = http->request.easy;
	CLEANUP_FREE char *user = NULL, *password = NULL;
	struct url original;
	bool good;

	if (curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL))
		return bmap_error_memory(err, http->source.name);
	if (!url->has_userinfo && http->redirected) {
		if (!url_parse(&original, http->text, err))
			return false;
		if (url_same_origin(&original, url))
			url = &original;
	}
	if (!url->has_userinfo)
		return true;
	user = url_decode(url->user, http->source.name, err);
	password = user ? url_decode(url->password, http->source.name, err) : NULL;
	if (!password)
		return false;
	if (url->has_password)
		good = !curl_easy_setopt(easy, CURLOPT_USERNAME, user) &&
		       !curl_easy_setopt(easy, CURLOPT_PASSWORD, password);
	else
		good = !*user || set_user(easy, url, asked, user);
	return good || bmap_error_memory(err, http->source.name);
}

static bool add_field(struct http_request *request, const char *name, const char *value)
{
	CLEANUP_FREE char *field = NULL;
	struct curl_slist *longer;

	if (asprintf(&field, "%s: %s", name, value) < 0) {
		field = NULL;
		return false;
	}
	longer = curl_slist_append(request->fields, field);
	if (!longer)
		return false;
	request->fields = longer;
	return true;
}

/* A range of a changed file would be worth nothing: If-Range makes the server send the whole
 * of a new one, which is noticed (RFC 9110 13.1.5). */
static bool set_range(struct http_source *http)
{
	struct http_request *request = &http->request;
	const char *etag = http->identity.etag, *modified = http->identity.last_modified;
	char range[48];

	/* No compression on the way: the bytes are counted and resumed as they are. */
	if (!add_field(request, "Accept-Encoding", "identity"))
		return false;
	if (http->want_end <= http->position)
		http->want_end = HTTP_OPEN_END;
	request->ranged = http->position || http->want_end != HTTP_OPEN_END;
	if (request->ranged) {
		if (http->want_end == HTTP_OPEN_END)
			snprintf(range, sizeof(range), "%" PRIu64 "-", http->position);
		else
			snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, http->position,
				 http->want_end - 1);
		if (curl_easy_setopt(request->easy, CURLOPT_RANGE, range))
			return false;
		if ((*etag || *modified) &&
		    !add_field(request, "If-Range", *etag ? etag : modified))
			return false;
	}
	return curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->fields) == CURLE_OK;
}

void http_request_close(struct http_source *http)
{
	struct http_request *request = &http->request;
	curl_socket_t control;

	if (!request->easy)
		return;
	/* Else libcurl says goodbye, and waits for two minutes for the answer. */
	if (request->is_ftp && !curl_easy_getinfo(request->easy, CURLINFO_ACTIVESOCKET, &control) &&
	    control != CURL_SOCKET_BAD)
		shutdown(control, SHUT_RDWR);
	curl_multi_remove_handle(http->multi, request->easy);
	curl_easy_cleanup(request->easy);
	curl_slist_free_all(request->fields);
	request->easy = NULL;
	request->fields = NULL;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
	struct http_source *http = arg;

	http->activity++;
	/* ftp through an http proxy is http; no line of an ftp server begins like this. */
	if (size * count > 5 && !strncmp(line, "HTTP/", 5))
		http->request.is_ftp = false;
	if (!http->request.is_ftp)
		http_headers_line(&http->request.headers, line, size * count);
	return size * count;
}

/* Anything but len or PAUSE ends the transfer: its verdict says why. */
static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_source *http = arg;
	struct http_request *request = &http->request;
	size_t len = size * count, unwanted, now;

	http->activity++;
	if (request->verdict == HTTP_UNJUDGED)
		http_request_judge(http);
	if (request->verdict != HTTP_GOOD)
		return len + 1;
	unwanted = (size_t)min_u64(len, request->discard_bytes);
	if (len - unwanted > http->room - http->got + HTTP_SPILL_BYTES - http->spill_len) {
		request->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	request->discard_bytes -= unwanted;
	data += unwanted;
	if (len - unwanted > request->body_end - http->position) {
		bmap_error_set(&http->bad, BMAP_ERR_IO,
			       "%s: the server sends more than the bytes %" PRIu64 "-%" PRIu64
			       " that it announced",
			       http->source.name, http->position, request->body_end);
		request->verdict = HTTP_BAD;
		return len + 1;
	}
	if (len > unwanted)
		http->retries = 0;
	http->position += len - unwanted;
	now = (size_t)min_u64(len - unwanted, http->room - http->got);
	if (now)
		memcpy(http->dest + http->got, data, now);
	http->got += now;
	if (len - unwanted > now)
		memcpy(http->spill + http->spill_len, data + now, len - unwanted - now);
	http->spill_len += len - unwanted - now;
	return len;
}

bool http_can_resume(const struct http_source *http)
{
	const struct http_identity *identity = &http->identity;

	return identity->etag[0] || identity->last_modified[0] || identity->file_time >= 0;
}

void http_request_judge(struct http_source *http)
{
	struct http_request *request = &http->request;

	request->verdict = request->is_ftp ? judge_ftp(http) : judge_http(http);
	if (request->verdict == HTTP_GOOD) {
		http->redirects = 0;
		http->skipped = false;
	}
}

__attribute__((format(printf, 3, 4))) static enum http_verdict
bad(struct http_source *http, enum bmap_error_code code, const char *fmt, ...)
{
	char text[sizeof(http->bad.text) - 512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	bmap_error_set(&http->bad, code, "%.500s: %s", http->source.name, text);
	return HTTP_BAD;
}

static enum http_verdict changed(struct http_source *http)
{
	return bad(http, BMAP_ERR_DATA,
		   "the file on the server has changed since the transfer began, of which %" PRIu64
		   " bytes were read: begin again",
		   http->position);
}

static enum http_verdict no_ranges(struct http_source *http)
{
	return bad(http, BMAP_ERR_IO,
		   "the transfer broke after %" PRIu64
		   " bytes, and the server cannot send the rest "
		   "alone (it ignores the request for a range): begin again",
		   http->position);
}

static uint64_t body_length(struct http_request *request)
{
	curl_off_t length = -1;

	curl_easy_getinfo(request->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	return length < 0 ? HTTP_OPEN_END : (uint64_t)length;
}

/* The first answer: what later ones are compared with. */
static void identify(struct http_source *http, uint64_t length, int64_t file_time)
{
	const struct http_headers *headers = &http->request.headers;

	http->identity = (struct http_identity){
		.has_size = length != HTTP_OPEN_END,
		.size_bytes = length == HTTP_OPEN_END ? 0 : length,
		.file_time = file_time,
	};
	strcpy(http->identity.etag, headers->etag);
	strcpy(http->identity.last_modified, headers->last_modified);
	http->accepts_ranges = headers->accepts_ranges;
	http->identified = true;
	http->request.body_end = length;
}

/* The command for the size went before, so the length is right, and the one for the time too. */
static enum http_verdict judge_ftp(struct http_source *http)
{
	struct http_identity *identity = &http->identity;
	uint64_t length = body_length(&http->request), end;
	curl_off_t file_time = -1;

	curl_easy_getinfo(http->request.easy, CURLINFO_FILETIME_T, &file_time);
	if (!http->identified || !http->position) {
		identify(http, length, file_time);
		return HTTP_GOOD;
	}
	if (file_time < 0 || file_time != identity->file_time)
		return changed(http);
	if (identity->has_size && (!checked_add(http->position, length, &end) ||
				   length == HTTP_OPEN_END || end != identity->size_bytes))
		return changed(http);
	http->request.body_end = identity->has_size ? identity->size_bytes : HTTP_OPEN_END;
	return HTTP_GOOD;
}

static enum http_verdict judge_http(struct http_source *http)
{
	const struct http_headers *headers = &http->request.headers;
	unsigned status = headers->status;

	if (status >= 300 && status < 400 && headers->location[0])
		return HTTP_REDIRECTED;
	switch (status) {
	case 200:
	case 203:
		return judge_whole(http);
	case 206:
		return judge_range(http);
	case 401:
		return bad(http, BMAP_ERR_IO,
			   "the server answers \"%s\": give USER:PASSWORD@ in front of the URL's "
			   "host, or a line for the host in ~/.netrc",
			   headers->status_text);
	case 403: /* how S3 says it to who may not list the names */
	case 404:
	case 410:
		return bad(http, BMAP_ERR_NOT_FOUND, "the server answers \"%s\"",
			   headers->status_text);
	case 408: /* these two, of all of their class, are about the moment, not the request */
	case 429:
		return HTTP_TRY_AGAIN;
	case 416:
		return changed(http);
	default:
		if (status >= 500)
			return HTTP_TRY_AGAIN;
		return bad(http, BMAP_ERR_IO, "the server answers \"%s\"", headers->status_text);
	}
}

static bool same_file(const struct http_source *http)
{
	const struct http_identity *identity = &http->identity;
	const struct http_headers *headers = &http->request.headers;

	if (identity->etag[0] && headers->etag[0])
		return !strcmp(identity->etag, headers->etag);
	return identity->last_modified[0] &&
	       !strcmp(identity->last_modified, headers->last_modified);
}

static enum http_verdict judge_whole(struct http_source *http)
{
	struct http_identity *identity = &http->identity;
	uint64_t length = body_length(&http->request);

	if (!http->identified || !http->position) {
		identify(http, length, -1);
		return HTTP_GOOD;
	}
	if (!same_file(http) || (identity->has_size && length != identity->size_bytes))
		return changed(http);
	http->accepts_ranges = false;
	if (!http->skipped)
		return no_ranges(http);
	http->request.discard_bytes = http->position;
	http->request.body_end = length;
	return HTTP_GOOD;
}

static enum http_verdict judge_range(struct http_source *http)
{
	struct http_request *request = &http->request;
	const struct http_headers *headers = &request->headers;
	struct http_identity *identity = &http->identity;

	if (!request->ranged || !http->identified)
		return bad(http, BMAP_ERR_IO, "the server sends a range that was not asked for");
	if (!headers->has_range)
		return bad(http, BMAP_ERR_IO,
			   "the server sends a range, but its Content-Range does not say which");
	if (!same_file(http) || (identity->has_size && headers->has_total &&
				 headers->range_total != identity->size_bytes))
		return changed(http);
	if (headers->range_begin != http->position || headers->range_end > http->want_end ||
	    (identity->has_size && headers->range_end > identity->size_bytes))
		return bad(http, BMAP_ERR_IO,
			   "the server sends the bytes from %" PRIu64 " to %" PRIu64
			   " in place of those from %" PRIu64 " on",
			   headers->range_begin, headers->range_end, http->position);
	if (!identity->has_size && headers->has_total) {
		identity->has_size = true;
		identity->size_bytes = headers->range_total;
	}
	request->body_end = headers->range_end;
	return HTTP_GOOD;
}

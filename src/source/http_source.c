/* SPDX-License-Identifier: MIT */
/* http, https and ftp by libcurl, on the thread that reads: libcurl's sockets and the stop object
 * are waited for together, so that a stop ends a read wherever it waits, and nothing runs ahead but
 * the kernel's socket buffer.
 *
 * A file is fetched by one request after the other: the first for all of it, others from where one
 * broke, from behind a skip, or to where a redirect points. Redirects are followed here, not by
 * libcurl, so that each is a request like the first, and what it may carry is decided in one place.
 */
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "source/http_internal.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MAX_REDIRECTS 10u
/* A new request costs a round trip or several: fewer bytes are read and dropped. */
#define LEAST_SKIP_BYTES (1u * (uint64_t)MIB)
#define MAX_RETRY_AFTER_S 60
#define POLL_MS 1000 /* libcurl's own timers are looked after by libcurl: a precaution */
#define DROP_BYTES (64u * KIB)

enum pump_result {
	PUMP_DATA, /* the reader's buffer got some */
	PUMP_ENDED, /* the request is over: code */
	PUMP_STALLED,
	PUMP_FAILED, /* err is filled */
};

static ssize_t http_read(struct source *source, void *data, size_t len, struct bmap_error *err);
static bool http_skip(struct source *source, uint64_t len, struct bmap_error *err);
static bool http_read_at(struct source *source, uint64_t offset, void *data, size_t len,
			 struct bmap_error *err);
static void http_expect(struct source *source, uint64_t len);
static void http_close(struct source *source);
static struct http_source *http_new(const struct url_request *request,
				    const struct http_limits *limits, struct bmap_error *err);
static bool wait_for_header(struct http_source *http, struct bmap_error *err);
static enum pump_result pump(struct http_source *http, CURLcode *code, struct bmap_error *err);
static bool request_over(struct http_source *http, CURLcode code, struct bmap_error *err);
static bool follow(struct http_source *http, struct bmap_error *err);
static bool retry(struct http_source *http, const char *why, long after_s, struct bmap_error *err);

static const struct source_ops http_ops = {
	.read = http_read,
	.skip = http_skip,
	.read_at = http_read_at,
	.expect = http_expect,
	.close = http_close,
};

struct source *http_source_open(const struct url_request *request, const struct http_limits *limits,
				struct bmap_error *err)
{
	struct http_source *http = http_new(request, limits, err);

	if (!http)
		return NULL;
	if (!wait_for_header(http, err)) {
		source_close(&http->source);
		return NULL;
	}
	http->source.has_size = http->identity.has_size;
	http->source.size_bytes = http->identity.size_bytes;
	http->source.cheap_skip =
		http->accepts_ranges && http->identity.has_size && http_can_resume(http);
	return &http->source;
}

static void start_libcurl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows at the first handle */
}

static struct http_source *http_new(const struct url_request *request,
				    const struct http_limits *limits, struct bmap_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_source *http = calloc(1, sizeof(*http));

	pthread_once(&once, start_libcurl);
	if (http) {
		http->source = (struct source){
			.ops = &http_ops,
			.name = strdup(request->name),
			.fd = -1,
			.stop = request->stop,
			.log = request->log,
		};
		http->limits = *limits;
		http->text = strdup(request->text);
		http->multi = curl_multi_init();
		http->spill = malloc(HTTP_SPILL_BYTES);
		http->want_end = HTTP_OPEN_END;
		http->identity.file_time = -1;
		if (http->source.name && http->text && http->multi && http->spill)
			return http;
		source_close(&http->source);
	}
	bmap_error_memory(err, request->name);
	return NULL;
}

/* Until the answer is known to be a good one, and its first bytes, if it has any, are there. */
static bool wait_for_header(struct http_source *http, struct bmap_error *err)
{
	/* With no room for the reader, all goes into the spill. */
	while (!http->spill_len && !http->ended) {
		enum pump_result result;
		CURLcode code = CURLE_OK;

		if (http->identity.has_size && !http->identity.size_bytes)
			return true;
		if (!http->request.easy && !http_request_open(http, err))
			return false;
		result = pump(http, &code, err);
		if (result == PUMP_FAILED ||
		    (result == PUMP_STALLED && !retry(http, NULL, 0, err)) ||
		    (result == PUMP_ENDED && !request_over(http, code, err)))
			return false;
	}
	return true;
}

static size_t take_spill(struct http_source *http, uint8_t *data, size_t len)
{
	size_t n = (size_t)min_u64(http->spill_len - http->spill_at, len);

	if (data && n)
		memcpy(data, http->spill + http->spill_at, n);
	http->spill_at += n;
	if (http->spill_at == http->spill_len)
		http->spill_at = http->spill_len = 0;
	return n;
}

static ssize_t http_read(struct source *source, void *data, size_t len, struct bmap_error *err)
{
	struct http_source *http = (struct http_source *)source;
	size_t n = take_spill(http, data, len);

	while (!n) {
		enum pump_result result;
		CURLcode code = CURLE_OK;

		if (http->ended ||
		    (http->identity.has_size && http->position == http->identity.size_bytes))
			return 0;
		if (!http->request.easy && !http_request_open(http, err))
			return -1;
		http->dest = data;
		http->room = len;
		http->got = 0;
		result = pump(http, &code, err);
		n = http->got;
		http->dest = NULL;
		http->room = http->got = 0;
		/* Bytes that came are good, whatever became of the request: it is looked at in the
		 * next turn, when it was not closed here. */
		if (result == PUMP_FAILED ||
		    (result == PUMP_STALLED && !retry(http, NULL, 0, err)) ||
		    (result == PUMP_ENDED && !request_over(http, code, err)))
			return -1;
	}
	return (ssize_t)n;
}

static bool is_over(struct http_source *http, CURLcode *code)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left)))
		if (message->msg == CURLMSG_DONE && message->easy_handle == http->request.easy) {
			*code = message->data.result;
			return true;
		}
	return false;
}

/* Moves the request on until the reader has bytes, it is over, or nothing came for too long. */
static enum pump_result pump(struct http_source *http, CURLcode *code, struct bmap_error *err)
{
	uint64_t seen = http->activity, since_ns = clock_now_ns();
	uint64_t stall_ns = http->limits.stall_ms * NS_PER_MS;
	struct curl_waitfd stop = { .fd = stop_fd(http->source.stop), .events = CURL_WAIT_POLLIN };
	int running;

	if (http->request.paused) {
		http->request.paused = false;
		curl_easy_pause(http->request.easy, CURLPAUSE_CONT);
	}
	for (;;) {
		uint64_t now_ns;
		CURLMcode failed = CURLM_OK;

		if (bmap_stop_requested(http->source.stop)) {
			bmap_error_set(err, BMAP_ERR_INTERRUPTED,
				       "%s: interrupted after %" PRIu64 " bytes were read",
				       http->source.name, http->position);
			return PUMP_FAILED;
		}
		if (!http->got)
			failed = curl_multi_perform(http->multi, &running);
		if (http->got || http->spill_len)
			return PUMP_DATA;
		if (!failed && is_over(http, code))
			return PUMP_ENDED;
		now_ns = clock_now_ns();
		if (http->activity != seen) {
			seen = http->activity;
			since_ns = now_ns;
		}
		if (now_ns - since_ns >= stall_ns)
			return PUMP_STALLED;
		if (!failed)
			failed = curl_multi_poll(
				http->multi, &stop, stop.fd >= 0,
				(int)min_u64((stall_ns - (now_ns - since_ns)) / NS_PER_MS + 1,
					     POLL_MS),
				NULL);
		if (failed) {
			bmap_error_set(err, BMAP_ERR_IO, "%s: the transfer failed: %s",
				       http->source.name, curl_multi_strerror(failed));
			return PUMP_FAILED;
		}
	}
}

/* Errors that another try would only repeat. */
static bool is_final(const struct http_source *http, CURLcode code)
{
	long answer = 0;

	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST: /* a slip in the name, unless it was found before */
	case CURLE_COULDNT_RESOLVE_PROXY:
		return !http->identified;
	case CURLE_FTP_COULDNT_RETR_FILE:
		curl_easy_getinfo(http->request.easy, CURLINFO_RESPONSE_CODE, &answer);
		return answer >= 500;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_NOT_BUILT_IN:
	case CURLE_REMOTE_ACCESS_DENIED:
	case CURLE_REMOTE_FILE_NOT_FOUND:
	case CURLE_LOGIN_DENIED:
	case CURLE_FTP_COULDNT_USE_REST:
	case CURLE_RANGE_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_OUT_OF_MEMORY:
		return true;
	default:
		return false;
	}
}

static bool is_not_found(CURLcode code)
{
	return code == CURLE_REMOTE_FILE_NOT_FOUND || code == CURLE_REMOTE_ACCESS_DENIED ||
	       code == CURLE_FTP_COULDNT_RETR_FILE;
}

/* What follows from its end. False: no other try can help, or it was the last one. */
static bool request_over(struct http_source *http, CURLcode code, struct bmap_error *err)
{
	struct http_request *request = &http->request;
	curl_off_t after_s = 0;
	char why[CURL_ERROR_SIZE];
	bool final = is_final(http, code);

	if (request->verdict == HTTP_UNJUDGED && code == CURLE_OK)
		http_request_judge(http);
	if (request->verdict == HTTP_REDIRECTED)
		return follow(http, err);
	curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &after_s);
	snprintf(why, sizeof(why), "%s",
		 request->verdict == HTTP_TRY_AGAIN ? request->headers.status_text
		 : request->curl_text[0]            ? request->curl_text
						    : curl_easy_strerror(code));
	http_request_close(http);
	if (request->verdict == HTTP_TRY_AGAIN)
		return retry(http, why, (long)min_u64((uint64_t)after_s, MAX_RETRY_AFTER_S), err);
	if (request->verdict == HTTP_BAD) {
		/* Where a redirect once led may be no more: the way there is asked for again. */
		if (request->kept_redirect && request->headers.status >= 400) {
			free(http->redirected);
			http->redirected = NULL;
			return true;
		}
		if (err)
			*err = http->bad;
		return false;
	}
	if (code == CURLE_OK && request->body_end == HTTP_OPEN_END) {
		http->ended = true;
		return true;
	}
	if (code == CURLE_OK && http->position == request->body_end)
		return true;
	if (final)
		return bmap_error_set(err, is_not_found(code) ? BMAP_ERR_NOT_FOUND : BMAP_ERR_IO,
				      "%s: cannot be fetched: %s", http->source.name, why);
	return retry(http, code ? why : "it ended too early", 0, err);
}

static bool may_lead_to(const struct url *url)
{
	return url->scheme == URL_HTTP || url->scheme == URL_HTTPS || url->scheme == URL_FTP;
}

/* Where a redirect leads; NULL: nowhere that could be understood. Freed with curl_free(). */
static char *redirect_target(struct http_source *http)
{
	const char *from = http->redirected ? http->redirected : http->text;
	CLEANUP_FREE char *base = NULL;
	CURLU *handle = curl_url();
	char *target = NULL;
	struct url url;

	if (handle && url_parse(&url, from, NULL) && (base = url_request_text(&url)) &&
	    !curl_url_set(handle, CURLUPART_URL, base, CURLU_NON_SUPPORT_SCHEME) &&
	    !curl_url_set(handle, CURLUPART_URL, http->request.headers.location,
			  CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE) &&
	    curl_url_get(handle, CURLUPART_URL, &target, 0))
		target = NULL;
	curl_url_cleanup(handle);
	return target;
}

static bool check_target(const struct http_source *http, const char *target, struct bmap_error *err)
{
	CLEANUP_FREE char *shown = target ? url_display(target) : NULL;
	struct url url;

	if (target && url_parse(&url, target, NULL) && may_lead_to(&url)) {
		log_debug(http->source.log, "%s: redirected to %s", http->source.name,
			  shown ? shown : "another URL");
		return true;
	}
	return bmap_error_set(err, BMAP_ERR_IO,
			      "%s: the server points to %.500s: refused, only http, https and ftp "
			      "URLs are followed",
			      http->source.name, shown ? shown : "what is no URL");
}

static bool follow(struct http_source *http, struct bmap_error *err)
{
	char *target = redirect_target(http), *copy;

	http_request_close(http);
	if (++http->redirects > MAX_REDIRECTS) {
		curl_free(target);
		return bmap_error_set(err, BMAP_ERR_IO,
				      "%s: more than %u redirects, one to the next: given up",
				      http->source.name, MAX_REDIRECTS);
	}
	if (!check_target(http, target, err)) {
		curl_free(target);
		return false;
	}
	copy = strdup(target);
	curl_free(target);
	if (!copy)
		return bmap_error_memory(err, http->source.name);
	free(http->redirected);
	http->redirected = copy;
	return true;
}

/* False if it was interrupted. */
static bool pause_ms(struct http_source *http, uint64_t ms, struct bmap_error *err)
{
	struct pollfd fd = { .fd = stop_fd(http->source.stop), .events = POLLIN };
	uint64_t end_ns = clock_now_ns() + ms * NS_PER_MS, now_ns;

	while (!bmap_stop_requested(http->source.stop)) {
		now_ns = clock_now_ns();
		if (now_ns >= end_ns)
			return true;
		poll(&fd, 1, (int)((end_ns - now_ns) / NS_PER_MS + 1));
	}
	return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
			      "%s: interrupted after %" PRIu64 " bytes were read",
			      http->source.name, http->position);
}

static uint64_t next_pause_ms(const struct http_source *http, long after_s)
{
	uint64_t ms = http->limits.first_pause_ms;

	for (unsigned i = 0; i < http->retries && ms < http->limits.longest_pause_ms; i++)
		ms *= 2;
	return max_u64(min_u64(ms, http->limits.longest_pause_ms), (uint64_t)after_s * 1000);
}

/* Waits, and leaves everything ready for a request that goes on from here. why NULL: a stall. */
static bool retry(struct http_source *http, const char *why, long after_s, struct bmap_error *err)
{
	unsigned most = http->position ? http->limits.retries : http->limits.opening_retries;
	const char *name = http->source.name;
	char stalled[64];
	uint64_t ms;

	http_request_close(http);
	if (!why) {
		snprintf(stalled, sizeof(stalled), "nothing came for %.3g s",
			 http->limits.stall_ms / 1000.0);
		why = stalled;
	}
	if (http->position && !http_can_resume(http))
		return bmap_error_set(
			err, BMAP_ERR_IO,
			"%s: the transfer broke after %" PRIu64 " bytes (%s), and the "
			"server gives no ETag or time by which to know the file again: "
			"begin again",
			name, http->position, why);
	if (http->retries >= most)
		return bmap_error_set(err, BMAP_ERR_IO,
				      "%s: cannot be fetched after byte %" PRIu64
				      ": %s; given up after %u more tries",
				      name, http->position, why, most);
	ms = next_pause_ms(http, after_s);
	http->retries++;
	free(http->redirected); /* where it led may be what is broken */
	http->redirected = NULL;
	http->redirects = 0;
	log_info(http->source.log,
		 "%s: %s after byte %" PRIu64 ": going on in %.3g s (try %u of %u)", name, why,
		 http->position, (double)ms / 1000.0, http->retries, most);
	return pause_ms(http, ms, err);
}

static bool drop(struct http_source *http, uint64_t len, struct bmap_error *err)
{
	CLEANUP_FREE uint8_t *scratch = malloc(DROP_BYTES);

	if (!scratch)
		return bmap_error_memory(err, http->source.name);
	while (len) {
		ssize_t n =
			http_read(&http->source, scratch, (size_t)min_u64(len, DROP_BYTES), err);

		if (n < 0)
			return false;
		if (!n)
			return bmap_error_data(err, http->position,
					       "%s: ends at offset %" PRIu64
					       ", in the middle of its data",
					       http->source.name, http->position);
		len -= (uint64_t)n;
	}
	return true;
}

/* A request whose body has come completely leaves its connection to the next one, but only if
 * libcurl was given the time to notice. */
static void let_it_end(struct http_source *http)
{
	CURLcode code;
	int running;

	if (!http->request.easy)
		return;
	if (http->position == http->request.body_end) {
		curl_multi_perform(http->multi, &running);
		is_over(http, &code);
	}
	http_request_close(http);
}

static bool http_skip(struct source *source, uint64_t len, struct bmap_error *err)
{
	struct http_source *http = (struct http_source *)source;
	const struct http_identity *identity = &http->identity;
	uint64_t to;

	len -= take_spill(http, NULL, (size_t)min_u64(len, HTTP_SPILL_BYTES));
	if (!len)
		return true;
	if (!checked_add(http->position, len, &to) ||
	    (identity->has_size && to > identity->size_bytes))
		return bmap_error_data(err, http->position,
				       "%s: ends at offset %" PRIu64
				       ", in the middle of its data: %" PRIu64
				       " bytes should follow offset %" PRIu64,
				       source->name, identity->size_bytes, len, http->position);
	if (len < LEAST_SKIP_BYTES || !http->accepts_ranges || !identity->has_size ||
	    !http_can_resume(http))
		return drop(http, len, err);
	let_it_end(http);
	http->position = to;
	http->skipped = true;
	http->want_end = HTTP_OPEN_END;
	return true;
}

/* Goes to position for a range of len bytes, or for all that follows (HTTP_OPEN_END). What came and
 * was not read yet is asked for again. */
static void go_to(struct http_source *http, uint64_t position, uint64_t want_end)
{
	http->spill_at = http->spill_len = 0;
	http->ended = false;
	http->position = position;
	http->want_end = want_end;
}

static bool http_read_at(struct source *source, uint64_t offset, void *data, size_t len,
			 struct bmap_error *err)
{
	struct http_source *http = (struct http_source *)source;
	uint64_t back = http->position - (http->spill_len - http->spill_at);
	ssize_t n = 1;
	size_t done;

	if (!source->cheap_skip || !http->accepts_ranges) {
		*err = (struct bmap_error){ .code = BMAP_ERR_NONE };
		return false;
	}
	http_request_close(http);
	go_to(http, offset, offset + len);
	http->skipped = false; /* not for the price of the whole file */
	for (done = 0; done < len && n > 0; done += (size_t)n) {
		n = http_read(source, (uint8_t *)data + done, len - done, err);
		if (n < 0)
			break;
	}
	let_it_end(http);
	go_to(http, back, HTTP_OPEN_END);
	http->skipped = true;
	http->retries = 0;
	return n > 0 ||
	       (n == 0 && bmap_error_data(err, offset + done, "%s: ends at offset %" PRIu64,
					  source->name, offset + done));
}

static void http_expect(struct source *source, uint64_t len)
{
	struct http_source *http = (struct http_source *)source;
	uint64_t at = http->position - (http->spill_len - http->spill_at);

	if (!http->source.cheap_skip || !checked_add(at, len, &http->want_end))
		http->want_end = HTTP_OPEN_END;
	if (http->want_end != HTTP_OPEN_END && http->want_end > http->identity.size_bytes)
		http->want_end = http->identity.size_bytes;
}

static void http_close(struct source *source)
{
	struct http_source *http = (struct http_source *)source;

	http_request_close(http);
	if (http->multi)
		curl_multi_cleanup(http->multi);
	free(http->text);
	free(http->redirected);
	free(http->spill);
	free(http);
}

/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "source/http_headers.h"

#include <stdio.h>
#include <string.h>

static void feed(struct http_headers *headers, const char *line)
{
	http_headers_line(headers, line, strlen(line));
}

static void a_header_is_understood(void **state)
{
	struct http_headers headers = { 0 };

	(void)state;
	feed(&headers, "HTTP/1.1 206 Partial  Content\r\n");
	feed(&headers, "ACCEPT-ranges:bytes\r\n");
	feed(&headers, "Content-Range:  bytes 10-19/200 \r\n");
	feed(&headers, "etag: \"abc\"\r\n");
	feed(&headers, "Last-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\n");
	feed(&headers, "Location: /elsewhere\n");
	feed(&headers, "\r\n");
	assert_int_equal(headers.status, 206);
	assert_string_equal(headers.status_text, "206 Partial  Content");
	assert_true(headers.accepts_ranges && headers.has_range && headers.has_total);
	assert_int_equal(headers.range_begin, 10);
	assert_int_equal(headers.range_end, 20);
	assert_int_equal(headers.range_total, 200);
	assert_string_equal(headers.etag, "\"abc\"");
	assert_string_equal(headers.last_modified, "Mon, 05 Jan 2026 10:00:00 GMT");
	assert_string_equal(headers.location, "/elsewhere");
}

static void a_new_status_line_forgets_the_answer_before(void **state)
{
	struct http_headers headers = { 0 };

	(void)state;
	feed(&headers, "HTTP/1.1 103 Early Hints");
	feed(&headers, "ETag: \"old\"");
	feed(&headers, "Accept-Ranges: bytes");
	feed(&headers, "HTTP/2 200 ");
	assert_int_equal(headers.status, 200);
	assert_string_equal(headers.status_text, "200");
	assert_true(!headers.etag[0] && !headers.accepts_ranges);
}

static void ranges_that_are_not_exact_are_none(void **state)
{
	static const char *const bad[] = {
		"bytes 10-9/20",
		"bytes 0-20/20",
		"bytes 0-/20",
		"bytes -5/20",
		"bytes 0-5",
		"bytes 0-5/",
		"bytes 0-5/x",
		"bytes 0-5/20x",
		"bytes 0-5/20,2",
		"bytes */20",
		"bytes=0-5/20",
		"items 0-5/20",
		"bytes 0 -5/20",
		"bytes 0-5/+20",
		"bytes",
		"",
		"bytes 0-18446744073709551615/*",
		"bytes 0-18446744073709551616/*",
		"bytes 99999999999999999999-5/*",
		"bytes 0-5/99999999999999999999",
	};
	char line[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct http_headers headers = { 0 };

		feed(&headers, "Content-Range: bytes 1-2/3"); /* the last one counts */
		snprintf(line, sizeof(line), "Content-Range: %s\r\n", bad[i]);
		feed(&headers, line);
		if (headers.has_range)
			fail_msg("taken: %s", bad[i]);
	}
}

static void only_strong_tags_are_kept(void **state)
{
	static const struct {
		const char *line;
		bool kept;
	} cases[] = {
		{ "ETag: \"a\"", true }, { "ETag: \"\"", true },    { "ETag: W/\"a\"", false },
		{ "ETag: a", false },    { "ETag: \"a", false },    { "ETag: \"", false },
		{ "ETag:", false },      { "ETags: \"a\"", false }, { "ETag: \"a\x01\"", false },
	};
	char longest[600] = "ETag: \"";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_headers headers = { 0 };

		feed(&headers, cases[i].line);
		assert_int_equal(headers.etag[0] != '\0', cases[i].kept);
	}
	memset(longest + 7, 'x', 400);
	strcpy(longest + 407, "\"");
	for (int i = 0; i < 2; i++) {
		struct http_headers headers = { 0 };

		feed(&headers, longest);
		assert_int_equal(headers.etag[0] != '\0', i);
		strcpy(longest + 200, "\"");
	}
}

static void odd_bytes_do_no_harm(void **state)
{
	struct http_headers headers = { 0 };

	(void)state;
	feed(&headers, "HTTP/1.1 404 \x1b[31m\xff");
	assert_int_equal(headers.status, 404);
	assert_string_equal(headers.status_text, "404 ?[31m?");
	http_headers_line(&headers, "ETag: \"a\0b\"", 11);
	assert_string_equal(headers.etag, "");
	http_headers_line(&headers, "", 0);
	feed(&headers, "HTTP/1.1");
	assert_int_equal(headers.status, 0);
	feed(&headers, "HTTP/1.1 99999 x");
	assert_int_equal(headers.status, 999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_is_understood),
		cmocka_unit_test(a_new_status_line_forgets_the_answer_before),
		cmocka_unit_test(ranges_that_are_not_exact_are_none),
		cmocka_unit_test(only_strong_tags_are_kept),
		cmocka_unit_test(odd_bytes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

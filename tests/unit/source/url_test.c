/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "source/url.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_span(struct url_span span, const char *text)
{
	if (span.len != strlen(text) || memcmp(span.at, text, span.len))
		fail_msg("\"%.*s\" is not \"%s\"", (int)span.len, span.at, text);
}

static void a_url_is_taken_apart(void **state)
{
	static const struct {
		const char *text;
		enum url_scheme scheme;
		const char *user, *password, *host; /* NULL: not there */
		unsigned port;
		const char *path, *tail;
	} cases[] = {
		{ "http://h/p", URL_HTTP, NULL, NULL, "h", 0, "/p", "" },
		{ "HTTPS://h.example:8443/a/b.img?x=1#y", URL_HTTPS, NULL, NULL, "h.example", 8443,
		  "/a/b.img", "?x=1#y" },
		{ "ftp://u:p@h", URL_FTP, "u", "p", "h", 0, "", "" },
		{ "ssh://u@h:22/x", URL_SSH, "u", NULL, "h", 22, "/x", "" },
		{ "http://u:@h/", URL_HTTP, "u", "", "h", 0, "/", "" },
		{ "http://:p@h/", URL_HTTP, "", "p", "h", 0, "/", "" },
		{ "http://@h/", URL_HTTP, "", NULL, "h", 0, "/", "" },
		{ "http://u:p@ss@h/@", URL_HTTP, "u", "p@ss", "h", 0, "/@", "" },
		{ "http://u:a:b@h/", URL_HTTP, "u", "a:b", "h", 0, "/", "" },
		{ "http://[::1]:80/x", URL_HTTP, NULL, NULL, "[::1]", 80, "/x", "" },
		{ "http://[fe80::1%25eth0]/x", URL_HTTP, NULL, NULL, "[fe80::1%25eth0]", 0, "/x",
		  "" },
		{ "http://h?q@:/", URL_HTTP, NULL, NULL, "h", 0, "", "?q@:/" },
		{ "http://h#f", URL_HTTP, NULL, NULL, "h", 0, "", "#f" },
		{ "http://h:/x", URL_HTTP, NULL, NULL, "h", 0, "/x", "" },
		{ "http://h:65535/x", URL_HTTP, NULL, NULL, "h", 65535, "/x", "" },
		{ "http://b\xc3\xbc.example/", URL_HTTP, NULL, NULL, "b\xc3\xbc.example", 0, "/",
		  "" },
		{ "file:///a b", URL_FILE, NULL, NULL, "", 0, "/a b", "" },
		{ "git+x.y-z://h/", URL_OTHER, NULL, NULL, "h", 0, "/", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err = { 0 };
		struct url url;

		if (!url_parse(&url, cases[i].text, &err))
			fail_msg("%s: %s", cases[i].text, err.text);
		assert_int_equal(url.scheme, cases[i].scheme);
		assert_int_equal(url.has_userinfo, cases[i].user != NULL);
		assert_int_equal(url.has_password, cases[i].password != NULL);
		if (cases[i].user)
			expect_span(url.user, cases[i].user);
		if (cases[i].password)
			expect_span(url.password, cases[i].password);
		expect_span(url.host, cases[i].host);
		assert_int_equal(url.port, cases[i].port);
		expect_span(url.path, cases[i].path);
		expect_span(url.tail, cases[i].tail);
	}
}

static void what_is_no_url_is_refused_without_showing_a_secret(void **state)
{
	static const char *const cases[] = {
		"",
		"x",
		"1http://h/",
		"http:/h",
		"http//h",
		"http://",
		"http:///p",
		"http://u:secret@/p",
		"http://u:secret@:80/p",
		"http://u:secret@h:99999/",
		"http://u:secret@h:-1/",
		"http://u:secret@h:0/",
		"http://u:secret@h:1x/",
		"http://u:sec/ret@h/", /* "sec" for a port */
		"http://u:secret@h\\evil/",
		"http://u:secret@h evil/",
		"http://u:secret@h*/",
		"http://u:secret@[::1/",
		"http://u:secret@[]/",
		"http://u:secret@[::1]x/",
		"http://u:secret@h/\n",
		"http://u:secret@h/\x7f",
		"http://u:sec\tret@h/",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err = { 0 };
		struct url url;
		char *shown = url_display(cases[i]);

		if (url_parse(&url, cases[i], &err))
			fail_msg("taken: %s", cases[i]);
		assert_int_equal(err.code, BMAP_ERR_USAGE);
		if (strstr(err.text, "sec") || strstr(shown, "sec"))
			fail_msg("shown: \"%s\" and \"%s\"", err.text, shown);
		free(shown);
	}
}

static void what_is_shown_of_a_url_has_no_user_and_password(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{ "http://u:p@h:81/a?b", "http://h:81/a?b" },
		{ "http://u:p@x@h/a@b", "http://h/a@b" },
		{ "http://h/a@b", "http://h/a@b" },
		{ "ssh://me@h/x", "ssh://h/x" },
		{ "odd://me:p@h/x", "odd://h/x" },
		{ "http://u:p/q@h/x", "http://..." },
		{ "http://", "http://" },
		{ "disk.img", "disk.img" },
		{ "me@h:disk.img", "me@h:disk.img" },
		{ "-", "-" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *shown = url_display(cases[i].text);

		assert_string_equal(shown, cases[i].shown);
		free(shown);
	}
}

static void percent_signs_are_decoded_or_refused(void **state)
{
	static const struct {
		const char *text, *decoded; /* NULL: refused */
	} cases[] = {
		{ "", "" },
		{ "a%20b", "a b" },
		{ "%41%7a%2F", "Az/" },
		{ "%e2%82%AC", "\xe2\x82\xac" },
		{ "a+b", "a+b" },
		{ "%", NULL },
		{ "%4", NULL },
		{ "%zz", NULL },
		{ "%4z", NULL },
		{ "a%00b", NULL },
		{ "%%41", NULL },
		{ "%2541", "%41" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err = { 0 };
		const struct url_span span = { cases[i].text, strlen(cases[i].text) };
		char *decoded = url_decode(span, "name", &err);

		assert_int_equal(decoded != NULL, cases[i].decoded != NULL);
		if (decoded)
			assert_string_equal(decoded, cases[i].decoded);
		else
			assert_non_null(strstr(err.text, "name: "));
		free(decoded);
	}
}

static void credentials_belong_to_one_scheme_host_and_port(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "http://h/a", "http://h/b?c", true },   { "http://h/", "http://H:80/", true },
		{ "https://h/", "https://h:443/", true }, { "ftp://u@h/", "ftp://h:21/", true },
		{ "http://h/", "https://h/", false },     { "https://h/", "http://h/", false },
		{ "http://h/", "http://h:81/", false },   { "http://h/", "http://h.h/", false },
		{ "http://h:443/", "https://h/", false }, { "odd://h/", "odd://h/", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct url a, b;

		assert_true(url_parse(&a, cases[i].a, NULL) && url_parse(&b, cases[i].b, NULL));
		assert_int_equal(url_same_origin(&a, &b), cases[i].same);
	}
}

static void a_server_is_asked_without_secrets_and_in_ascii(void **state)
{
	static const struct {
		const char *text, *asked;
	} cases[] = {
		{ "http://u:p@h:81/a b?c d#e", "http://h:81/a%20b?c%20d" },
		{ "HTTP://h", "HTTP://h" },
		{ "http://h/\xc3\xa4%20", "http://h/%C3%A4%20" },
		{ "http://b\xc3\xbc/", "http://b\xc3\xbc/" },
		{ "http://h?a#b", "http://h?a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct url url;
		char *asked;

		assert_true(url_parse(&url, cases[i].text, NULL));
		asked = url_request_text(&url);
		assert_string_equal(asked, cases[i].asked);
		free(asked);
	}
}

static void a_file_url_is_a_path_of_this_machine(void **state)
{
	static const struct {
		const char *text, *path; /* NULL: refused */
	} cases[] = {
		{ "file:///a/b", "/a/b" },        { "FILE:///a%20b%25", "/a b%" },
		{ "file://localhost/x", "/x" },   { "file://LOCALHOST/x", "/x" },
		{ "file://other/x", NULL },       { "file://u@localhost/x", NULL },
		{ "file://localhost:1/x", NULL }, { "file:///x?y", NULL },
		{ "file:///x#y", NULL },          { "file://", NULL },
		{ "file:///a%00b", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err = { 0 };
		char *path = url_to_local(cases[i].text, &err);

		assert_int_equal(path != NULL, cases[i].path != NULL);
		if (path)
			assert_string_equal(path, cases[i].path);
		else
			assert_int_equal(err.code, BMAP_ERR_USAGE);
		free(path);
	}
}

static void a_local_file_of_that_name_goes_first(void **state)
{
	char folder[] = "/tmp/bmap-unit-XXXXXX", *path;
	int here = open(".", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_true(mkdtemp(folder) && !chdir(folder));
	assert_true(url_is_remote("http://h/x"));
	assert_false(url_is_remote("file:///h/x"));
	assert_false(url_is_remote("disk.img"));
	assert_true(!mkdir("http:", 0700) && !mkdir("http:/h", 0700) && !mkdir("file:", 0700) &&
		    !mkdir("file:/tmp", 0700));
	assert_false(url_is_remote("http://h"));
	assert_true(url_is_remote("http://h/x"));
	path = url_to_local("file:///tmp", NULL);
	assert_string_equal(path, "file:///tmp");
	free(path);
	rmdir("file:/tmp");
	rmdir("file:");
	rmdir("http:/h");
	rmdir("http:");
	assert_true(!fchdir(here) && !rmdir(folder));
	close(here);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_url_is_taken_apart),
		cmocka_unit_test(what_is_no_url_is_refused_without_showing_a_secret),
		cmocka_unit_test(what_is_shown_of_a_url_has_no_user_and_password),
		cmocka_unit_test(percent_signs_are_decoded_or_refused),
		cmocka_unit_test(credentials_belong_to_one_scheme_host_and_port),
		cmocka_unit_test(a_server_is_asked_without_secrets_and_in_ascii),
		cmocka_unit_test(a_file_url_is_a_path_of_this_machine),
		cmocka_unit_test(a_local_file_of_that_name_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Time-outs, with a server that is a listening socket and a thread. What a real server does is
 * tried in tests/cli/http_test.py. */
#include "unit_test.h"

#include "base/checked.h"
#include "base/clock.h"
#include "source/source_internal.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct http_limits quick = {
	.connect_ms = 500,
	.stall_ms = 200,
	.first_pause_ms = 10,
	.longest_pause_ms = 40,
	.opening_retries = 2,
	.retries = 3,
};

struct server {
	int fd;
	char url[64];
	pthread_t thread;
	const char *answers[8]; /* of each connection in turn, NULL: silence; then no more */
	unsigned accepted;
	int open[8];
};

static void *serve(void *arg)
{
	struct server *server = arg;

	while (server->accepted < ARRAY_LEN(server->answers)) {
		int fd = accept(server->fd, NULL, NULL);
		const char *answer = server->answers[server->accepted];
		char request[4096];

		if (fd < 0)
			break;
		server->open[server->accepted++] = fd;
		if (answer && recv(fd, request, sizeof(request), 0) > 0)
			send(fd, answer, strlen(answer), MSG_NOSIGNAL);
	}
	return NULL;
}

static void start(struct server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(server->fd, 8), 0);
	getsockname(server->fd, (struct sockaddr *)&address, &len);
	snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u/x.img",
		 ntohs(address.sin_port));
	pthread_create(&server->thread, NULL, serve, server);
}

static void stop(struct server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	for (unsigned i = 0; i < server->accepted; i++)
		close(server->open[i]);
	close(server->fd);
}

struct lines {
	unsigned count;
	char last[512];
};

static void keep_line(void *user, enum bmap_log_level level, const char *text)
{
	struct lines *lines = user;

	if (level != BMAP_LOG_INFO)
		return;
	lines->count++;
	snprintf(lines->last, sizeof(lines->last), "%s", text);
}

static struct source *open_with(const struct server *server, const struct bmap_stop *stop_object,
				const struct bmap_log *log, struct bmap_error *err)
{
	struct url url;
	const struct url_request request = { .text = server->url,
					     .name = server->url,
					     .url = &url,
					     .stop = stop_object,
					     .log = log };

	assert_true(url_parse(&url, server->url, err));
	return http_source_open(&request, &quick, err);
}

#define HEADER "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"a\"\r\n\r\n"
#define REST_OF(from)                                                                              \
	"HTTP/1.1 206 Part\r\nContent-Length: 6\r\nETag: \"a\"\r\nContent-Range: bytes " from      \
	"-9/10\r\n\r\n"

static void a_server_that_says_nothing_is_given_up(void **state)
{
	struct server server = { 0 };
	struct bmap_error err = { 0 };
	struct lines lines = { 0 };
	const struct bmap_log log = { keep_line, &lines };
	uint64_t began = clock_now_ns();

	(void)state;
	start(&server);
	assert_null(open_with(&server, NULL, &log, &err));
	assert_true(clock_now_ns() - began >= 3 * 200 * NS_PER_MS);
	assert_int_equal(err.code, BMAP_ERR_IO);
	assert_non_null(strstr(err.text, "nothing came for 0.2 s"));
	assert_non_null(strstr(err.text, "given up after 2 more tries"));
	assert_int_equal(lines.count, 2);
	stop(&server);
	assert_int_equal(server.accepted, 3);
}

static void a_stall_in_the_middle_is_gone_around(void **state)
{
	struct server server = { .answers = { HEADER "0123", NULL, REST_OF("4") "456",
					      REST_OF("7") "789" } };
	struct bmap_error err = { 0 };
	struct lines lines = { 0 };
	const struct bmap_log log = { keep_line, &lines };
	struct source *source;
	char got[16] = "";
	size_t len = 0;
	ssize_t n;

	(void)state;
	/* The last answer's length is wrong, too: it is measured by its Content-Range. */
	start(&server);
	source = open_with(&server, NULL, &log, &err);
	assert_non_null(source);
	assert_true(source->has_size && source->size_bytes == 10 && !source->cheap_skip);
	while ((n = source_read(source, got + len, sizeof(got) - len, &err)) > 0)
		len += (size_t)n;
	if (n < 0)
		fail_msg("%s", err.text);
	assert_string_equal(got, "0123456789");
	assert_int_equal(lines.count, 3);
	source_close(source);
	stop(&server);
}

static void a_server_that_stalls_for_ever_fails_the_read(void **state)
{
	struct server server = { .answers = { HEADER "0123" } };
	struct bmap_error err = { 0 };
	struct source *source;
	char got[16];

	(void)state;
	start(&server);
	source = open_with(&server, NULL, NULL, &err);
	assert_non_null(source);
	assert_int_equal(source_read(source, got, sizeof(got), &err), 4);
	assert_int_equal(source_read(source, got, sizeof(got), &err), -1);
	assert_non_null(strstr(err.text, "after byte 4: nothing came"));
	source_close(source);
	stop(&server);
	assert_int_equal(server.accepted, 4);
}

static void a_connection_that_nobody_accepts_times_out(void **state)
{
	struct server server = { 0 };
	struct bmap_error err = { 0 };
	uint64_t began = clock_now_ns();

	(void)state;
	/* TEST-NET-1 (RFC 5737) belongs to nobody; without a route it fails at once, which is as
	 * good. */
	strcpy(server.url, "http://192.0.2.1/x.img");
	assert_null(open_with(&server, NULL, NULL, &err));
	assert_int_equal(err.code, BMAP_ERR_IO);
	assert_true(clock_now_ns() - began < 10 * NS_PER_S);
}

static void *request_stop_later(void *arg)
{
	usleep(50000);
	bmap_stop_request(arg);
	return NULL;
}

static void a_stop_ends_the_wait_for_an_answer(void **state)
{
	struct server server = { 0 };
	struct bmap_error err = { 0 };
	struct bmap_stop *object = bmap_stop_new(&err);
	uint64_t began = clock_now_ns();
	pthread_t thread;

	(void)state;
	start(&server);
	pthread_create(&thread, NULL, request_stop_later, object);
	assert_null(open_with(&server, object, NULL, &err));
	assert_true(clock_now_ns() - began < 180 * NS_PER_MS || UNDER_SANITIZER);
	assert_int_equal(err.code, BMAP_ERR_INTERRUPTED);
	pthread_join(thread, NULL);
	bmap_stop_free(object);
	stop(&server);
}

static void bytes_beyond_what_was_announced_are_an_error(void **state)
{
	struct server server = { .answers = { HEADER "0123", "HTTP/1.1 206 Part\r\nETag: \"a\"\r\n"
							     "Content-Range: bytes 4-9/10\r\n"
							     "Content-Length: 8\r\n\r\n"
							     "456789xy" } };
	struct bmap_error err = { 0 };
	struct source *source;
	char got[32];

	(void)state;
	start(&server);
	source = open_with(&server, NULL, NULL, &err);
	assert_non_null(source);
	assert_int_equal(source_read(source, got, sizeof(got), &err), 4);
	assert_int_equal(source_read(source, got, sizeof(got), &err), -1);
	assert_non_null(strstr(err.text, "more than"));
	source_close(source);
	stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_that_says_nothing_is_given_up),
		cmocka_unit_test(a_stall_in_the_middle_is_gone_around),
		cmocka_unit_test(a_server_that_stalls_for_ever_fails_the_read),
		cmocka_unit_test(a_connection_that_nobody_accepts_times_out),
		cmocka_unit_test(a_stop_ends_the_wait_for_an_answer),
		cmocka_unit_test(bytes_beyond_what_was_announced_are_an_error),
	};

	/* No proxy of the machine may be in between. */
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

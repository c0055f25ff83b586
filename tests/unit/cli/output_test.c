/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/output.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Standard error of a test: a socket that keeps the borders between writes. */
struct listener {
	int fd[2];
	struct output out;
};

static void listener_open(struct listener *l, bool quiet, bool debug)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, l->fd), 0);
	output_init(&l->out, quiet, debug);
	l->out.fd = l->fd[1];
	l->out.color = false;
}

/* One write; "" if there was none. */
static const char *listener_read(struct listener *l)
{
	static char text[16384];
	ssize_t n = recv(l->fd[0], text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void listener_close(struct listener *l)
{
	close(l->fd[0]);
	close(l->fd[1]);
}

static void each_line_is_one_write_with_its_prefix(void **state)
{
	struct listener l;

	(void)state;
	listener_open(&l, false, true);
	output_info(&l.out, "%d of %d", 1, 2);
	output_warning(&l.out, "careful");
	output_error(&l.out, "no");
	output_debug(&l.out, "detail");
	l.out.log.message(l.out.log.user, BMAP_LOG_INFO, "100%s"); /* no format */
	assert_string_equal(listener_read(&l), "bmaptool: info: 1 of 2\n");
	assert_string_equal(listener_read(&l), "bmaptool: WARNING: careful\n");
	assert_string_equal(listener_read(&l), "bmaptool: ERROR: no\n");
	assert_string_equal(listener_read(&l), "bmaptool: debug: detail\n");
	assert_string_equal(listener_read(&l), "bmaptool: info: 100%s\n");
	assert_string_equal(listener_read(&l), "");
	listener_close(&l);
}

static void what_was_not_asked_for_is_not_shown(void **state)
{
	static const struct {
		bool quiet, debug;
		const char *first;
	} cases[] = {
		{ false, true, "bmaptool: debug: d\n" },
		{ false, false, "bmaptool: info: i\n" },
		{ true, false, "bmaptool: WARNING: w\n" },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct listener l;

		listener_open(&l, cases[i].quiet, cases[i].debug);
		output_debug(&l.out, "d");
		output_info(&l.out, "i");
		output_warning(&l.out, "w");
		assert_string_equal(listener_read(&l), cases[i].first);
		listener_close(&l);
	}
}

static void a_line_goes_above_the_progress_line(void **state)
{
	struct listener l;

	(void)state;
	listener_open(&l, false, false);
	output_draw(&l.out, "42%");
	output_info(&l.out, "news");
	output_end_line(&l.out);
	output_info(&l.out, "after");
	assert_string_equal(listener_read(&l), "\r42%\x1b[K");
	assert_string_equal(listener_read(&l), OUTPUT_ERASE "bmaptool: info: news\n42%");
	assert_string_equal(listener_read(&l), "\n");
	assert_string_equal(listener_read(&l), "bmaptool: info: after\n");
	listener_close(&l);
}

static void a_block_of_lines_goes_down_below_messages(void **state)
{
	struct listener l;

	(void)state;
	listener_open(&l, false, false);
	output_draw(&l.out, "one\ntwo\nall");
	assert_string_equal(listener_read(&l), "\rone\x1b[K\ntwo\x1b[K\nall\x1b[K");
	output_draw(&l.out, "1\n2\n3");
	assert_string_equal(listener_read(&l), "\r\x1b[2A1\x1b[K\n2\x1b[K\n3\x1b[K");
	output_info(&l.out, "news");
	assert_string_equal(listener_read(&l), "\r\x1b[2A\x1b[Jbmaptool: info: news\n"
					       "1\x1b[K\n2\x1b[K\n3");
	/* Less than before: nothing of the rest stays. */
	output_draw(&l.out, "all");
	assert_string_equal(listener_read(&l), "\r\x1b[2Aall\x1b[J");
	output_draw(&l.out, "a\nb");
	assert_string_equal(listener_read(&l), "\ra\x1b[K\nb\x1b[K");
	output_end_line(&l.out);
	assert_string_equal(listener_read(&l), "\n");
	output_info(&l.out, "after");
	assert_string_equal(listener_read(&l), "bmaptool: info: after\n");
	listener_close(&l);
}

static void a_signal_takes_the_place_of_what_is_drawn(void **state)
{
	struct listener l;

	(void)state;
	listener_open(&l, false, false);
	l.out.live = true;
	output_from_signal(&l.out, "stop\n", 5);
	assert_string_equal(listener_read(&l), "\r\x1b[K");
	assert_string_equal(listener_read(&l), "stop\n");
	output_draw(&l.out, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12");
	listener_read(&l);
	output_from_signal(&l.out, "stop\n", 5);
	assert_string_equal(listener_read(&l), "\r\x1b[12A\x1b[J");
	assert_string_equal(listener_read(&l), "stop\n");
	/* It comes back below, and does not reach above the notice. */
	output_info(&l.out, "news");
	assert_memory_equal(listener_read(&l), "bmaptool: info: news\n0\x1b[K\n1\x1b[K\n", 31);
	output_from_signal(&l.out, "stop\n", 5);
	listener_read(&l);
	listener_read(&l);
	output_draw(&l.out, "one\ntwo");
	assert_string_equal(listener_read(&l), "\rone\x1b[K\ntwo\x1b[K");
	output_end_line(&l.out);
	listener_close(&l);
}

static void a_file_name_cannot_command_the_terminal(void **state)
{
	struct listener l;

	(void)state;
	listener_open(&l, false, false);
	output_info(&l.out, "%s",
		    "a\nbmaptool: ERROR: b\x1b[2J\x7f \xc2\x9b"
		    "31m \xc3\xa9");
	assert_string_equal(listener_read(&l), "bmaptool: info: a?bmaptool: ERROR: b?[2J? \xc2?"
					       "31m \xc3\xa9\n");
	listener_close(&l);
}

static void a_very_long_message_is_cut_not_overrun(void **state)
{
	struct listener l;
	char *text = malloc(100000);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 99999);
	text[99999] = '\0';
	listener_open(&l, false, false);
	output_info(&l.out, "%s", text);
	output_log(&l.out, BMAP_LOG_INFO, text);
	output_draw(&l.out, text);
	for (int i = 0; i < 2; i++) {
		const char *got = listener_read(&l);

		assert_true(strlen(got) > 8000 && got[strlen(got) - 1] == '\n');
	}
	assert_int_equal(strlen(listener_read(&l)), OUTPUT_MAX_COLUMNS + 4);
	output_end_line(&l.out);
	listener_close(&l);
	free(text);
}

static void *shout(void *arg)
{
	for (int i = 0; i < 200; i++)
		output_info(arg, "from a thread");
	return NULL;
}

static void lines_of_many_threads_do_not_mix(void **state)
{
	struct listener l;
	pthread_t threads[4];
	int full = 0;

	(void)state;
	listener_open(&l, false, false);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, shout, &l.out), 0);
	while (full < 800) {
		char text[256];
		ssize_t n = recv(l.fd[0], text, sizeof(text) - 1, 0);

		assert_true(n > 0);
		text[n] = '\0';
		if (text[0] == '\r')
			continue;
		assert_string_equal(text, "bmaptool: info: from a thread\n");
		full++;
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	listener_close(&l);
}

static void a_full_pipe_that_does_not_block_is_waited_for(void **state)
{
	struct output out;
	pthread_t thread;
	char text[4096];
	int fd[2];
	size_t got = 0;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	fcntl(fd[1], F_SETPIPE_SZ, 4096);
	output_init(&out, false, false);
	out.fd = fd[1];
	assert_int_equal(pthread_create(&thread, NULL, shout, &out), 0);
	while (got < 200 * strlen("bmaptool: info: from a thread\n")) {
		ssize_t n = read(fd[0], text, sizeof(text));

		assert_true(n > 0);
		got += (size_t)n;
	}
	pthread_join(thread, NULL);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_is_one_write_with_its_prefix),
		cmocka_unit_test(what_was_not_asked_for_is_not_shown),
		cmocka_unit_test(a_line_goes_above_the_progress_line),
		cmocka_unit_test(a_block_of_lines_goes_down_below_messages),
		cmocka_unit_test(a_signal_takes_the_place_of_what_is_drawn),
		cmocka_unit_test(a_file_name_cannot_command_the_terminal),
		cmocka_unit_test(a_very_long_message_is_cut_not_overrun),
		cmocka_unit_test(lines_of_many_threads_do_not_mix),
		cmocka_unit_test(a_full_pipe_that_does_not_block_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

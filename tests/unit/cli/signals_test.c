/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/signals.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* Runs child() in a process of its own with standard error in a pipe; its wait status. */
static int run_child(void (*child)(int arg), int arg, char *text, size_t room)
{
	int fd[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		/* The test itself may run under nohup or in the background of a script. */
		signal(SIGHUP, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		child(arg);
		_exit(99);
	}
	close(fd[1]);
	while ((n = read(fd[0], text + len, room - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void signalled_once(int number)
{
	struct bmap_error err;
	struct bmap_stop *stop = bmap_stop_new(&err);

	signals_install(stop, NULL, false);
	if (bmap_stop_requested(stop) || signals_exit_code())
		_exit(98);
	raise(number);
	if (!bmap_stop_requested(stop))
		_exit(97);
	_exit(signals_exit_code());
}

static void signalled_twice(int number)
{
	struct bmap_error err;
	struct bmap_stop *stop = bmap_stop_new(&err);

	signals_install(stop, NULL, true);
	signals_set_state("%s: %d of %d bytes", "disk\nname", 1, 2);
	raise(SIGINT);
	raise(number);
}

static void signalled_after_the_job(int number)
{
	struct bmap_error err;
	struct bmap_stop *stop = bmap_stop_new(&err);

	signals_install(stop, NULL, false);
	signals_forget();
	bmap_stop_free(stop);
	raise(number);
}

static void ignored_from_the_start(int number)
{
	struct bmap_error err;
	struct bmap_stop *stop = bmap_stop_new(&err);

	signal(number, SIG_IGN);
	signals_install(stop, NULL, false);
	raise(number);
	_exit(bmap_stop_requested(stop));
}

static void writing_to_a_closed_pipe(int ignored)
{
	struct bmap_error err;
	struct bmap_stop *stop = bmap_stop_new(&err);
	int fd[2];

	(void)ignored;
	signals_install(stop, NULL, false);
	_exit(pipe(fd) == 0 && close(fd[0]) == 0 && write(fd[1], "x", 1) == -1 ? 0 : 1);
}

static void the_first_asks_to_stop_and_the_exit_code_says_which(void **state)
{
	static const struct {
		int number, code;
	} cases[] = { { SIGINT, 130 }, { SIGTERM, 143 }, { SIGHUP, 129 } };
	char text[2000];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int status = run_child(signalled_once, cases[i].number, text, sizeof(text));

		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), cases[i].code);
		assert_non_null(strstr(text, "bmaptool: WARNING: interrupted"));
	}
}

static void the_second_says_where_it_stood_and_leaves(void **state)
{
	char text[2000];
	int status = run_child(signalled_twice, SIGTERM, text, sizeof(text));

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 143);
	assert_string_equal(text, "bmaptool: ERROR: interrupted again, leaving at once: disk?name: "
				  "1 of 2 bytes\n");
	status = run_child(signalled_twice, SIGINT, text, sizeof(text));
	assert_int_equal(WEXITSTATUS(status), 130);
}

static void without_a_job_a_signal_ends_the_process(void **state)
{
	char text[2000];
	int status = run_child(signalled_after_the_job, SIGTERM, text, sizeof(text));

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void nohup_is_respected(void **state)
{
	char text[2000];

	(void)state;
	assert_int_equal(run_child(ignored_from_the_start, SIGHUP, text, sizeof(text)), 0);
	assert_int_equal(run_child(ignored_from_the_start, SIGINT, text, sizeof(text)), 0);
}

static void a_closed_pipe_is_an_error_not_the_end(void **state)
{
	char text[2000];

	(void)state;
	assert_int_equal(run_child(writing_to_a_closed_pipe, 0, text, sizeof(text)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_asks_to_stop_and_the_exit_code_says_which),
		cmocka_unit_test(the_second_says_where_it_stood_and_leaves),
		cmocka_unit_test(without_a_job_a_signal_ends_the_process),
		cmocka_unit_test(nohup_is_respected),
		cmocka_unit_test(a_closed_pipe_is_an_error_not_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

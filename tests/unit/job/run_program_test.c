/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "base/threads.h"
#include "job/run_program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct result {
	char output[512], errors[16], status[64];
	struct program_run run;
};

static bool run_shell(struct result *r, const char *script, struct bmap_stop *stop,
		      struct bmap_error *err)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	int null = open("/dev/null", O_RDONLY);
	bool good;

	memset(r, 0, sizeof(*r));
	r->run = (struct program_run){
		.argv = argv,
		.input_fd = null,
		.extra_fd = null,
		.output = { r->output, sizeof(r->output) - 1, 0, false },
		.errors = { r->errors, sizeof(r->errors) - 1, 0, true },
		.status = { r->status, sizeof(r->status) - 1, 0, false },
		.stop = stop,
	};
	good = run_program(&r->run, err);
	r->run.argv = NULL;
	close(null);
	return good;
}

static void each_stream_arrives_by_itself(void **state)
{
	struct bmap_error err = { 0 };
	struct result r;

	(void)state;
	if (!run_shell(&r, "echo out; echo err >&2; echo status >&3; exit 7", NULL, &err))
		fail_msg("%s", err.text);
	assert_string_equal(r.output, "out\n");
	assert_string_equal(r.errors, "err\n");
	assert_string_equal(r.status, "status\n");
	assert_int_equal(r.run.exit_status, 7);
	assert_true(run_shell(&r, "kill -9 $$", NULL, &err));
	assert_int_equal(r.run.exit_status, 128 + SIGKILL);
}

static void it_gets_what_is_named_and_the_c_locale(void **state)
{
	struct bmap_error err = { 0 };
	struct result r;
	int ours = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
	char script[256];

	(void)state;
	assert_true(ours >= 0);
	setenv("LC_ALL", "de_DE.UTF-8", 1);
	setenv("LANGUAGE", "de", 1);
	snprintf(script, sizeof(script),
		 "for i in 0 1 2 3 4 %d; do [ -e /proc/$$/fd/$i ] && printf '%%s ' $i; done; "
		 "echo \"$LC_ALL-$LANGUAGE\"",
		 ours);
	assert_true(run_shell(&r, script, NULL, &err));
	assert_string_equal(r.output, "0 1 2 3 4 C-\n");
	close(ours);
	unsetenv("LC_ALL");
	unsetenv("LANGUAGE");
}

static void descriptors_0_to_2_may_be_closed(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		struct bmap_error err = { 0 };
		struct result r;

		close(0);
		close(1);
		close(2);
		_exit(run_shell(&r, "cat; cat <&4; echo out; echo err >&2; echo status >&3", NULL,
				&err) &&
				      !strcmp(r.output, "out\n") && !strcmp(r.errors, "err\n") &&
				      !strcmp(r.status, "status\n")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void signals_are_as_in_a_fresh_process(void **state)
{
	struct bmap_error err = { 0 };
	struct result r;
	unsigned long long blocked, ignored;
	sigset_t all, old;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	assert_true(run_shell(&r, "grep -E 'SigBlk|SigIgn' /proc/self/status | cut -f2 | uniq",
			      NULL, &err));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* 32 and 33 are the C library's own. */
	assert_int_equal(sscanf(r.output, "%llx %llx", &blocked, &ignored), 2);
	assert_int_equal(blocked & ~0x180000000ull, 0);
	assert_int_equal(ignored & ~0x180000000ull, 0);
}

static void what_is_more_than_expected_ends_it(void **state)
{
	static const char *const scripts[] = { "yes", "yes >&3", "head -c 600 /dev/zero" };
	struct bmap_error err = { 0 };
	struct result r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		assert_false(run_shell(&r, scripts[i], NULL, &err));
		assert_non_null(strstr(err.text, "more than"));
	}
	/* Its own words are cut instead. */
	assert_true(run_shell(&r, "head -c 1000000 /dev/zero | tr '\\0' x >&2", NULL, &err));
	assert_string_equal(r.errors, "xxxxxxxxxxxxxxx");
}

static void what_is_not_installed_is_said(void **state)
{
	const char *const argv[] = { "bmap-no-such-program", NULL };
	struct program_run run = { .argv = argv, .input_fd = -1, .extra_fd = -1 };
	struct bmap_error err = { 0 };
	int null = open("/dev/null", O_RDONLY);

	(void)state;
	run.input_fd = null;
	assert_false(run_program(&run, &err));
	assert_int_equal(err.code, BMAP_ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, argv[0]));
	close(null);
}

static void *request_stop(void *arg)
{
	const struct timespec pause = { 0, 50 * 1000 * 1000 };

	nanosleep(&pause, NULL);
	bmap_stop_request(arg);
	return NULL;
}

static void a_stop_ends_it_and_all_it_started(void **state)
{
	static const char *const scripts[] = {
		"sleep 1000",
		"sleep 1000 & wait",
		"exec 1>&- 2>&- 3>&-; sleep 1000",
		"trap '' INT TERM HUP; sleep 1000",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		struct bmap_error err = { 0 };
		struct bmap_stop *stop = bmap_stop_new(&err);
		struct result r;
		pthread_t thread;

		assert_non_null(stop);
		assert_true(thread_start(&thread, "stopper", request_stop, stop, &err));
		assert_false(run_shell(&r, scripts[i], stop, &err));
		assert_int_equal(err.code, BMAP_ERR_INTERRUPTED);
		pthread_join(thread, NULL);
		bmap_stop_free(stop);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing left to be reaped */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_stream_arrives_by_itself),
		cmocka_unit_test(it_gets_what_is_named_and_the_c_locale),
		cmocka_unit_test(descriptors_0_to_2_may_be_closed),
		cmocka_unit_test(signals_are_as_in_a_fresh_process),
		cmocka_unit_test(what_is_more_than_expected_ends_it),
		cmocka_unit_test(what_is_not_installed_is_said),
		cmocka_unit_test(a_stop_ends_it_and_all_it_started),
	};

	return cmocka_run_group_tests_name("run_program", tests, NULL, NULL);
}

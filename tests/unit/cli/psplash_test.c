/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/progress.h"
#include "cli/psplash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1024ull * 1024)

static char folder[] = "/tmp/psplash-test-XXXXXX";
static char path[sizeof(folder) + 16];
static struct output out; /* to a pipe: what was said */
static int said[2];

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(pipe2(said, O_NONBLOCK), 0);
	output_init(&out, false, false);
	out.fd = said[1];
	out.color = false;
	unlink(path);
	return mkfifo(path, 0600);
}

static int tear_down(void **state)
{
	(void)state;
	close(said[0]);
	close(said[1]);
	return unlink(path);
}

static const char *read_all(int fd)
{
	static char text[100000];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void numbers_reach_a_reader_once_each(void **state)
{
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	struct psplash p;

	(void)state;
	psplash_open(&p, path, &out);
	psplash_send(&p, 0);
	psplash_send(&p, 42);
	psplash_send(&p, 42);
	psplash_send(&p, 100);
	psplash_close(&p);
	assert_string_equal(read_all(reader), "PROGRESS 0\nPROGRESS 42\nPROGRESS 100\n");
	assert_string_equal(read_all(said[0]), "");
	close(reader);
}

static void a_reader_may_come_go_and_come_back(void **state)
{
	struct psplash p;
	int reader;

	(void)state;
	psplash_open(&p, path, &out);
	psplash_send(&p, 1); /* nobody there */
	reader = open(path, O_RDONLY | O_NONBLOCK);
	psplash_send(&p, 2);
	assert_string_equal(read_all(reader), "PROGRESS 2\n");
	close(reader);
	psplash_send(&p, 3); /* EPIPE */
	psplash_send(&p, 4); /* ENXIO */
	reader = open(path, O_RDONLY | O_NONBLOCK);
	psplash_send(&p, 5);
	assert_string_equal(read_all(reader), "PROGRESS 5\n");
	psplash_close(&p);
	close(reader);
	assert_string_equal(read_all(said[0]), ""); /* info level: no word of it */
}

static void a_full_fifo_is_not_waited_for(void **state)
{
	static const char junk[512];
	int both = open(path, O_RDWR | O_NONBLOCK);
	struct psplash p;

	(void)state;
	while (write(both, junk, sizeof(junk)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	psplash_open(&p, path, &out);
	for (unsigned i = 0; i <= 99; i++)
		psplash_send(&p, i);
	while (read(both, (char[512]){ 0 }, 512) > 0)
		;
	psplash_send(&p, 99); /* was left out: is not taken for sent */
	assert_string_equal(read_all(both), "PROGRESS 99\n");
	psplash_close(&p);
	close(both);
}

static void what_is_no_fifo_is_said_once_and_left_alone(void **state)
{
	struct stat st;
	struct psplash p;
	int fd;

	(void)state;
	unlink(path);
	psplash_open(&p, path, &out);
	psplash_send(&p, 1);
	psplash_close(&p);
	assert_non_null(strstr(read_all(said[0]), "WARNING"));
	assert_int_equal(stat(path, &st), -1);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "keep me", 7), 7);
	close(fd);
	psplash_open(&p, path, &out);
	psplash_send(&p, 1);
	psplash_send(&p, 2);
	psplash_close(&p);
	assert_non_null(strstr(read_all(said[0]), "is not a named pipe\n"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 7);
}

static void a_hundred_comes_only_at_the_end_of_a_success(void **state)
{
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	struct progress progress;
	struct psplash p;

	(void)state;
	psplash_open(&p, path, &out);
	progress_init(&progress, &out, "copied");
	progress.psplash = &p;
	/* No total: all of the source was read, but not all of it is written. */
	progress_show(&progress, 1,
		      &(struct progress_facts){ .done_bytes = MIB,
						.source_read_bytes = 5 * MIB,
						.source_total_bytes = 10 * MIB });
	progress_show(&progress, 2,
		      &(struct progress_facts){ .done_bytes = MIB,
						.source_read_bytes = 10 * MIB,
						.source_total_bytes = 10 * MIB });
	assert_string_equal(read_all(reader), "PROGRESS 49\nPROGRESS 99\n");
	progress_end(&progress, false);
	assert_string_equal(read_all(reader), "");
	progress_end(&progress, true);
	assert_string_equal(read_all(reader), "PROGRESS 100\n");
	psplash_close(&p);
	close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers_reach_a_reader_once_each, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_reader_may_come_go_and_come_back, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_full_fifo_is_not_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_fifo_is_said_once_and_left_alone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_hundred_comes_only_at_the_end_of_a_success,
						set_up, tear_down),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/fifo", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}

/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "source/source.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BIG (SOURCE_HEAD_BYTES + 70001u) /* more than a head, and than a pipe holds */

struct fixture {
	char dir[64];
	char file[96], fifo[96];
	uint8_t data[BIG];
	int saved_stdin;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->dir, "/var/tmp/source_test.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->file, sizeof(f->file), "%s/disk.img", f->dir);
	snprintf(f->fifo, sizeof(f->fifo), "%s/fifo", f->dir);
	for (size_t i = 0; i < BIG; i++)
		f->data[i] = (uint8_t)(i * 7 + i / 251);
	fd = open(f->file, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, f->data, BIG) != BIG || close(fd) || mkfifo(f->fifo, 0600))
		return -1;
	f->saved_stdin = dup(STDIN_FILENO);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dup2(f->saved_stdin, STDIN_FILENO);
	close(f->saved_stdin);
	unlink(f->file);
	unlink(f->fifo);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* Reads on to the end in steps of no round size; the bytes must be data[from, BIG). */
static void expect_rest(struct fixture *f, struct source *source, size_t from)
{
	struct bmap_error err;
	uint8_t part[10007];
	ssize_t n;

	while ((n = source_read(source, part, sizeof(part), &err)) > 0) {
		assert_true(from + (size_t)n <= BIG);
		assert_memory_equal(part, f->data + from, (size_t)n);
		from += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(from, BIG);
	assert_int_equal(source_read(source, part, sizeof(part), &err), 0);
}

static void expect_open_fails(const char *path, enum bmap_error_code code, const char *text)
{
	struct bmap_error err = { 0 };

	assert_null(source_open(path, NULL, &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

/* A thread that opens the fifo for writing and writes all data but the first skip bytes. */
struct writer {
	struct fixture *f;
	int fd; /* -1: open the fifo */
	size_t skip;
	pthread_t thread;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;
	int fd = w->fd >= 0 ? w->fd : open(w->f->fifo, O_WRONLY);

	for (size_t done = w->skip; done < BIG;) {
		size_t step = BIG - done < 33333 ? BIG - done : 33333;
		ssize_t n = write(fd, w->f->data + done, step);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(fd);
	return NULL;
}

static void *request_stop_later(void *arg)
{
	usleep(50000);
	bmap_stop_request(arg);
	return NULL;
}

static void a_file_gives_its_head_and_then_all_bytes(void **state)
{
	struct fixture *f = *state;
	struct bmap_error err = { 0 };
	struct source *source = source_open(f->file, NULL, &err);

	assert_non_null(source);
	assert_string_equal(source->name, f->file);
	assert_true(source->has_size && source->seekable && !source->is_block_device);
	assert_int_equal(source->size_bytes, BIG);
	assert_int_equal(source->head_len, SOURCE_HEAD_BYTES);
	assert_memory_equal(source->head, f->data, SOURCE_HEAD_BYTES);
	assert_true(source->fd >= 0);
	expect_rest(f, source, 0);
	source_close(source);
}

static void an_empty_file_has_an_empty_head(void **state)
{
	struct fixture *f = *state;
	struct bmap_error err;
	struct source *source;
	uint8_t byte;

	assert_int_equal(truncate(f->file, 0), 0);
	source = source_open(f->file, NULL, &err);
	assert_non_null(source);
	assert_int_equal(source->head_len, 0);
	assert_int_equal(source->size_bytes, 0);
	assert_int_equal(source_read(source, &byte, 1, &err), 0);
	source_close(source);
}

static void a_file_skips_inside_the_head_over_its_border_and_to_the_end(void **state)
{
	static const struct {
		size_t read, skip;
	} cases[] = {
		{ 0, 1 },
		{ 0, SOURCE_HEAD_BYTES },
		{ 0, SOURCE_HEAD_BYTES + 1 },
		{ 100, SOURCE_HEAD_BYTES - 100 },
		{ 100, SOURCE_HEAD_BYTES },
		{ SOURCE_HEAD_BYTES, 1 },
		{ SOURCE_HEAD_BYTES + 10, 69991 - 1 },
		{ 0, BIG },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err;
		struct source *source = source_open(f->file, NULL, &err);
		uint8_t *part = malloc(BIG);

		for (size_t done = 0; done < cases[i].read;)
			done += (size_t)source_read(source, part, cases[i].read - done, &err);
		assert_true(source_skip(source, cases[i].skip, &err));
		expect_rest(f, source, cases[i].read + cases[i].skip);
		free(part);
		source_close(source);
	}
}

static void skipping_past_the_end_of_a_file_is_an_error_with_its_offset(void **state)
{
	static const uint64_t skips[] = { BIG + 1u, UINT64_MAX, (uint64_t)INT64_MAX + 1 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(skips); i++) {
		struct bmap_error err = { 0 };
		struct source *source = source_open(f->file, NULL, &err);

		assert_false(source_skip(source, skips[i], &err));
		assert_int_equal(err.code, BMAP_ERR_DATA);
		assert_true(err.has_offset);
		assert_int_equal(err.offset_bytes, BIG);
		expect_rest(f, source, 0); /* it is as it was */
		source_close(source);
	}
}

static void reading_elsewhere_leaves_the_order_of_reads_alone(void **state)
{
	static const struct {
		uint64_t offset;
		size_t len;
	} beyond[] = { { BIG - 9, 10 }, { BIG, 1 }, { UINT64_MAX - 3, 10 } };
	struct fixture *f = *state;
	struct bmap_error err;
	struct source *source = source_open(f->file, NULL, &err);
	uint8_t *part = malloc(BIG);

	assert_true(source_read_at(source, BIG - 1000, part, 1000, &err));
	assert_memory_equal(part, f->data + BIG - 1000, 1000);
	assert_true(source_skip(source, SOURCE_HEAD_BYTES + 5, &err));
	assert_true(source_read_at(source, 0, part, BIG, &err));
	assert_memory_equal(part, f->data, BIG);
	for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
		err.code = BMAP_ERR_IO;
		assert_false(source_read_at(source, beyond[i].offset, part, beyond[i].len, &err));
		assert_int_equal(err.code, BMAP_ERR_NONE);
	}
	expect_rest(f, source, SOURCE_HEAD_BYTES + 5);
	free(part);
	source_close(source);
}

static void names_that_cannot_be_read_are_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;
	char absent[128];

	snprintf(absent, sizeof(absent), "%s/absent.img", f->dir);
	expect_open_fails(absent, BMAP_ERR_NOT_FOUND, absent);
	expect_open_fails(f->dir, BMAP_ERR_IO, "directory");
	expect_open_fails("gopher://example.org/disk.img.zst", BMAP_ERR_UNSUPPORTED, "URL");
	expect_open_fails("ssh://-host/disk.img", BMAP_ERR_USAGE, "-");
	expect_open_fails("1ttp://host/disk.img", BMAP_ERR_NOT_FOUND, "1ttp://host/disk.img");
	expect_open_fails("a/b://c", BMAP_ERR_NOT_FOUND, "a/b://c");
	expect_open_fails("", BMAP_ERR_NOT_FOUND, "");
}

static void a_file_that_looks_like_a_url_is_a_file(void **state)
{
	struct fixture *f = *state;
	struct bmap_error err = { 0 };
	struct source *source;
	int here = open(".", O_RDONLY | O_DIRECTORY);

	assert_int_equal(chdir(f->dir), 0);
	assert_int_equal(mkdir("http:", 0700), 0);
	assert_int_equal(symlink(f->file, "http:/disk.img"), 0);
	source = source_open("http://disk.img", NULL, &err);
	unlink("http:/disk.img");
	rmdir("http:");
	assert_int_equal(fchdir(here), 0);
	close(here);
	assert_non_null(source);
	expect_rest(f, source, 0);
	source_close(source);
}

static void a_fifo_is_read_to_its_end_and_cannot_skip_beyond_its_head(void **state)
{
	struct fixture *f = *state;
	struct writer w = { .f = f, .fd = -1 };
	struct bmap_error err = { .code = BMAP_ERR_IO };
	struct source *source;

	pthread_create(&w.thread, NULL, write_all, &w);
	source = source_open(f->fifo, NULL, &err);
	assert_non_null(source);
	assert_true(!source->has_size && !source->seekable && source->fd == -1);
	assert_int_equal(source->head_len, SOURCE_HEAD_BYTES);
	assert_true(source_skip(source, 1000, &err));
	err.code = BMAP_ERR_IO;
	assert_false(source_skip(source, SOURCE_HEAD_BYTES, &err));
	assert_int_equal(err.code, BMAP_ERR_NONE);
	expect_rest(f, source, 1000);
	pthread_join(w.thread, NULL);
	source_close(source);
}

static void a_stop_ends_the_wait_for_a_fifo_that_nobody_writes(void **state)
{
	struct fixture *f = *state;
	struct bmap_error err = { 0 };
	struct bmap_stop *stop = bmap_stop_new(&err);
	pthread_t thread;

	pthread_create(&thread, NULL, request_stop_later, stop);
	assert_null(source_open(f->fifo, stop, &err));
	pthread_join(thread, NULL);
	assert_int_equal(err.code, BMAP_ERR_INTERRUPTED);
	bmap_stop_free(stop);
}

static void a_stop_ends_the_wait_for_a_writer_that_stalls(void **state)
{
	struct fixture *f = *state;
	struct bmap_error err = { 0 };
	struct bmap_stop *stop = bmap_stop_new(&err);
	pthread_t thread;
	int fd = open(f->fifo, O_RDWR); /* a writer that stays */

	assert_int_equal(write(fd, f->data, 4096), 4096);
	pthread_create(&thread, NULL, request_stop_later, stop);
	assert_null(source_open(f->fifo, stop, &err));
	pthread_join(thread, NULL);
	close(fd);
	assert_int_equal(err.code, BMAP_ERR_INTERRUPTED);
	assert_non_null(strstr(err.text, "4096"));
	bmap_stop_free(stop);
}

static void a_character_device_is_a_stream(void **state)
{
	struct bmap_error err = { 0 };
	struct source *source = source_open("/dev/zero", NULL, &err);
	uint8_t bytes[16];

	(void)state;
	assert_non_null(source);
	assert_false(source->seekable || source->has_size);
	memset(bytes, 1, sizeof(bytes));
	assert_int_equal(source_read(source, bytes, sizeof(bytes), &err), sizeof(bytes));
	assert_int_equal(bytes[15], 0);
	source_close(source);
}

static void standard_input_from_a_pipe_is_a_stream_and_stays_open(void **state)
{
	struct fixture *f = *state;
	struct writer w = { .f = f };
	struct bmap_error err = { 0 };
	struct source *source;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	w.fd = ends[1];
	pthread_create(&w.thread, NULL, write_all, &w);
	source = source_open("-", NULL, &err);
	assert_non_null(source);
	assert_string_equal(source->name, "standard input");
	expect_rest(f, source, 0);
	source_close(source);
	pthread_join(w.thread, NULL);
	assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

static void standard_input_from_a_file_seeks_only_if_it_stands_at_its_start(void **state)
{
	static const size_t offsets[] = { 0, 1, 4096 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		struct bmap_error err = { 0 };
		struct source *source;
		int fd = open(f->file, O_RDONLY);

		lseek(fd, (off_t)offsets[i], SEEK_SET);
		dup2(fd, STDIN_FILENO);
		close(fd);
		source = source_open("-", NULL, &err);
		assert_non_null(source);
		assert_int_equal(source->seekable, offsets[i] == 0);
		assert_int_equal(source->has_size, offsets[i] == 0);
		expect_rest(f, source, offsets[i]);
		source_close(source);
	}
}

static void standard_input_that_cannot_be_read_is_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *what;
		int flags; /* -1: closed */
		const char *text;
	} cases[] = {
		{ "closed", -1, "closed" },
		{ "path only", O_PATH, "closed" },
		{ "write only", O_WRONLY, "not open for reading" },
		{ "directory", O_RDONLY | O_DIRECTORY, "directory" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fd;

		close(STDIN_FILENO);
		if (cases[i].flags != -1) {
			fd = open(cases[i].flags & O_DIRECTORY ? f->dir : f->file, cases[i].flags);
			assert_int_equal(fd, STDIN_FILENO);
		}
		expect_open_fails("-", BMAP_ERR_IO, cases[i].text);
	}
}

static void closing_no_source_is_allowed(void **state)
{
	(void)state;
	source_close(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_file_gives_its_head_and_then_all_bytes),
		TEST(an_empty_file_has_an_empty_head),
		TEST(a_file_skips_inside_the_head_over_its_border_and_to_the_end),
		TEST(skipping_past_the_end_of_a_file_is_an_error_with_its_offset),
		TEST(reading_elsewhere_leaves_the_order_of_reads_alone),
		TEST(names_that_cannot_be_read_are_refused_with_the_reason),
		TEST(a_file_that_looks_like_a_url_is_a_file),
		TEST(a_fifo_is_read_to_its_end_and_cannot_skip_beyond_its_head),
		TEST(a_stop_ends_the_wait_for_a_fifo_that_nobody_writes),
		TEST(a_stop_ends_the_wait_for_a_writer_that_stalls),
		TEST(a_character_device_is_a_stream),
		TEST(standard_input_from_a_pipe_is_a_stream_and_stays_open),
		TEST(standard_input_from_a_file_seeks_only_if_it_stands_at_its_start),
		TEST(standard_input_that_cannot_be_read_is_refused),
		TEST(closing_no_source_is_allowed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

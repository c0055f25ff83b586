/* SPDX-License-Identifier: MIT */
/* The promises of io/engine.h, kept by each engine: every test runs once per engine. */
#include "io/engine.h"
#include "io/engine_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES 10000u

typedef struct io_engine *(*open_fn)(unsigned depth, struct bmap_error *err);
struct engine_case {
	const char *name;
	open_fn open;
};
static struct engine_case engines[] = { { "io_uring", uring_open }, { "psync", psync_open } };

static struct io_engine *open_or_skip(void **state, unsigned depth)
{
	struct engine_case *c = *state;
	struct bmap_error err = { 0 };
	struct io_engine *engine = c->open(depth, &err);

	if (!engine && err.code == BMAP_ERR_UNSUPPORTED) {
		printf("skipped: %s\n", err.text);
		skip();
	}
	if (!engine)
		fail_msg("%s: %s", c->name, err.text);
	assert_int_equal(engine->depth, depth);
	return engine;
}

static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8) * 7);
}

static int pattern_file(size_t len)
{
	char name[] = "engine-test-XXXXXX";
	int fd = mkstemp(name);
	uint8_t *data = malloc(len + 1);

	assert_true(fd >= 0);
	assert_non_null(data);
	unlink(name);
	for (size_t i = 0; i < len; i++)
		data[i] = pattern(i);
	assert_int_equal(pwrite(fd, data, len, 0), len);
	free(data);
	return fd;
}

/* Queues one request, waits for it, returns its result. */
static ssize_t run_one(struct io_engine *engine, struct io_request *req)
{
	struct io_request *done[4];

	assert_true(engine_queue(engine, req));
	assert_int_equal(engine_wait(engine, done, 4, 10000), 1);
	assert_ptr_equal(done[0], req);
	assert_int_equal(engine->in_flight, 0);
	return done[0]->result;
}

static void reads_end_at_the_end_of_the_file(void **state)
{
	static const struct {
		uint64_t offset;
		size_t len, want;
	} cases[] = {
		{ 0, 100, 100 }, { 0, FILE_BYTES, FILE_BYTES }, { 0, 20000, FILE_BYTES },
		{ 9999, 2, 1 },  { FILE_BYTES, 1, 0 },          { 1u << 30, 4096, 0 },
		{ 5, 0, 0 },
	};
	struct io_engine *engine = open_or_skip(state, 4);
	int fd = pattern_file(FILE_BYTES);
	uint8_t *data = malloc(20000);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct io_request req = { .op = IO_READ,
					  .flags = i % 2 ? IO_ASYNC : 0,
					  .fd = fd,
					  .data = data,
					  .len_bytes = cases[i].len,
					  .offset_bytes = cases[i].offset };

		assert_int_equal(run_one(engine, &req), cases[i].want);
		for (size_t k = 0; k < cases[i].want; k++)
			assert_int_equal(data[k], pattern(cases[i].offset + k));
	}
	assert_int_equal(engine->counters.requests, ARRAY_LEN(cases));
	engine_free(engine);
	close(fd);
	free(data);
}

static void direct_reads_stop_at_an_unaligned_end(void **state)
{
	struct io_engine *engine = open_or_skip(state, 4);
	int fd = pattern_file(FILE_BYTES), direct;
	char path[64];
	uint8_t *data = aligned_alloc(4096, 16384);
	struct io_request req = { .op = IO_READ, .data = data, .len_bytes = 16384 };

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	direct = open(path, O_RDONLY | O_DIRECT);
	if (direct >= 0) {
		req.fd = direct;
		assert_int_equal(run_one(engine, &req), FILE_BYTES);
		for (size_t k = 0; k < FILE_BYTES; k++)
			assert_int_equal(data[k], pattern(k));
		close(direct);
	}
	engine_free(engine);
	close(fd);
	free(data);
	if (direct < 0) {
		printf("skipped: this folder's file system has no O_DIRECT\n");
		skip();
	}
}

static void written_bytes_arrive_and_are_flushed(void **state)
{
	struct io_engine *engine = open_or_skip(state, 4);
	int fd = pattern_file(0);
	uint8_t data[5000], back[5000];
	struct io_request write = { .op = IO_WRITE,
				    .fd = fd,
				    .data = data,
				    .len_bytes = sizeof(data),
				    .offset_bytes = 123 };
	struct io_request flush = { .op = IO_DATASYNC, .fd = fd };

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i + 99);
	assert_int_equal(run_one(engine, &write), sizeof(data));
	assert_int_equal(run_one(engine, &flush), 0);
	assert_int_equal(pread(fd, back, sizeof(back), 123), sizeof(back));
	assert_memory_equal(data, back, sizeof(data));
	engine_free(engine);
	close(fd);
}

static void errors_are_the_kernels_and_do_not_break_the_engine(void **state)
{
	struct io_engine *engine = open_or_skip(state, 4);
	int full = open("/dev/full", O_RDWR), file = pattern_file(100);
	uint8_t data[512] = { 0 };
	struct {
		struct io_request req;
		ssize_t want;
	} cases[] = {
		{ { .op = IO_READ, .fd = -1, .data = data, .len_bytes = 512 }, -EBADF },
		{ { .op = IO_WRITE, .fd = full, .data = data, .len_bytes = 512 }, -ENOSPC },
		{ { .op = IO_DATASYNC, .fd = full }, -EINVAL },
		{ { .op = IO_READ, .fd = file, .data = (uint8_t *)4096, .len_bytes = 100 },
		  -EFAULT },
		{ { .op = IO_READ, .fd = file, .data = data, .len_bytes = 512 }, 100 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(run_one(engine, &cases[i].req), cases[i].want);
	engine_free(engine);
	close(full);
	close(file);
}

static void holds_as_many_requests_as_its_depth(void **state)
{
	enum { DEPTH = 11, TOTAL = 3000 };
	struct io_engine *engine = open_or_skip(state, DEPTH);
	int fd = pattern_file(FILE_BYTES);
	static struct io_request req[TOTAL];
	static uint8_t data[TOTAL][8];
	struct io_request *done[4];
	size_t queued = 0, seen = 0;

	while (seen < TOTAL) {
		int n;

		while (queued < TOTAL) {
			req[queued] = (struct io_request){ .op = IO_READ,
							   .fd = fd,
							   .data = data[queued],
							   .len_bytes = 8,
							   .offset_bytes = queued };
			if (!engine_queue(engine, &req[queued]))
				break;
			queued++;
		}
		assert_int_equal(engine->in_flight, queued - seen);
		assert_true(queued == TOTAL || engine->in_flight == DEPTH);
		n = engine_wait(engine, done, 4, 10000);
		assert_in_range(n, 1, 4);
		for (int i = 0; i < n; i++) {
			size_t k = (size_t)(done[i] - req);

			assert_int_equal(done[i]->result, 8);
			assert_null(done[i]->owner); /* not seen before */
			done[i]->owner = done;
			assert_int_equal(data[k][3], pattern(k + 3));
		}
		seen += (size_t)n;
	}
	assert_int_equal(engine->counters.requests, TOTAL);
	engine_free(engine);
	close(fd);
}

static void registered_memory_is_used_where_a_request_lies_inside(void **state)
{
	static const struct {
		size_t begin, len;
		bool fixed;
	} cases[] = {
		{ 4096, 4096, true },  { 8192, 4096, true },  { 4000, 200, false },
		{ 12000, 400, false }, { 0, 100, false },     { 12288, 1, false },
		{ 4096, 8192, true },  { 4095, 8193, false },
	};
	struct io_engine *engine = open_or_skip(state, 4);
	int fd = pattern_file(FILE_BYTES);
	uint8_t *data = aligned_alloc(4096, 16384);
	bool registered = engine_register_buffer(engine, data + 4096, 8192);
	uint64_t fixed = 0;

	assert_true(registered || strcmp(engine->ops->name, "io_uring"));
	assert_false(engine_register_buffer(engine, data, 4096)); /* only once */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct io_request req = { .op = IO_READ,
					  .fd = fd,
					  .data = data + cases[i].begin,
					  .len_bytes = cases[i].len };

		memset(data, 0, 16384);
		assert_int_equal(run_one(engine, &req), cases[i].len);
		for (size_t k = 0; k < cases[i].len; k++)
			assert_int_equal(data[cases[i].begin + k], pattern(k));
		fixed += registered && cases[i].fixed;
		req.op = IO_WRITE;
		assert_int_equal(run_one(engine, &req), cases[i].len);
		fixed += registered && cases[i].fixed;
		assert_int_equal(engine->counters.fixed, fixed);
	}
	engine_free(engine);
	close(fd);
	free(data);
}

static void wait_returns_nothing_when_the_time_is_over(void **state)
{
	struct io_engine *engine = open_or_skip(state, 4);
	struct io_request *done[1];
	uint64_t begin = clock_now_ns();

	assert_int_equal(engine_wait(engine, done, 1, 0), 0);
	assert_int_equal(engine_wait(engine, done, 1, 30), 0);
	assert_true(clock_now_ns() - begin >= 29 * NS_PER_MS);
	engine_free(engine);
}

static void *wake_later(void *arg)
{
	usleep(20000);
	engine_wake(arg);
	return NULL;
}

static void wake_ends_a_wait_from_any_thread(void **state)
{
	struct io_engine *engine = open_or_skip(state, 4);
	struct io_request *done[1];
	pthread_t thread;

	for (int round = 0; round < 3; round++) {
		assert_true(thread_start(&thread, "waker", wake_later, engine, NULL));
		assert_int_equal(engine_wait(engine, done, 1, -1), 0);
		pthread_join(thread, NULL);
		/* Several before a wait are one. */
		engine_wake(engine);
		engine_wake(engine);
		assert_int_equal(engine_wait(engine, done, 1, -1), 0);
		assert_int_equal(engine_wait(engine, done, 1, 10), 0);
	}
	assert_true(engine->counters.waits >= 3);
	engine_free(engine);
}

static void wake_while_a_request_never_ends_leaves_it_in_flight(void **state)
{
	struct io_engine *engine = open_or_skip(state, 4);
	int pipe_fd[2];
	uint8_t data[8];
	struct io_request *done[2];
	struct io_request req = { .op = IO_READ, .data = data, .len_bytes = 5 };

	assert_int_equal(pipe(pipe_fd), 0);
	req.fd = pipe_fd[0];
	req.offset_bytes = (uint64_t)-1; /* a pipe has no offsets; pread(2) refuses it: ESPIPE */
	assert_true(engine_queue(engine, &req));
	engine_wake(engine);
	if (!strcmp(engine->ops->name, "io_uring")) {
		assert_int_equal(engine_wait(engine, done, 2, -1), 0);
		assert_int_equal(engine->in_flight, 1);
		assert_int_equal(write(pipe_fd[1], "he", 2), 2);
		assert_int_equal(engine_wait(engine, done, 2, 20), 0);
		assert_int_equal(engine->counters.resubmitted,
				 1); /* short: the rest is asked for */
		assert_int_equal(write(pipe_fd[1], "llo", 3), 3);
	}
	while (engine->in_flight)
		assert_true(engine_wait(engine, done, 2, 10000) >= 0);
	if (!strcmp(engine->ops->name, "io_uring")) {
		assert_int_equal(req.result, 5);
		assert_memory_equal(data, "hello", 5);
	} else
		assert_true(req.result < 0);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	engine_free(engine);
}

static void null_engine_moves_nothing_and_says_that_it_did(void **state)
{
	struct io_engine *engine = null_open(2, NULL);
	struct io_request a = { .op = IO_WRITE, .fd = -1, .len_bytes = 7 }, b = a, c = a;
	struct io_request *done[4];

	(void)state;
	b.op = IO_DATASYNC;
	assert_true(engine_queue(engine, &a));
	assert_true(engine_queue(engine, &b));
	assert_false(engine_queue(engine, &c));
	assert_int_equal(engine_wait(engine, done, 4, -1), 2);
	assert_int_equal(a.result, 7);
	assert_int_equal(b.result, 0);
	engine_wake(engine);
	assert_int_equal(engine_wait(engine, done, 4, -1), 0);
	assert_int_equal(engine_wait(engine, done, 4, 5), 0);
	engine_free(engine);
}

static void results_are_taken_by_the_rules(void **state)
{
	/* The answers of the kernel to one request of 1000 bytes, and what comes of it. */
	static const struct {
		enum io_op op;
		ssize_t answers[4];
		ssize_t want;
		const char *why;
	} cases[] = {
		{ IO_READ, { 1000 }, 1000, "whole" },
		{ IO_READ, { 400, 600 }, 1000, "short is continued" },
		{ IO_READ, { 400, 0 }, 400, "the end of the file" },
		{ IO_READ, { 100, -EINVAL }, 100, "O_DIRECT behind an unaligned end" },
		{ IO_READ, { 512, -EINVAL }, -EINVAL, "no sector is cut off" },
		{ IO_READ, { -EAGAIN, -EINTR, 1000 }, 1000, "asked again" },
		{ IO_READ, { 400, -EIO }, -EIO, "an error in the rest is an error" },
		{ IO_WRITE, { 0, 1000 }, 1000, "nothing once" },
		{ IO_WRITE, { 999, 0, 0 }, -EIO, "nothing twice" },
		{ IO_WRITE, { 0, 10, 0, 990 }, 1000, "nothing twice, but not in a row" },
		{ IO_WRITE, { 500, -ENOSPC }, -ENOSPC, "full half-way" },
		{ IO_DATASYNC, { 0 }, 0, "flushed" },
		{ IO_DATASYNC, { -EIO }, -EIO, "not flushed" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct io_request req = { .op = cases[i].op, .len_bytes = 1000 };
		size_t k = 0;

		while (k < 4 && request_take_result(&req, cases[i].answers[k]) != IO_COMPLETE)
			k++;
		if (req.result != cases[i].want)
			fail_msg("%s: %zd, not %zd", cases[i].why, req.result, cases[i].want);
		assert_true(k == 3 || cases[i].answers[k + 1] == 0);
	}
}

static void eagain_for_ever_is_an_error_in_the_end(void **state)
{
	struct io_request req = { .op = IO_READ, .len_bytes = 10 };
	int asked = 1;

	(void)state;
	while (request_take_result(&req, -EAGAIN) == IO_AGAIN)
		asked++;
	assert_int_equal(asked, IO_MAX_RETRIES);
	assert_int_equal(req.result, -EAGAIN);
}

#define PER_ENGINE(i, test)                                                                        \
	{                                                                                          \
#test, test, NULL, NULL, &engines[i]                                               \
	}
#define ALL_TESTS(i)                                                                               \
	PER_ENGINE(i, reads_end_at_the_end_of_the_file),                                           \
		PER_ENGINE(i, direct_reads_stop_at_an_unaligned_end),                              \
		PER_ENGINE(i, written_bytes_arrive_and_are_flushed),                               \
		PER_ENGINE(i, errors_are_the_kernels_and_do_not_break_the_engine),                 \
		PER_ENGINE(i, holds_as_many_requests_as_its_depth),                                \
		PER_ENGINE(i, registered_memory_is_used_where_a_request_lies_inside),              \
		PER_ENGINE(i, wait_returns_nothing_when_the_time_is_over),                         \
		PER_ENGINE(i, wake_ends_a_wait_from_any_thread),                                   \
		PER_ENGINE(i, wake_while_a_request_never_ends_leaves_it_in_flight)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_TESTS(0),
		ALL_TESTS(1),
		cmocka_unit_test(null_engine_moves_nothing_and_says_that_it_did),
		cmocka_unit_test(results_are_taken_by_the_rules),
		cmocka_unit_test(eagain_for_ever_is_an_error_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

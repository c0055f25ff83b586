/* SPDX-License-Identifier: MIT */
#include "unit_test.h"
#include "faulty_engine.h"

#include "base/checked.h"
#include "job/bench_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE (8u * MIB + 5000u) /* no multiple of any request */

static void ignore_progress(void *arg, uint64_t elapsed_ns, uint64_t total_ns, uint64_t bytes)
{
	(void)arg, (void)elapsed_ns, (void)total_ns, (void)bytes;
}

struct bed {
	struct bench_target target;
	struct bmap_bench_options options;
	struct engine_factory factory;
	struct bench_numbers numbers;
	struct bmap_error err;
};

/* Requests go nowhere: what counts is what is asked for. */
static void set_up(struct bed *bed, struct faulty_plan *plan)
{
	*bed = (struct bed){ .options = BMAP_BENCH_OPTIONS_INIT };
	plan->inner = null_open;
	bed->factory = (struct engine_factory){ .open = faulty_open, .arg = plan };
	bed->target = (struct bench_target){ .name = "it",
					     .fd = memfd_create("bench", MFD_CLOEXEC),
					     .direct = true,
					     .align_bytes = 512,
					     .size_bytes = SIZE };
	bed->target.engines = &bed->factory;
	assert_true(bed->target.fd >= 0);
}

static bool run_point(struct bed *bed, const struct bmap_bench_point *point)
{
	static const struct bench_watch watch = { .progress = ignore_progress };

	return bench_point_run(&bed->target, point, &bed->options, &watch, &bed->numbers,
			       &bed->err);
}

static void tear_down(struct bed *bed)
{
	bench_numbers_free(&bed->numbers);
	close(bed->target.fd);
}

struct seen {
	const struct bmap_bench_point *point;
	uint64_t next; /* in order */
	uint64_t stamps[2]; /* the first bytes of the last two buffers */
};

static void look(void *arg, uint64_t number, struct io_request *req)
{
	struct seen *seen = arg;
	uint64_t blocks = SIZE / seen->point->block_bytes;

	(void)number;
	assert_int_equal(req->op, seen->point->write ? IO_WRITE : IO_READ);
	assert_int_equal(req->len_bytes, seen->point->block_bytes);
	assert_int_equal(req->offset_bytes % req->len_bytes, 0);
	assert_true(req->offset_bytes / req->len_bytes < blocks);
	if (!seen->point->random)
		assert_int_equal(req->offset_bytes / req->len_bytes, seen->next % blocks);
	seen->next++;
	if (seen->point->write) {
		assert_memory_not_equal(req->data, &seen->stamps[seen->next % 2], 8);
		memcpy(&seen->stamps[seen->next % 2], req->data, 8);
	}
}

static void requests_are_those_of_the_point_and_all_are_counted(void **state)
{
	static const struct bmap_bench_point points[] = {
		{ false, false, 4096, 1, 20 }, { false, false, MIB, 3, 20 },
		{ false, true, 4096, 64, 20 }, { true, false, 12288, 2, 20 },
		{ true, true, 65536, 8, 20 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		struct seen seen = { .point = &points[i] };
		struct faulty_plan plan = { .hook = look, .arg = &seen };
		struct bed bed;

		set_up(&bed, &plan);
		assert_true(run_point(&bed, &points[i]));
		assert_true(bed.numbers.complete);
		assert_true(bed.numbers.requests > 0 && bed.numbers.requests < plan.completed);
		assert_int_equal(bed.numbers.bytes, bed.numbers.requests * points[i].block_bytes);
		assert_int_equal(bed.numbers.latency->total, bed.numbers.requests);
		assert_true(bed.numbers.end_ns - bed.numbers.begin_ns >= 20000000);
		tear_down(&bed);
	}
}

static void points_in_order_go_on_where_the_last_ended(void **state)
{
	static const struct bmap_bench_point point = { false, false, 65536, 4, 5 };
	struct seen seen = { .point = &point };
	struct faulty_plan plan = { .hook = look, .arg = &seen };
	struct bed bed;

	(void)state;
	set_up(&bed, &plan);
	for (int i = 0; i < 3; i++) {
		assert_true(run_point(&bed, &point));
		bench_numbers_free(&bed.numbers);
	}
	tear_down(&bed);
}

static void a_failed_request_ends_it_and_is_named(void **state)
{
	static const struct {
		struct bmap_bench_point point;
		const char *text;
	} cases[] = {
		{ { false, false, 4096, 1, 1000 }, "it: cannot read 4096 bytes at offset 16384: " },
		{ { true, false, 8192, 1, 1000 }, "it: cannot write 8192 bytes at offset 32768: " },
		{ { false, true, 4096, 16, 1000 }, "it: cannot read 4096 bytes at offset " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct faulty_plan plan = { .fail_at = 5, .fail_all_after = true, .errnum = EIO };
		struct bed bed;

		set_up(&bed, &plan);
		assert_false(run_point(&bed, &cases[i].point));
		assert_int_equal(bed.err.code, BMAP_ERR_IO);
		assert_true(bed.err.has_offset);
		assert_int_equal(strncmp(bed.err.text, cases[i].text, strlen(cases[i].text)), 0);
		assert_null(bed.numbers.latency);
		tear_down(&bed);
	}
}

static void cut_short(void *arg, uint64_t number, struct io_request *req)
{
	(void)arg;
	if (number == 3)
		req->result = 100;
}

static void a_file_that_ends_early_is_named(void **state)
{
	static const struct bmap_bench_point point = { false, false, 4096, 1, 1000 };
	struct faulty_plan plan = { .hook = cut_short };
	struct bed bed;

	(void)state;
	set_up(&bed, &plan);
	assert_false(run_point(&bed, &point));
	assert_int_equal(bed.err.code, BMAP_ERR_DATA);
	assert_int_equal(bed.err.offset_bytes, 2 * 4096 + 100);
	tear_down(&bed);
}

static void stop_at_ten(void *arg, uint64_t number, struct io_request *req)
{
	(void)req;
	if (number == 10)
		bmap_stop_request(arg);
}

static void a_stop_is_no_failure_but_incomplete(void **state)
{
	static const struct bmap_bench_point point = { false, false, 4096, 4, 60000 };
	struct faulty_plan plan = { .hook = stop_at_ten };
	struct bed bed;

	(void)state;
	set_up(&bed, &plan);
	plan.arg = bed.options.stop = bmap_stop_new(&bed.err);
	assert_non_null(bed.options.stop);
	assert_true(run_point(&bed, &point));
	assert_false(bed.numbers.complete);
	assert_in_range(plan.completed, 10, 10 + point.depth);
	bmap_stop_free(bed.options.stop);
	tear_down(&bed);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const struct bmap_bench_point large = { false, false, 16 * MIB, 1, 10 };
	static const struct bmap_bench_point small = { false, false, 4096, 1, 10 };
	struct faulty_plan plan = { 0 };
	struct bed bed;

	(void)state;
	set_up(&bed, &plan);
	assert_false(run_point(&bed, &large));
	assert_int_equal(bed.err.code, BMAP_ERR_USAGE);
	bed.target.align_bytes = 16384;
	assert_false(run_point(&bed, &small));
	assert_int_equal(bed.err.code, BMAP_ERR_USAGE);
	bed.target.align_bytes = 512;
	plan.fail_open = EMFILE;
	assert_false(run_point(&bed, &small));
	assert_int_equal(bed.err.errnum, EMFILE);
	tear_down(&bed);
}

static void a_scratch_file_is_filled_once_in_order(void **state)
{
	static const struct bmap_bench_point point = { true, false, MIB, 8, 1 };
	struct seen seen = { .point = &point };
	struct faulty_plan plan = { .hook = look, .arg = &seen };
	struct bed bed;

	(void)state;
	set_up(&bed, &plan);
	assert_true(bench_fill(&bed.target, MIB, &bed.options, &bed.err));
	assert_int_equal(plan.completed, SIZE / MIB);
	assert_int_equal(bed.target.size_bytes, SIZE / MIB * MIB);
	assert_int_equal(bed.target.cursor_bytes, 0);
	tear_down(&bed);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_point_and_all_are_counted),
		cmocka_unit_test(points_in_order_go_on_where_the_last_ended),
		cmocka_unit_test(a_failed_request_ends_it_and_is_named),
		cmocka_unit_test(a_file_that_ends_early_is_named),
		cmocka_unit_test(a_stop_is_no_failure_but_incomplete),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(a_scratch_file_is_filled_once_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

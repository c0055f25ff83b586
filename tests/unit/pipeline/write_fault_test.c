/* SPDX-License-Identifier: MIT */
#include "write_bed.h"
#include "base/checked.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Small enough to go through every request of it. */
static void small_bed(struct write_bed *bed, uint64_t seed, size_t align, size_t max_request)
{
	bed_init(bed, seed, 2 * MIB + 700);
	bed_random_map(bed, 1024, 300, 200);
	bed->packed = seed % 2;
	bed_add(bed, TARGET_BLOCK_DEVICE, align)->max_request_bytes = max_request;
}

static uint64_t count_requests(size_t align, size_t max_request)
{
	struct write_bed bed;
	uint64_t n;

	small_bed(&bed, 1, align, max_request);
	bed_run(&bed);
	bed_expect_done(&bed, 0);
	n = bed.model.device[0].requests;
	bed_free(&bed);
	return n;
}

static void an_error_at_any_request_ends_that_target_only(void **state)
{
	static const struct {
		size_t align, max_request;
		enum model_fault fault;
	} cases[] = {
		{ 512, 128 * KIB, FAULT_ERROR },
		{ 4096, 256 * KIB, FAULT_ERROR },
		{ 512, 128 * KIB, FAULT_DEAD },
		{ 4096, 256 * KIB, FAULT_DEAD },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t n = count_requests(cases[i].align, cases[i].max_request);

		assert_true(n > 10);
		for (uint64_t at = i % BED_STRIDE; at < n; at += BED_STRIDE) {
			struct write_bed bed;
			struct model_device *device = &bed.model.device[0];

			small_bed(&bed, 1, cases[i].align, cases[i].max_request);
			bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
			device->fault = cases[i].fault;
			device->fault_request = at;
			device->errnum = EIO;
			bed_run(&bed);
			/* How many requests there are depends a little on timing. */
			if (device->requests <= at)
				bed_expect_done(&bed, 0);
			else
				bed_expect_ended(&bed, 0, BMAP_TARGET_FAILED, BMAP_ERR_IO);
			if (device->requests > at) {
				assert_int_equal(bed.status[0].error.errnum, EIO);
				assert_memory_equal(bed.status[0].error.text, "dev0: cannot ", 13);
			}
			assert_false(bed.status[0].abandoned);
			bed_expect_done(&bed, 1);
			bed_free(&bed);
		}
	}
}

static void an_error_names_the_target_the_length_and_the_place(void **state)
{
	static const struct bmap_range range = { 512, 767 };
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, 3 * MIB);
	bed_map(&bed, 4096, &range, 1);
	bed.ring_bytes = 4 * RING_ALIGN_BYTES;
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed.model.device[0].fault = FAULT_ERROR;
	bed.model.device[0].fault_request = 0;
	bed.model.device[0].errnum = ENOSPC;
	bed_run(&bed);
	bed_expect_ended(&bed, 0, BMAP_TARGET_FAILED, BMAP_ERR_IO);
	assert_string_equal(bed.status[0].error.text,
			    "dev0: cannot write 1048576 bytes at offset 2097152 (sector 4096): "
			    "No space left on device");
	assert_true(bed.status[0].error.has_offset);
	assert_int_equal(bed.status[0].error.offset_bytes, 2 * MIB);
	bed_free(&bed);
}

static void a_target_that_never_answers_is_given_up_and_the_others_complete(void **state)
{
	static const struct {
		uint64_t request;
		const char *why;
	} cases[] = { { 0, "the head is being zeroed" }, { 9, "in the middle" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct write_bed bed;

		bed_init(&bed, i, 9 * MIB);
		bed_random_map(&bed, 4096, 300, 3);
		for (int n = 0; n < 3; n++)
			bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
		bed.warn_seconds = 1;
		bed.give_up_seconds = 2;
		bed.model.device[0].fault = FAULT_NEVER;
		bed.model.device[0].fault_request = cases[i].request;
		bed.model.device[1].fault = FAULT_ERROR;
		bed.model.device[1].fault_request = 12;
		bed.model.device[1].errnum = EIO;
		bed_run(&bed);
		bed_expect_ended(&bed, 0, BMAP_TARGET_FAILED, BMAP_ERR_STALLED);
		assert_true(bed.status[0].abandoned);
		assert_non_null(strstr(bed.status[0].error.text, "dev0: "));
		bed_expect_ended(&bed, 1, BMAP_TARGET_FAILED, BMAP_ERR_IO);
		bed_expect_done(&bed, 2);
		assert_int_equal(bed.warnings, 1);
		assert_true(bed.leaked);
		bed_free(&bed);
	}
}

static void a_late_target_is_warned_about_and_completes(void **state)
{
	static const struct bmap_range range = { 0, 0 };
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, 2 * MIB);
	bed_map(&bed, 4096, &range, 1);
	bed_add(&bed, TARGET_CHARACTER_DEVICE, 512);
	bed.warn_seconds = 1;
	bed.model.device[0].delay_ms = 1200;
	bed_run(&bed);
	bed_expect_done(&bed, 0);
	assert_int_equal(bed.warnings, 1);
	bed_free(&bed);
}

static void a_stop_does_not_wait_for_a_target_for_ever(void **state)
{
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, 3 * MIB);
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed.warn_seconds = 5;
	bed.give_up_seconds = 1;
	bed.stop_after_us = 300000; /* after the first request went out */
	bed.stop_code = BMAP_ERR_INTERRUPTED;
	bed.model.device[0].fault = FAULT_NEVER;
	bed.model.device[0].fault_request = 0;
	bed_run(&bed);
	bed_expect_ended(&bed, 0, BMAP_TARGET_INTERRUPTED, BMAP_ERR_INTERRUPTED);
	assert_true(bed.status[0].abandoned);
	bed_free(&bed);
}

static void a_stop_at_any_moment_leaves_no_head_that_looks_whole(void **state)
{
	unsigned done = 0, stopped = 0;

	(void)state;
	for (uint64_t i = 0; i < 120; i += BED_STRIDE) {
		bool failed = i % 3 == 0;
		struct write_bed bed;

		small_bed(&bed, i, i % 2 ? 512 : 4096, 64 * KIB);
		bed_add(&bed, TARGET_REGULAR_FILE, 512);
		bed.queue_depth = 8;
		bed.model.device[0].delay_ms = i % 2;
		bed.stop_after_us = 1 + i * 60;
		bed.stop_code = failed ? BMAP_ERR_DATA : BMAP_ERR_INTERRUPTED;
		bed_run(&bed);
		for (size_t n = 0; n < 2; n++) {
			if (bed.status[n].state == BMAP_TARGET_DONE) {
				bed_expect_done(&bed, n);
				done++;
				continue;
			}
			stopped++;
			bed_expect_ended(&bed, n,
					 failed ? BMAP_TARGET_FAILED : BMAP_TARGET_INTERRUPTED,
					 bed.stop_code);
		}
		assert_false(bed.leaked);
		bed_free(&bed);
	}
	assert_true(stopped > 0);
	print_message("%u stopped, %u done\n", stopped, done);
}

static void a_stop_after_the_commit_block_went_out_is_too_late(void **state)
{
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, 3 * MIB);
	bed.stop_at_commit = true;
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed.model.device[0].delay_ms = 5;
	bed_run(&bed);
	bed_expect_done(&bed, 0);
	bed_free(&bed);
}

static void a_source_that_turns_out_bad_leaves_the_head_zeroed(void **state)
{
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, 3 * MIB);
	bed.never_commit = true;
	bed.stop_code = BMAP_ERR_DATA;
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed_run(&bed);
	bed_expect_ended(&bed, 0, BMAP_TARGET_FAILED, BMAP_ERR_DATA);
	for (uint64_t at = 0; at < HEAD_BYTES; at++)
		assert_int_equal(bed.model.device[0].medium[at], 0);
	bed_free(&bed);
}

static void an_engine_that_breaks_ends_every_target(void **state)
{
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, 3 * MIB);
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed_add(&bed, TARGET_REGULAR_FILE, 512);
	bed.model.break_after = 5;
	bed_run(&bed);
	bed_expect_ended(&bed, 0, BMAP_TARGET_FAILED, BMAP_ERR_IO);
	bed_expect_ended(&bed, 1, BMAP_TARGET_FAILED, BMAP_ERR_IO);
	bed_free(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_at_any_request_ends_that_target_only),
		cmocka_unit_test(an_error_names_the_target_the_length_and_the_place),
		cmocka_unit_test(a_target_that_never_answers_is_given_up_and_the_others_complete),
		cmocka_unit_test(a_late_target_is_warned_about_and_completes),
		cmocka_unit_test(a_stop_does_not_wait_for_a_target_for_ever),
		cmocka_unit_test(a_stop_at_any_moment_leaves_no_head_that_looks_whole),
		cmocka_unit_test(a_stop_after_the_commit_block_went_out_is_too_late),
		cmocka_unit_test(a_source_that_turns_out_bad_leaves_the_head_zeroed),
		cmocka_unit_test(an_engine_that_breaks_ends_every_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

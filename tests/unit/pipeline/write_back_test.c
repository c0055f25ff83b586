/* SPDX-License-Identifier: MIT */
/* Lanes that wait for the verdict of who reads their device back. */
#include "write_bed.h"
#include "base/checked.h"

#include <string.h>

static void reads_back(struct write_bed *bed, uint64_t seed, uint64_t image_size)
{
	bed_init(bed, seed, image_size);
	bed->read_back = true;
	bed->stop_code = BMAP_ERR_INTERRUPTED;
}

static void body_then_head_are_asked_for_once_each(void **state)
{
	static const uint64_t sizes[] = { 3 * MIB + 700, MIB, 4096, 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (int unknown = 0; unknown < 2; unknown++) {
			struct write_bed bed;

			reads_back(&bed, i, sizes[i]);
			bed.size_unknown = unknown;
			if (!unknown)
				bed_random_map(&bed, 512, 50, 3);
			bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
			bed_add(&bed, TARGET_BLOCK_DEVICE, 4096);
			bed_add(&bed, TARGET_REGULAR_FILE, 512);
			bed_add(&bed, TARGET_CHARACTER_DEVICE, 1);
			bed_run(&bed);
			for (size_t n = 0; n < bed.target_count; n++) {
				bool reads = bed.targets[n].kind != TARGET_CHARACTER_DEVICE;
				bool head = bed.targets[n].withhold_head && bed.mapped_bytes &&
					    bed.first_mapped < HEAD_BYTES;

				bed_expect_done(&bed, n);
				assert_int_equal(bed.asked_body[n], reads);
				assert_int_equal(bed.asked_head[n], head);
				assert_int_equal(bed.status[n].read_back_bytes,
						 reads ? bed.mapped_bytes : 0);
				assert_true(!reads || bed.status[n].read_back_ns > 0);
			}
			assert_false(bed.leaked);
			bed_free(&bed);
		}
}

static void without_a_mapped_head_there_is_one_question(void **state)
{
	static const struct bmap_range range = { 300, 767 };
	struct write_bed bed;

	(void)state;
	reads_back(&bed, 1, 3 * MIB);
	bed_map(&bed, 4096, &range, 1);
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed.body_answer[1] = ANSWER_BAD;
	bed_run(&bed);
	bed_expect_done(&bed, 0);
	bed_expect_ended(&bed, 1, BMAP_TARGET_FAILED, BMAP_ERR_IO);
	for (size_t n = 0; n < 2; n++) {
		assert_int_equal(bed.asked_body[n], 1);
		assert_int_equal(bed.asked_head[n], 0);
	}
	bed_free(&bed);
}

static void expect_head_zeroed(const struct write_bed *bed, size_t i)
{
	assert_true(bed->status[i].head_zeroed);
	for (uint64_t at = 0; at < HEAD_BYTES; at++)
		if (bed->mapped[at] && bed->model.device[i].medium[at])
			fail_msg("byte %llu of the head is not zero", (unsigned long long)at);
}

static void a_bad_verdict_fails_that_target_with_its_head_zeroed(void **state)
{
	static const struct {
		enum bed_answer body, head;
		unsigned asked_head;
	} cases[] = { { ANSWER_BAD, ANSWER_GOOD, 0 }, { ANSWER_GOOD, ANSWER_BAD, 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct write_bed bed;

		reads_back(&bed, i, 3 * MIB);
		bed_random_map(&bed, 4096, 50, 20);
		for (int n = 0; n < 3; n++)
			bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
		bed.body_answer[1] = cases[i].body;
		bed.head_answer[1] = cases[i].head;
		bed_run(&bed);
		bed_expect_done(&bed, 0);
		bed_expect_done(&bed, 2);
		bed_expect_ended(&bed, 1, BMAP_TARGET_FAILED, BMAP_ERR_IO);
		assert_string_equal(bed.status[1].error.text, "read back: byte 7 differs");
		assert_int_equal(bed.asked_head[1], cases[i].asked_head);
		expect_head_zeroed(&bed, 1);
		bed_free(&bed);
	}
}

static void a_stop_while_the_body_is_read_back_leaves_the_head_zeroed(void **state)
{
	static const enum bmap_error_code codes[] = { BMAP_ERR_INTERRUPTED, BMAP_ERR_DATA };

	(void)state;
	for (size_t n = 0; n < 2 * ARRAY_LEN(codes); n++) {
		size_t i = n / 2;
		struct write_bed bed;

		reads_back(&bed, n, 3 * MIB);
		bed.stop_code = codes[i];
		bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
		bed.body_answer[0] = n % 2 ? ANSWER_WHEN_STOPPED : ANSWER_INTERRUPTED;
		bed_run(&bed);
		bed_expect_ended(&bed, 0,
				 codes[i] == BMAP_ERR_INTERRUPTED ? BMAP_TARGET_INTERRUPTED
								  : BMAP_TARGET_FAILED,
				 codes[i]);
		assert_int_equal(bed.asked_head[0], 0);
		expect_head_zeroed(&bed, 0);
		assert_false(bed.leaked);
		bed_free(&bed);
	}
}

static void a_stop_while_the_head_is_read_back_is_too_late(void **state)
{
	struct write_bed bed;

	(void)state;
	/* What it then says counts: bad. */
	reads_back(&bed, 1, 3 * MIB);
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed.head_answer[0] = ANSWER_WHEN_STOPPED;
	bed_run(&bed);
	bed_expect_ended(&bed, 0, BMAP_TARGET_FAILED, BMAP_ERR_IO);
	expect_head_zeroed(&bed, 0);
	bed_free(&bed);

	/* And good. */
	reads_back(&bed, 2, 3 * MIB);
	bed.stop_at_commit = true;
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed.model.device[0].delay_ms = 5;
	bed_run(&bed);
	bed_expect_done(&bed, 0);
	assert_int_equal(bed.asked_head[0], 1);
	bed_free(&bed);
}

static void a_slow_reader_that_shows_signs_of_life_is_waited_for(void **state)
{
	struct write_bed bed;

	(void)state;
	reads_back(&bed, 1, 3 * MIB);
	bed.warn_seconds = 5;
	bed.give_up_seconds = 1;
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed.body_answer[0] = ANSWER_LATE;
	bed_run(&bed);
	bed_expect_done(&bed, 0);
	bed_free(&bed);
}

static void a_reader_that_never_answers_is_given_up_and_the_others_complete(void **state)
{
	(void)state;
	for (int head = 0; head < 2; head++) {
		struct write_bed bed;

		reads_back(&bed, 1, 3 * MIB);
		bed.warn_seconds = 1;
		bed.give_up_seconds = 2;
		bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
		bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
		*(head ? &bed.head_answer[0] : &bed.body_answer[0]) = ANSWER_NEVER;
		bed_run(&bed);
		assert_int_equal(bed.status[0].state, BMAP_TARGET_FAILED);
		assert_int_equal(bed.status[0].error.code, BMAP_ERR_STALLED);
		assert_string_equal(bed.status[0].error.text,
				    "dev0: the device did not answer for 2 s while it was read "
				    "back: given up");
		assert_true(bed.status[0].abandoned);
		assert_int_equal(bed.warnings, 1);
		assert_true(bed.leaked);
		bed_expect_done(&bed, 1);
		bed_free(&bed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_then_head_are_asked_for_once_each),
		cmocka_unit_test(without_a_mapped_head_there_is_one_question),
		cmocka_unit_test(a_bad_verdict_fails_that_target_with_its_head_zeroed),
		cmocka_unit_test(a_stop_while_the_body_is_read_back_leaves_the_head_zeroed),
		cmocka_unit_test(a_stop_while_the_head_is_read_back_is_too_late),
		cmocka_unit_test(a_slow_reader_that_shows_signs_of_life_is_waited_for),
		cmocka_unit_test(a_reader_that_never_answers_is_given_up_and_the_others_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

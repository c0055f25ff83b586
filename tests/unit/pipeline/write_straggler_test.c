/* SPDX-License-Identifier: MIT */
#include "write_bed.h"
#include "base/checked.h"
#include "base/clock.h"
#include "pipeline/write_straggler.h"

#include <errno.h>
#include <string.h>

#define SLOW_MS 100u /* a MiB at a time: 10 MB/s, beside devices that answer at once */

static void the_rule(void **state)
{
	enum { SPAN = 1000 };
	static const struct {
		const char *why;
		struct straggler_share lanes[8];
		uint64_t room_wait;
		size_t found;
	} cases[] = {
		{ "one is slow", { { 1, 50, 0 }, { 1, 1000, 990 }, { 1, 60, 10 } }, 900, 1 },
		{ "alone", { { 1, 1000, 1000 } }, 900, STRAGGLER_NONE },
		{ "the others are done", { { 0, 50, 0 }, { 1, 1000, 990 } }, 900, STRAGGLER_NONE },
		{ "it is done itself",
		  { { 0, 1000, 990 }, { 1, 50, 0 }, { 1, 50, 0 } },
		  900,
		  STRAGGLER_NONE },
		{ "the other would go at 1.9 times the speed",
		  { { 1, 530, 0 }, { 1, 1000, 990 } },
		  900,
		  STRAGGLER_NONE },
		{ "the other would go at 2.1 times the speed",
		  { { 1, 470, 0 }, { 1, 1000, 990 } },
		  900,
		  1 },
		{ "it never completes, and the other was not asked for anything",
		  { { 1, 0, 0 }, { 1, 1000, 1000 } },
		  1000,
		  1 },
		{ "the decoder is at work for more than half of the time",
		  { { 1, 50, 0 }, { 1, 1000, 990 } },
		  450,
		  STRAGGLER_NONE },
		{ "busy, but it has nothing waiting: slow to answer, not slow",
		  { { 1, 50, 0 }, { 1, 1000, 400 } },
		  900,
		  STRAGGLER_NONE },
		{ "the slowest of two first",
		  { { 1, 800, 790 }, { 1, 50, 0 }, { 1, 1000, 990 }, { 1, 50, 0 } },
		  900,
		  2 },
		{ "all but one are slow",
		  { { 1, 990, 980 }, { 1, 990, 970 }, { 1, 990, 960 }, { 1, 50, 0 } },
		  900,
		  STRAGGLER_NONE },
		{ "nobody is left", { { 0, 1000, 990 }, { 0, 50, 0 } }, 900, STRAGGLER_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t found = straggler_find(cases[i].lanes, ARRAY_LEN(cases[i].lanes), SPAN,
					      cases[i].room_wait);

		if (found != cases[i].found)
			fail_msg("%s: %zd", cases[i].why, (ssize_t)found);
	}
}

/* fast devices, then slow ones, each of them slower by SLOW_MS / 2 than the one before. */
static void mixed_bed(struct write_bed *bed, unsigned fast, unsigned slow)
{
	bed_init(bed, fast * 10 + slow, 20 * MIB);
	bed_random_map(bed, 4096, 900, 30);
	for (unsigned i = 0; i < fast + slow; i++)
		bed_add(bed, TARGET_BLOCK_DEVICE, 512);
	for (unsigned i = 0; i < slow; i++) {
		bed->model.device[fast + i].delay_ms = SLOW_MS + i * SLOW_MS / 2;
		bed->model.device[fast + i].takes_at_once = true;
	}
	bed->detach = true;
	bed->straggler_seconds = 1;
}

static void expect_detached(struct write_bed *bed, size_t i)
{
	bed_expect_ended(bed, i, BMAP_TARGET_DETACHED, BMAP_ERR_NONE);
	assert_true(bed->status[i].head_zeroed);
	assert_false(bed->status[i].abandoned);
}

static void slow_targets_are_left_out_and_complete_in_another_pass(void **state)
{
	static const struct {
		unsigned fast, slow;
	} cases[] = { { 1, 1 }, { 3, 1 }, { 3, 2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned fast = cases[i].fast, slow = cases[i].slow;
		struct write_bed bed;

		mixed_bed(&bed, fast, slow);
		bed_run(&bed);
		for (size_t n = 0; n < fast; n++)
			bed_expect_done(&bed, n);
		for (size_t n = fast; n < fast + slow; n++)
			expect_detached(&bed, n);
		assert_int_equal(bed.detachings, slow);
		assert_false(bed.leaked);
		/* On their own: nobody is slower than the others by half. */
		for (size_t n = 0; n < fast; n++)
			bed.left_out[n] = true;
		bed_run(&bed);
		for (size_t n = 0; n < fast + slow; n++)
			bed_expect_done(&bed, n);
		assert_int_equal(bed.detachings, slow);
		bed_free(&bed);
	}
}

static void who_does_not_hold_most_others_by_half_stays(void **state)
{
	static const struct {
		unsigned fast, slow;
		bool detach;
		unsigned delay_ms; /* of the fast ones */
		const char *why;
	} cases[] = {
		{ 3, 1, false, 0, "not asked for" },
		{ 1, 3, true, 0, "three for the sake of one" },
		{ 3, 1, true, 70, "not slower by half" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct write_bed bed;

		mixed_bed(&bed, cases[i].fast, cases[i].slow);
		bed.detach = cases[i].detach;
		for (unsigned n = 0; n < cases[i].fast; n++)
			bed.model.device[n].delay_ms = cases[i].delay_ms;
		bed_run(&bed);
		for (size_t n = 0; n < bed.target_count; n++)
			bed_expect_done(&bed, n);
		assert_int_equal(bed.detachings, 0);
		bed_free(&bed);
	}
}

static void who_is_slow_after_the_others_failed_stays(void **state)
{
	struct write_bed bed;

	(void)state;
	mixed_bed(&bed, 2, 1);
	for (unsigned n = 0; n < 2; n++) {
		bed.model.device[n].fault = FAULT_DEAD;
		bed.model.device[n].fault_request = 6;
		bed.model.device[n].errnum = EIO;
	}
	bed_run(&bed);
	for (unsigned n = 0; n < 2; n++)
		bed_expect_ended(&bed, n, BMAP_TARGET_FAILED, BMAP_ERR_IO);
	bed_expect_done(&bed, 2);
	assert_int_equal(bed.detachings, 0);
	bed_free(&bed);
}

static void a_target_that_never_completes_is_left_out_and_then_given_up(void **state)
{
	static const struct {
		bool detach;
		uint64_t request;
		unsigned give_up_seconds;
	} cases[] = {
		{ true, 0, 3 }, /* when the head is zeroed */
		{ true, 9, 3 },
		{ true, 9, 1 }, /* given up before it is a straggler */
		{ false, 9, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool detached = cases[i].detach && cases[i].give_up_seconds > 1;
		struct write_bed bed;

		mixed_bed(&bed, 2, 1);
		bed.detach = cases[i].detach;
		bed.give_up_seconds = cases[i].give_up_seconds;
		if (!detached)
			bed.straggler_seconds = 3;
		bed.model.device[2].delay_ms = 0;
		bed.model.device[2].fault = FAULT_NEVER;
		bed.model.device[2].fault_request = cases[i].request;
		bed_run(&bed);
		bed_expect_ended(&bed, 2, BMAP_TARGET_FAILED, BMAP_ERR_STALLED);
		assert_true(bed.status[2].abandoned);
		assert_true(bed.leaked);
		assert_int_equal(bed.detachings, detached);
		for (size_t n = 0; n < 2; n++) {
			bed_expect_done(&bed, n);
			/* They did not wait for it to be given up. */
			if (detached)
				assert_true(bed.ended_ns[n] < 5 * NS_PER_S / 2);
		}
		bed_free(&bed);
	}
}

static void an_error_or_a_stop_while_it_is_drained_is_what_counts(void **state)
{
	(void)state;
	for (int stop = 0; stop < 2; stop++) {
		struct write_bed bed;

		mixed_bed(&bed, 2, 1);
		bed.model.device[2].delay_ms = stop ? 5000 : 2500; /* its head is zeroed */
		if (stop) {
			bed.stop_after_us = 4500000; /* the others are done */
			bed.stop_code = BMAP_ERR_INTERRUPTED;
		} else {
			bed.model.device[2].fault = FAULT_ERROR;
			bed.model.device[2].fault_request = 0;
			bed.model.device[2].errnum = EIO;
		}
		bed_run(&bed);
		assert_int_equal(bed.detachings, 1);
		if (stop)
			bed_expect_ended(&bed, 2, BMAP_TARGET_INTERRUPTED, BMAP_ERR_INTERRUPTED);
		else
			bed_expect_ended(&bed, 2, BMAP_TARGET_FAILED, BMAP_ERR_IO);
		for (size_t n = 0; n < 2; n++)
			bed_expect_done(&bed, n);
		bed_free(&bed);
	}
}

static void the_next_pass_knows_that_the_head_is_zeroed(void **state)
{
	struct write_bed bed;

	(void)state;
	mixed_bed(&bed, 2, 1);
	bed_run(&bed);
	expect_detached(&bed, 2);
	bed.left_out[0] = bed.left_out[1] = true;
	bed.stop_after_us = 1;
	bed.stop_code = BMAP_ERR_INTERRUPTED;
	bed_run(&bed);
	bed_expect_ended(&bed, 2, BMAP_TARGET_INTERRUPTED, BMAP_ERR_INTERRUPTED);
	assert_true(bed.status[2].head_zeroed);
	bed_free(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rule),
		cmocka_unit_test(slow_targets_are_left_out_and_complete_in_another_pass),
		cmocka_unit_test(who_does_not_hold_most_others_by_half_stays),
		cmocka_unit_test(who_is_slow_after_the_others_failed_stays),
		cmocka_unit_test(a_target_that_never_completes_is_left_out_and_then_given_up),
		cmocka_unit_test(an_error_or_a_stop_while_it_is_drained_is_what_counts),
		cmocka_unit_test(the_next_pass_knows_that_the_head_is_zeroed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

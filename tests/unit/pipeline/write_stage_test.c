/* SPDX-License-Identifier: MIT */
#include "write_bed.h"
#include "base/checked.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct map_case {
	uint64_t block;
	unsigned blocks, gap;
	const char *why;
};

static const size_t aligns[] = { 1, 512, 4096, 16384 };

static void every_alignment_and_block_size_gives_the_image_and_keeps_the_rest(void **state)
{
	static const struct map_case maps[] = {
		{ 4096, 64, 64, "usual" },
		{ 4096, 1, 1, "one-block ranges that touch or nearly do" },
		{ 512, 5, 5, "finer than a 4 KiB sector" },
		{ 512, 1, 2, "alternating" },
		{ 1024, 300, 20, "ranges that end inside a sector" },
		{ 3, 9000, 2000, "no power of two" },
		{ 65536, 4, 4, "coarse" },
	};
	static const uint64_t sizes[] = { 3 * MIB, 2 * MIB + 1536, MIB + 77, 4096, 1 };

	(void)state;
	for (size_t a = 0; a < ARRAY_LEN(aligns); a++)
		for (size_t m = 0; m < ARRAY_LEN(maps); m++)
			for (size_t s = (a + m) % BED_STRIDE; s < ARRAY_LEN(sizes);
			     s += BED_STRIDE) {
				struct write_bed bed;

				bed_init(&bed, a * 100 + m * 10 + s, sizes[s]);
				bed_random_map(&bed, maps[m].block, maps[m].blocks, maps[m].gap);
				bed.packed = (a + m + s) % 2;
				bed_add(&bed, TARGET_BLOCK_DEVICE, aligns[a]);
				bed_add(&bed, TARGET_REGULAR_FILE, aligns[a]);
				bed_run(&bed);
				bed_expect_done(&bed, 0);
				bed_expect_done(&bed, 1);
				bed_free(&bed);
			}
}

static void an_image_whose_size_is_unknown_is_written_to_its_last_byte(void **state)
{
	static const uint64_t sizes[] = {
		3 * MIB, 2 * MIB + 1536, MIB + 77, MIB, 300001, 4096, 1, 0
	};

	(void)state;
	for (size_t a = 0; a < ARRAY_LEN(aligns); a++)
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
			struct write_bed bed;

			bed_init(&bed, a * 10 + s, sizes[s]);
			bed.size_unknown = true;
			bed_add(&bed, TARGET_BLOCK_DEVICE, aligns[a]);
			bed_add(&bed, TARGET_REGULAR_FILE, aligns[a]);
			bed_add(&bed, TARGET_CHARACTER_DEVICE, 1);
			bed_run(&bed);
			for (size_t i = 0; i < bed.target_count; i++)
				bed_expect_done(&bed, i);
			assert_int_equal(bed.model.device[1].size, sizes[s]);
			assert_int_equal(bed.model.device[2].flushes, 0);
			bed_free(&bed);
		}
}

static void an_image_that_turns_out_larger_than_the_device_fails_with_its_head_zeroed(void **state)
{
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, 3 * MIB);
	bed.size_unknown = true;
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512)->size_bytes = 2 * MIB;
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed_run(&bed);
	bed_expect_ended(&bed, 0, BMAP_TARGET_FAILED, BMAP_ERR_REFUSED);
	assert_non_null(strstr(bed.status[0].error.text, "larger than the device"));
	assert_non_null(strstr(bed.status[0].error.text, "2097152"));
	for (uint64_t at = 2 * MIB; at < 3 * MIB; at++)
		assert_true(bed.model.device[0].cache[at] >= 128);
	for (uint64_t at = 0; at < HEAD_BYTES; at++)
		assert_int_equal(bed.model.device[0].medium[at], 0);
	bed_expect_done(&bed, 1);
	bed_free(&bed);
}

static void special_maps_end_well(void **state)
{
	static const struct {
		struct bmap_range ranges[3];
		size_t count;
		uint64_t flushes; /* at least: what is the head's share */
		const char *why;
	} cases[] = {
		{ { { 0 } }, 0, 1, "nothing is mapped: still flushed" },
		{ { { 0, 767 } }, 1, 4, "one single range" },
		{ { { 300, 767 } }, 1, 1, "nothing of the head is mapped: nothing is withheld" },
		{ { { 0, 0 } }, 1, 3, "the commit block alone" },
		{ { { 7, 7 }, { 256, 300 } }, 2, 3, "the first 4 KiB are not mapped" },
		{ { { 1, 9 }, { 255, 256 } }, 2, 4, "a range over the head's end" },
		{ { { 0, 3 }, { 4, 4 }, { 5, 767 } }, 3, 4, "ranges that touch" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int packed = 0; packed < 2; packed++) {
			struct write_bed bed;

			bed_init(&bed, i, 3 * MIB);
			bed_map(&bed, 4096, cases[i].ranges, cases[i].count);
			bed.packed = packed;
			bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
			bed_run(&bed);
			bed_expect_done(&bed, 0);
			assert_int_equal(bed.model.device[0].flushes, cases[i].flushes);
			bed_free(&bed);
		}
}

static void touching_ranges_become_large_requests(void **state)
{
	struct bmap_range ranges[768];
	struct write_bed bed;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		ranges[i] = (struct bmap_range){ i, i };
	bed_init(&bed, 1, 3 * MIB);
	bed_map(&bed, 4096, ranges, ARRAY_LEN(ranges));
	bed.ring_bytes = 4 * RING_ALIGN_BYTES;
	bed_add(&bed, TARGET_CHARACTER_DEVICE, 512);
	bed_run(&bed);
	bed_expect_done(&bed, 0);
	assert_int_equal(bed.model.device[0].largest_write, MIB);
	assert_int_equal(bed.model.device[0].writes, 3);
	bed_free(&bed);
}

static void twenty_thousand_tiny_ranges_are_written(void **state)
{
	static const size_t tiny_aligns[] = { 1, 512, 4096 };

	(void)state;
	for (size_t a = 0; a < ARRAY_LEN(tiny_aligns); a++) {
		struct write_bed bed;

		bed_init(&bed, a, 20000 * 1024);
		bed_random_map(&bed, 512, 1, 2);
		bed_add(&bed, TARGET_BLOCK_DEVICE, tiny_aligns[a]);
		bed_run(&bed);
		bed_expect_done(&bed, 0);
		/* Edges of many sectors at once, not one after the other. */
		assert_true(bed.model.device[0].most_in_flight > 4);
		assert_true(tiny_aligns[a] < 4096 || bed.counters.edge_writes > 3000);
		bed_free(&bed);
	}
}

static void a_ring_smaller_than_the_windows_finishes(void **state)
{
	static const size_t max_requests[] = { 64 * KIB, 120 * KIB, MIB };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(max_requests); i++) {
		struct write_bed bed;

		bed_init(&bed, i, 9 * MIB + 512);
		bed_random_map(&bed, 4096, 300, 3);
		bed.queue_depth = 64;
		for (int n = 0; n < 4; n++)
			bed_add(&bed, n ? TARGET_REGULAR_FILE : TARGET_BLOCK_DEVICE, 512)
				->max_request_bytes = max_requests[i];
		bed.model.device[3].delay_ms = 2;
		bed_run(&bed);
		for (size_t n = 0; n < 4; n++)
			bed_expect_done(&bed, n);
		bed_free(&bed);
	}
}

static void a_producer_that_wants_all_of_the_ring_gets_it(void **state)
{
	static const struct {
		size_t less;
		unsigned targets;
	} cases[] = { { 0, 1 }, { 100, 1 }, { 0, 3 }, { 5000, 3 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct write_bed bed;

		bed_init(&bed, i, 9 * MIB + 300);
		bed_random_map(&bed, 4096, 1000, 1);
		bed.chunk_bytes = bed.ring_bytes - cases[i].less;
		for (unsigned n = 0; n < cases[i].targets; n++)
			bed_add(&bed, n ? TARGET_REGULAR_FILE : TARGET_BLOCK_DEVICE,
				n ? 512 : 4096);
		bed_run(&bed);
		for (unsigned n = 0; n < cases[i].targets; n++)
			bed_expect_done(&bed, n);
		bed_free(&bed);
	}
}

static void positions_beyond_32_bits_work(void **state)
{
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, 3 * MIB + 1000);
	bed_random_map(&bed, 1024, 100, 100);
	bed.packed = true;
	bed.start_position = ((uint64_t)1 << 32) - 12288;
	bed_add(&bed, TARGET_BLOCK_DEVICE, 4096);
	bed_add(&bed, TARGET_REGULAR_FILE, 512);
	bed_run(&bed);
	bed_expect_done(&bed, 0);
	bed_expect_done(&bed, 1);
	bed_free(&bed);
}

static void a_queue_of_few_tags_is_never_filled(void **state)
{
	static const struct {
		unsigned tags;
		size_t tag_bytes;
		uint64_t most;
	} cases[] = {
		{ 1, 64 * KIB, 1 }, { 2, 64 * KIB, 1 }, { 4, 64 * KIB, 3 }, { 16, 8 * KIB, 7 }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct write_bed bed;
		struct target *target;

		bed_init(&bed, i, 3 * MIB);
		bed_random_map(&bed, 4096, 100, 2);
		target = bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
		target->queue_tags = cases[i].tags;
		target->tag_bytes = cases[i].tag_bytes;
		target->max_request_bytes = 64 * KIB;
		bed_run(&bed);
		bed_expect_done(&bed, 0);
		assert_true(bed.model.device[0].most_in_flight <= cases[i].most);
		bed_free(&bed);
	}
}

static void no_engine_no_stage(void **state)
{
	struct write_bed bed;

	(void)state;
	bed_init(&bed, 1, MIB);
	bed_add(&bed, TARGET_BLOCK_DEVICE, 512);
	bed_expect_no_start(&bed);
	bed_free(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_alignment_and_block_size_gives_the_image_and_keeps_the_rest),
		cmocka_unit_test(an_image_whose_size_is_unknown_is_written_to_its_last_byte),
		cmocka_unit_test(
			an_image_that_turns_out_larger_than_the_device_fails_with_its_head_zeroed),
		cmocka_unit_test(special_maps_end_well),
		cmocka_unit_test(touching_ranges_become_large_requests),
		cmocka_unit_test(twenty_thousand_tiny_ranges_are_written),
		cmocka_unit_test(a_ring_smaller_than_the_windows_finishes),
		cmocka_unit_test(a_producer_that_wants_all_of_the_ring_gets_it),
		cmocka_unit_test(positions_beyond_32_bits_work),
		cmocka_unit_test(a_queue_of_few_tags_is_never_filled),
		cmocka_unit_test(no_engine_no_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "write_bed.h"
#include "base/checked.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void every_alignment_and_block_size_gives_the_image_and_keeps_the_rest(void **state)
{
	static const size_t aligns[] = { 1, 512, 4096, 16384 };
	static const struct {
		uint64_t block;
		unsigned blocks, gap;
		const char *why;
	} maps[] = {
		{ 4096, 64, 64, "usual" },
		{ 4096, 1, 1, "one-block ranges that touch or nearly do" },
		{ 512, 5, 5, "finer than a 4 KiB sector" },
		{ 512, 1, 2, "alternating" },
		{ 1024, 300, 20, "ranges that end inside a sector" },
		{ 3, 9000, 2000, "no power of two" },
		{ 65536, 4, 4, "coarse" },
	};
	static const uint64_t sizes[] = { 3 * MIB, 2 * MIB + 1536, MIB + 77, 300000, 4096, 1 };

	(void)state;
	for (size_t a = 0; a < ARRAY_LEN(aligns); a++)
		for (size_t m = 0; m < ARRAY_LEN(maps); m++)
			for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_alignment_and_block_size_gives_the_image_and_keeps_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The Python bmaptool (Debian: bmap-tools) takes our maps, and we take its. */
#include "unit_test.h"

#include "base/checked.h"
#include "digest/digest.h"

#include <bmap/map.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOOL "/usr/bin/bmaptool"
#define IMAGE_BYTES (171 * 4096 + 700)

static char folder[] = "/tmp/bmap-unit-XXXXXX";
static uint8_t image[IMAGE_BYTES];
static struct bmap_range ranges[] = { { 0, 2 }, { 5, 5 }, { 9, 40 }, { 100, 171 } };

static int enter_folder(void **state)
{
	(void)state;
	memcpy(strstr(folder, "unit-") + 5, "XXXXXX", 6);
	return !mkdtemp(folder) || chdir(folder) < 0 ? -1 : 0;
}

static int leave_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

static void need_python_tool(void)
{
	char first[64] = "";
	FILE *f = fopen(TOOL, "r");

	if (f) {
		if (!fgets(first, sizeof(first), f))
			first[0] = '\0';
		fclose(f);
	}
	if (strstr(first, "python"))
		return;
	print_message("skipped: " TOOL " is not the Python bmaptool (Debian: bmap-tools)\n");
	skip();
}

/* Sparse: only ranges of blocks are written. */
static void make_image(void)
{
	FILE *f = fopen("disk.img", "wb");
	uint32_t x = 1;

	assert_non_null(f);
	memset(image, 0, sizeof(image));
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		size_t begin = ranges[i].first_block * 4096;
		size_t end = min_u64((ranges[i].last_block + 1) * 4096, IMAGE_BYTES);

		for (size_t at = begin; at < end; at++) {
			x = x * 1664525u + 1013904223u;
			image[at] = (uint8_t)(x >> 24 | 1);
		}
		assert_int_equal(fseek(f, (long)begin, SEEK_SET), 0);
		assert_int_equal(fwrite(image + begin, 1, end - begin, f), end - begin);
	}
	assert_int_equal(fclose(f), 0);
}

static void run(const char *command)
{
	if (system(command) == 0)
		return;
	/* What it said is in the log; cmocka's line only names the command. */
	if (system("cat log >&2") != 0)
		print_message("no log\n");
	fail_msg("failed: %s", command);
}

static void the_python_tool_copies_by_our_maps(void **state)
{
	static const enum bmap_digest kinds[] = { BMAP_DIGEST_NONE,   BMAP_DIGEST_MD5,
						  BMAP_DIGEST_SHA1,   BMAP_DIGEST_SHA256,
						  BMAP_DIGEST_SHA384, BMAP_DIGEST_SHA512 };
	uint8_t digests[ARRAY_LEN(ranges) * BMAP_DIGEST_MAX_BYTES];

	(void)state;
	need_python_tool();
	make_image();
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		size_t len = digest_length(kinds[k]);
		struct bmap_map map = { .image_size_bytes = IMAGE_BYTES,
					.block_size_bytes = 4096,
					.blocks_count = 172,
					.mapped_blocks = 108,
					.digest = kinds[k],
					.digest_bytes = len,
					.range_count = ARRAY_LEN(ranges),
					.ranges = ranges,
					.digests = len ? digests : NULL };
		struct bmap_error err = { 0 };

		for (size_t i = 0; len && i < map.range_count; i++) {
			uint64_t begin = bmap_range_begin(&map, i);

			assert_true(digest_of(kinds[k], image + begin,
					      bmap_range_end(&map, i) - begin, digests + i * len,
					      &err));
		}
		if (!bmap_map_save(&map, "ours.bmap", &err))
			fail_msg("%s", err.text);
		run("rm -f out && " TOOL " copy --bmap ours.bmap disk.img out > log 2>&1");
		run("cmp disk.img out > log 2>&1");
	}
}

static void we_read_what_the_python_tool_creates(void **state)
{
	struct bmap_error err = { 0 };
	struct bmap_map *map;
	uint8_t sum[32];

	(void)state;
	need_python_tool();
	make_image();
	run(TOOL " create disk.img -o theirs.bmap > log 2>&1");
	if (!bmap_map_load(&map, "theirs.bmap", &err))
		fail_msg("%s", err.text);
	assert_int_equal(map->version_major, 2);
	assert_int_equal(map->image_size_bytes, IMAGE_BYTES);
	/* How much of it is mapped is the file system's answer; the checksums are over it. */
	assert_true(map->range_count >= 1 && map->digests && !map->has_digest);
	for (size_t i = 0; i < map->range_count; i++) {
		uint64_t begin = bmap_range_begin(map, i);

		assert_true(digest_of(map->digest, image + begin, bmap_range_end(map, i) - begin,
				      sum, &err));
		assert_memory_equal(bmap_range_digest(map, i), sum, 32);
	}
	bmap_map_free(map);
	run(TOOL " create --no-checksum disk.img -o theirs.bmap > log 2>&1");
	if (!bmap_map_load(&map, "theirs.bmap", &err))
		fail_msg("%s", err.text);
	assert_null(map->digests);
	bmap_map_free(map);
}

int main(void)
{
#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, enter_folder, leave_folder)
	const struct CMUnitTest tests[] = {
		IN_FOLDER(the_python_tool_copies_by_our_maps),
		IN_FOLDER(we_read_what_the_python_tool_creates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

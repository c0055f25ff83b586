/* SPDX-License-Identifier: MIT */
/* Raw files and devices; what flows through the pipeline is tested with it. */
#include "base/checked.h"

#include <bmap/create.h>
#include <bmap/verify.h>

#include "loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit_test.h"

#define BLOCK 4096u
#define BLOCKS 2049u /* the last one is short */
#define IMAGE_BYTES (2048u * BLOCK + 700)

struct fixture {
	char dir[64], image[96], bmap[96];
	struct bmap_map *map;
	struct bmap_error err;
	struct bmap_verify_result result;
	size_t bad_count;
	uint64_t bad[16]; /* first blocks */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct bmap_create_options create = BMAP_CREATE_OPTIONS_INIT;
	uint8_t block[BLOCK];
	int fd;

	strcpy(f->dir, "/var/tmp/verify_test.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->image, sizeof(f->image), "%s/disk.img", f->dir);
	snprintf(f->bmap, sizeof(f->bmap), "%s/disk.img.bmap", f->dir);
	fd = open(f->image, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, IMAGE_BYTES))
		return -1;
	srand(5);
	/* Every third block; then 1000 in a row; then the end. */
	for (unsigned i = 0; i < BLOCKS; i++) {
		size_t len = i == BLOCKS - 1 ? 700 : BLOCK;

		for (size_t k = 0; k < BLOCK; k++)
			block[k] = (uint8_t)rand();
		if ((i < 900 && i % 3 == 0) || (i >= 950 && i < 1950) || i == BLOCKS - 1) {
			if (pwrite(fd, block, len, (off_t)i * BLOCK) != (ssize_t)len)
				return -1;
		}
	}
	close(fd);
	create.image = f->image;
	if (!bmap_create(&create, &f->map, &f->err) || !bmap_map_save(f->map, f->bmap, &f->err)) {
		fprintf(stderr, "%s\n", f->err.text);
		return -1;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];

	bmap_map_free(f->map);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	free(f);
	return system(command);
}

static void on_bad(void *user, const struct bmap_bad_range *bad)
{
	struct fixture *f = user;

	assert_int_equal(bad->offset_bytes, bad->first_block * BLOCK);
	assert_int_equal(bad->digest_bytes, 32);
	assert_memory_not_equal(bad->expected, bad->found, 32);
	assert_true(f->bad_count < ARRAY_LEN(f->bad));
	f->bad[f->bad_count++] = bad->first_block;
}

static bool verify(struct fixture *f, const char *input, const char *bmap)
{
	struct bmap_verify_options options = BMAP_VERIFY_OPTIONS_INIT;

	f->bad_count = 0;
	options.input = input;
	options.bmap = bmap;
	options.bad_range = on_bad;
	options.user = f;
	return bmap_verify(&options, &f->result, &f->err);
}

static void flip(const char *path, uint64_t offset)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	assert_int_equal(fsync(fd), 0);
	close(fd);
}

static void a_right_image_verifies_with_its_bmap_named_or_found(void **state)
{
	struct fixture *f = *state;

	for (int named = 0; named < 2; named++) {
		if (!verify(f, f->image, named ? f->bmap : NULL))
			fail_msg("%s", f->err.text);
		assert_int_equal(f->result.ranges_checked, f->map->range_count);
		assert_int_equal(f->result.ranges_bad, 0);
		assert_int_equal(f->result.ranges_without_checksum, 0);
		assert_int_equal(f->result.checked_bytes, bmap_mapped_bytes(f->map));
		assert_true(f->result.elapsed_ns > 0);
	}
}

static bool named_once(const struct fixture *f, uint64_t block)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->bad_count; i++)
		n += f->bad[i] == block;
	return n == 1;
}

static void each_bad_range_is_named_once(void **state)
{
	struct fixture *f = *state;
	static const uint64_t offsets[] = { 0, 300 * BLOCK + 4095, 950 * BLOCK, 1500 * BLOCK + 7,
					    2048 * BLOCK + 699 };
	static const uint64_t firsts[] = { 0, 300, 950, 2048 };

	flip(f->image, 1 * BLOCK); /* not mapped: nobody cares */
	assert_true(verify(f, f->image, f->bmap));
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++)
		flip(f->image, offsets[i]);
	assert_false(verify(f, f->image, f->bmap));
	assert_int_equal(f->err.code, BMAP_ERR_DATA);
	assert_non_null(strstr(f->err.text, f->image));
	assert_int_equal(f->result.ranges_bad, ARRAY_LEN(firsts));
	assert_int_equal(f->bad_count, ARRAY_LEN(firsts));
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++)
		assert_true(named_once(f, firsts[i]));
	assert_int_equal(f->result.ranges_checked, f->map->range_count);
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++)
		flip(f->image, offsets[i]);
	assert_true(verify(f, f->image, f->bmap));
}

static void a_file_of_another_length_is_an_error(void **state)
{
	struct fixture *f = *state;
	static const off_t sizes[] = { IMAGE_BYTES - 1, IMAGE_BYTES + 1, 1, 100 * MIB };
	char path[128], command[256];

	snprintf(path, sizeof(path), "%s/other.img", f->dir);
	snprintf(command, sizeof(command), "cp %s %s", f->image, path);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(truncate(path, sizes[i]), 0);
		assert_false(verify(f, path, f->bmap));
		assert_int_equal(f->err.code, BMAP_ERR_DATA);
		assert_non_null(strstr(f->err.text, "8389308")); /* IMAGE_BYTES */
	}
}

static void a_device_may_be_larger_but_not_smaller(void **state)
{
	struct fixture *f = *state;
	struct loop_options options = { .block_bytes = 4096, .read_only = true };
	struct loop_device device = LOOP_DEVICE_INIT;
	char path[128], command[256];

	if (loop_missing()) {
		printf("skipped: %s\n", loop_missing());
		skip();
	}
	snprintf(path, sizeof(path), "%s/disk.dev", f->dir);
	snprintf(command, sizeof(command), "cp %s %s", f->image, path);
	assert_int_equal(system(command), 0);
	assert_int_equal(truncate(path, 10 * MIB), 0);
	assert_true(loop_attach(&device, path, &options));
	if (!verify(f, device.path, f->bmap))
		fail_msg("%s", f->err.text);
	flip(path, 300 * BLOCK);
	assert_false(verify(f, device.path, f->bmap));
	assert_true(named_once(f, 300));
	loop_detach(&device);
	assert_int_equal(truncate(path, 2048 * BLOCK), 0);
	assert_true(loop_attach(&device, path, &options));
	assert_false(verify(f, device.path, f->bmap));
	assert_int_equal(f->err.code, BMAP_ERR_DATA);
	assert_non_null(strstr(f->err.text, "8388608"));
	assert_non_null(strstr(f->err.text, "8389308"));
	loop_detach(&device);
}

static void a_map_without_checksums_checks_nothing_but_the_size(void **state)
{
	struct fixture *f = *state;
	struct bmap_map bare = *f->map;
	char path[128];

	bare.digests = NULL;
	snprintf(path, sizeof(path), "%s/bare.bmap", f->dir);
	if (!bmap_map_save(&bare, path, &f->err))
		fail_msg("%s", f->err.text);
	assert_true(verify(f, f->image, path));
	assert_int_equal(f->result.ranges_checked, 0);
	assert_int_equal(f->result.ranges_without_checksum, f->map->range_count);
}

static void what_cannot_be_read_is_an_error_by_name(void **state)
{
	struct fixture *f = *state;
	struct {
		const char *input, *bmap, *want;
	} cases[] = {
		{ "/nonexistent/disk.img", NULL, "/nonexistent/disk.img" },
		{ f->dir, f->bmap, "is a directory" },
		{ f->image, "/nonexistent/disk.bmap", "/nonexistent/disk.bmap" },
		{ f->image, f->image, f->image }, /* no bmap at all */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(verify(f, cases[i].input, cases[i].bmap));
		if (!strstr(f->err.text, cases[i].want))
			fail_msg("%s", f->err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_image_verifies_with_its_bmap_named_or_found),
		cmocka_unit_test(each_bad_range_is_named_once),
		cmocka_unit_test(a_file_of_another_length_is_an_error),
		cmocka_unit_test(a_device_may_be_larger_but_not_smaller),
		cmocka_unit_test(a_map_without_checksums_checks_nothing_but_the_size),
		cmocka_unit_test(what_cannot_be_read_is_an_error_by_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

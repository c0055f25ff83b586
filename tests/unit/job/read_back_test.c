/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "digest/digest.h"
#include "job/read_back.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define IMAGE_BYTES (3 * MIB + 700)
#define HEAD MIB

static const struct bmap_range ranges[] = { { 0, 5 }, { 9, 300 }, { 301, 301 }, { 400, 768 } };
static uint8_t first_and_third = 0x5, the_others = 0xa; /* a bit each: map.h */

struct bed {
	char path[64];
	int fd;
	uint8_t *image;
	struct bmap_map map, sums;
	uint8_t digests[ARRAY_LEN(ranges) * 32], xxh3[ARRAY_LEN(ranges) * 8];
	uint64_t told_bytes;
};

static void sum_up(struct bed *bed, struct bmap_map *map, uint8_t *digests)
{
	for (size_t i = 0; i < map->range_count; i++) {
		uint64_t begin = bmap_range_begin(map, i);

		assert_true(digest_of(map->digest, bed->image + begin,
				      bmap_range_end(map, i) - begin,
				      digests + i * map->digest_bytes, NULL));
	}
	map->digests = digests;
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	strcpy(bed->path, "/var/tmp/read_back_test.XXXXXX");
	bed->fd = mkstemp(bed->path);
	bed->image = malloc(IMAGE_BYTES);
	if (bed->fd < 0 || !bed->image)
		return -1;
	for (size_t i = 0; i < IMAGE_BYTES; i++)
		bed->image[i] = (uint8_t)((i * 13) ^ (i >> 9) ^ (i >> 17));
	if (pwrite(bed->fd, bed->image, IMAGE_BYTES, 0) != IMAGE_BYTES)
		return -1;
	bed->map = (struct bmap_map){ .image_size_bytes = IMAGE_BYTES,
				      .block_size_bytes = 4096,
				      .blocks_count = div_round_up(IMAGE_BYTES, 4096),
				      .mapped_blocks = 6 + 292 + 1 + 369,
				      .range_count = ARRAY_LEN(ranges),
				      .ranges = (struct bmap_range *)ranges,
				      .digest = BMAP_DIGEST_SHA256,
				      .digest_bytes = 32 };
	bed->sums = bed->map;
	bed->sums.digest = DIGEST_XXH3;
	bed->sums.digest_bytes = 8;
	sum_up(bed, &bed->map, bed->digests);
	sum_up(bed, &bed->sums, bed->xxh3);
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	close(bed->fd);
	unlink(bed->path);
	free(bed->image);
	free(bed);
	return 0;
}

static void on_progress(void *arg, uint64_t done_bytes)
{
	struct bed *bed = arg;

	assert_true(done_bytes >= bed->told_bytes);
	bed->told_bytes = done_bytes;
}

static struct read_back back_of(struct bed *bed)
{
	bed->told_bytes = 0;
	return (struct read_back){
		.target = { .name = "/dev/sdx", .kind = TARGET_REGULAR_FILE, .fd = bed->fd },
		.plan = { .map = &bed->map, .image_size_bytes = IMAGE_BYTES },
		.memory_bytes = 512 * KIB,
		.workers = 2,
		.progress = on_progress,
		.arg = bed,
	};
}

static void put(const struct bed *bed, uint64_t offset, const void *bytes, size_t len)
{
	assert_int_equal(pwrite(bed->fd, bytes, len, (off_t)offset), len);
	/* A copy that is not flushed cannot be dropped. */
	assert_int_equal(fdatasync(bed->fd), 0);
}

static void flip(const struct bed *bed, uint64_t offset)
{
	uint8_t byte;

	assert_int_equal(pread(bed->fd, &byte, 1, (off_t)offset), 1);
	byte ^= 1;
	put(bed, offset, &byte, 1);
}

/* What judges: the map's checksums, sums, each for a part of the ranges, or sums for long ones. */
enum judges { CHECKED, SUMS, BOTH, SUMS_FOR_LONG, JUDGES };

static void set_judges(struct bed *bed, struct read_back *back, enum judges judges)
{
	bed->map.has_digest = judges == BOTH ? &first_and_third : NULL;
	bed->sums.has_digest = judges >= BOTH ? &the_others : NULL; /* those are long */
	back->longest_bytes = judges == SUMS_FOR_LONG ? 100 * KIB : 0;
	back->checked = judges == SUMS ? NULL : &bed->map;
	back->sums = judges == CHECKED ? NULL : &bed->sums;
}

static void every_changed_byte_is_found_in_its_range(void **state)
{
	static const struct {
		uint64_t byte;
		size_t range;
	} cases[] = { { 0, 0 },
		      { 9 * 4096, 1 },
		      { 301 * 4096 + 9, 2 },
		      { 400 * 4096, 3 },
		      { IMAGE_BYTES - 1, 3 } };
	struct bed *bed = *state;

	for (int judges = CHECKED; judges < JUDGES; judges++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct read_back back = back_of(bed);
			struct read_back_bad bad;
			struct bmap_error err = { 0 };

			set_judges(bed, &back, judges);
			assert_true(read_back_body(&back, &bad, &err));
			assert_false(bad.found);
			assert_int_equal(bed->told_bytes, bmap_mapped_bytes(&bed->map));
			flip(bed, cases[i].byte);
			flip(bed, IMAGE_BYTES - 2); /* the first one is what counts */
			bed->told_bytes = 0;
			assert_true(read_back_body(&back, &bad, &err));
			assert_true(bad.found);
			assert_int_equal(bad.range, cases[i].range);
			flip(bed, cases[i].byte);
			flip(bed, IMAGE_BYTES - 2);
		}
}

static void a_change_between_the_ranges_is_not_looked_at(void **state)
{
	struct bed *bed = *state;
	struct read_back back = back_of(bed);
	struct read_back_bad bad;

	set_judges(bed, &back, CHECKED);
	flip(bed, 6 * 4096);
	assert_true(read_back_body(&back, &bad, NULL));
	assert_false(bad.found);
	flip(bed, 6 * 4096);
}

static void a_withheld_head_is_taken_from_memory_and_then_compared_byte_by_byte(void **state)
{
	static const uint64_t bytes[] = { 0, 5, 6 * 4096 - 1, 9 * 4096, HEAD - 1 };
	struct bed *bed = *state;
	struct read_back back = back_of(bed);
	uint8_t *zeros = calloc(1, HEAD);
	struct read_back_bad bad;
	uint64_t bad_byte;

	set_judges(bed, &back, CHECKED);
	back.head = bed->image;
	back.head_bytes = HEAD;
	put(bed, 0, zeros, HEAD);
	assert_true(read_back_body(&back, &bad, NULL));
	assert_false(bad.found);
	flip(bed, HEAD);
	bed->told_bytes = 0;
	assert_true(read_back_body(&back, &bad, NULL));
	assert_true(bad.found);
	flip(bed, HEAD);
	/* Now it is written. */
	put(bed, 0, bed->image, HEAD);
	assert_true(read_back_head(&back, &bad_byte, NULL));
	assert_int_equal(bad_byte, UINT64_MAX);
	flip(bed, 6 * 4096); /* not mapped */
	flip(bed, HEAD); /* no more the head */
	assert_true(read_back_head(&back, &bad_byte, NULL));
	assert_int_equal(bad_byte, UINT64_MAX);
	flip(bed, HEAD);
	flip(bed, 6 * 4096);
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
		flip(bed, bytes[i]);
		assert_true(read_back_head(&back, &bad_byte, NULL));
		assert_int_equal(bad_byte, bytes[i]);
		flip(bed, bytes[i]);
	}
	free(zeros);
}

static void what_cannot_be_read_is_an_error_with_its_place(void **state)
{
	struct bed *bed = *state;
	struct read_back back = back_of(bed);
	struct bmap_error err = { 0 };
	struct read_back_bad bad;
	uint64_t bad_byte;
	int fd = open(bed->path, O_WRONLY);

	set_judges(bed, &back, SUMS);
	back.workers = 1;
	back.target.fd = fd;
	back.head = bed->image;
	back.head_bytes = HEAD;
	assert_false(read_back_body(&back, &bad, &err));
	assert_int_equal(err.code, BMAP_ERR_IO);
	assert_int_equal(err.errnum, EBADF);
	assert_true(err.has_offset);
	assert_string_equal(err.text,
			    "/dev/sdx: read back: cannot read at offset 0 (sector 0): Bad "
			    "file descriptor");
	memset(&err, 0, sizeof(err));
	assert_false(read_back_head(&back, &bad_byte, &err));
	assert_string_equal(err.text,
			    "/dev/sdx: read back: cannot read at offset 0 (sector 0): Bad "
			    "file descriptor");
	close(fd);
}

static void what_has_nothing_to_do_with_the_target_names_it_too(void **state)
{
	struct bed *bed = *state;
	struct read_back back = back_of(bed);
	struct bmap_error err = { 0 };
	struct read_back_bad bad;
	struct rlimit limit, none;
	bool good;

	set_judges(bed, &back, CHECKED);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max }; /* the engine gets no descriptor */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	good = read_back_body(&back, &bad, &err);
	setrlimit(RLIMIT_NOFILE, &limit);
	if (good) { /* worker threads do without */
		print_message("skipped: the io engine of this build needs no descriptor\n");
		skip();
	}
	assert_memory_equal(err.text, "/dev/sdx: read back: ", 21);
	assert_non_null(strstr(err.text, "Too many open files"));
}

static void a_stop_ends_it(void **state)
{
	struct bed *bed = *state;
	struct read_back back = back_of(bed);
	struct bmap_error err = { 0 };
	struct read_back_bad bad;

	set_judges(bed, &back, CHECKED);
	back.stop = bmap_stop_new(NULL);
	bmap_stop_request(back.stop);
	assert_false(read_back_body(&back, &bad, &err));
	assert_int_equal(err.code, BMAP_ERR_INTERRUPTED);
	bmap_stop_free(back.stop);
}

static void an_error_names_byte_sector_and_blocks(void **state)
{
	static const struct {
		uint64_t begin, end, bad;
		const char *why, *text;
	} cases[] = {
		{ 400 * 4096, 401 * 4096, 400 * 4096 + 513, NULL,
		  "/dev/sdx: read back: byte 1638913 (sector 3201) differs from what was written, "
		  "in blocks 400-768 (byte offset 1638400, 1508028 bytes): the medium is bad, or "
		  "smaller than it says: replace it" },
		{ 0, 4096, UINT64_MAX, "it is a pipe",
		  "/dev/sdx: read back: blocks 0-5 (byte offset 0, 24576 bytes) differ from what "
		  "was written; which byte is the first is not known: it is a pipe: the medium is "
		  "bad, or smaller than it says: replace it" },
	};
	struct bed *bed = *state;
	struct read_back back = back_of(bed);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err = { 0 };
		bool known = cases[i].bad != UINT64_MAX;

		read_back_error(&back, cases[i].begin, cases[i].end, cases[i].bad, cases[i].why,
				&err);
		assert_string_equal(err.text, cases[i].text);
		assert_true(err.has_offset);
		assert_int_equal(err.offset_bytes, known ? cases[i].bad : cases[i].begin);
	}
	back.plan.map = NULL;
	{
		struct bmap_error err;

		read_back_error(&back, MIB, 2 * MIB, MIB + 1, NULL, &err);
		assert_non_null(strstr(err.text, "in bytes 1048576-2097151: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_changed_byte_is_found_in_its_range),
		cmocka_unit_test(a_change_between_the_ranges_is_not_looked_at),
		cmocka_unit_test(
			a_withheld_head_is_taken_from_memory_and_then_compared_byte_by_byte),
		cmocka_unit_test(what_cannot_be_read_is_an_error_with_its_place),
		cmocka_unit_test(what_has_nothing_to_do_with_the_target_names_it_too),
		cmocka_unit_test(a_stop_ends_it),
		cmocka_unit_test(an_error_names_byte_sector_and_blocks),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: MIT */
#include "fs/used_blocks.h"
#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit_test.h"

#define DISK_BYTES (200u * (uint64_t)MIB)
#define SECTORS(mib) ((uint32_t)((mib)*2048u))

static void put32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* Entry number of the MBR, or of a logical partition's table, at table. */
static void add_entry(int fd, uint64_t table, unsigned number, uint8_t type, uint32_t start,
		      uint32_t sectors)
{
	uint8_t entry[16] = { 0 };

	entry[4] = type;
	put32(entry + 8, start);
	put32(entry + 12, sectors);
	assert_int_equal(pwrite(fd, entry, 16, (off_t)(table + 446 + 16 * number)), 16);
	assert_int_equal(pwrite(fd, "\x55\xaa", 2, (off_t)(table + 510)), 2);
}

static int make_disk(uint64_t size)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

struct notes {
	char text[4096];
};

static void note(void *user, enum bmap_log_level level, const char *text)
{
	struct notes *notes = user;
	size_t len = strlen(notes->text);

	(void)level;
	snprintf(notes->text + len, sizeof(notes->text) - len, "%s\n", text);
}

static void find(struct used_spans *spans, int fd, uint64_t size, struct notes *notes)
{
	const struct bmap_log log = { .message = note, .user = notes };
	struct bmap_error err = { 0 };

	notes->text[0] = '\0';
	if (!used_blocks_find(spans, fd, "disk", size, &log, &err))
		fail_msg("%s", err.text);
}

/* All bytes of [begin, end) MiB, or none of them. */
static void expect_used(const struct used_spans *spans, uint64_t begin, uint64_t end, bool used)
{
	uint64_t at = begin * MIB, until = end * MIB;

	for (size_t i = 0; i < spans->count; i++) {
		const struct used_span *span = &spans->items[i];

		if (!used && span->begin_bytes < until && span->end_bytes > at)
			fail_msg("%ju..%ju MiB: used", (uintmax_t)begin, (uintmax_t)end);
		if (used && span->begin_bytes <= at && span->end_bytes > at)
			at = span->end_bytes;
	}
	if (used && at < until)
		fail_msg("%ju..%ju MiB: not used", (uintmax_t)begin, (uintmax_t)end);
}

static void small_gaps_and_tables_are_used(void **state)
{
	int fd = make_disk(DISK_BYTES);
	struct used_spans spans;
	struct notes notes;

	(void)state;
	add_entry(fd, 0, 0, 0x83, SECTORS(8), SECTORS(10)); /* 8..18 */
	add_entry(fd, 0, 1, 0x83, SECTORS(30), SECTORS(10)); /* 30..40, behind a small gap */
	add_entry(fd, 0, 2, 0x0f, SECTORS(80), SECTORS(60)); /* 80..140 with logical ones: */
	add_entry(fd, 80 * MIB, 0, 0x83, SECTORS(1), SECTORS(4)); /* 81..85 */
	add_entry(fd, 80 * MIB, 1, 0x05, SECTORS(30), SECTORS(20)); /* the next table: at 110 */
	add_entry(fd, 110 * MIB, 0, 0x83, SECTORS(2), SECTORS(8)); /* 112..120 */
	find(&spans, fd, DISK_BYTES, &notes);
	expect_used(&spans, 0, 40, true);
	expect_used(&spans, 40, 80, false);
	expect_used(&spans, 80, 140, true);
	expect_used(&spans, 140, 200, false);
	assert_non_null(
		strstr(notes.text, "partition 1 (10.0 MiB) is mapped as a whole: it holds"));
	assert_non_null(strstr(notes.text, "partition 6"));
	assert_non_null(strstr(notes.text, "no partition is at offset 41943040: 40.0 MiB"));
	used_spans_free(&spans);
	close(fd);
}

static void what_lies_beyond_the_image_is_not_there(void **state)
{
	int fd = make_disk(20 * MIB);
	struct used_spans spans;
	struct notes notes;

	(void)state;
	add_entry(fd, 0, 0, 0x83, SECTORS(1), SECTORS(100));
	add_entry(fd, 0, 1, 0x83, SECTORS(101), SECTORS(100));
	find(&spans, fd, 20 * MIB, &notes);
	expect_used(&spans, 0, 20, true);
	for (size_t i = 0; i < spans.count; i++)
		assert_true(spans.items[i].end_bytes <= 20 * MIB);
	used_spans_free(&spans);
	close(fd);
}

static void a_disk_that_nothing_is_known_of_is_used_as_a_whole(void **state)
{
	static const uint64_t sizes[] = { 1, 511, 512, 70000, 20 * MIB };
	struct used_spans spans;
	struct notes notes;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		int fd = make_disk(sizes[i]);

		find(&spans, fd, sizes[i], &notes);
		assert_int_equal(spans.count, 1);
		assert_int_equal(spans.items[0].begin_bytes, 0);
		assert_int_equal(spans.items[0].end_bytes, sizes[i]);
		assert_non_null(strstr(notes.text, "what is on it"));
		used_spans_free(&spans);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_gaps_and_tables_are_used),
		cmocka_unit_test(what_lies_beyond_the_image_is_not_there),
		cmocka_unit_test(a_disk_that_nothing_is_known_of_is_used_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

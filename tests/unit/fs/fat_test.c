/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "fs/fs_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit_test.h"

#define BEGIN 12345u /* of the volume in the file: nothing is counted from the file's begin */

/* What a FAT is made of; the rest follows from it. */
struct make {
	unsigned bits, sector, per_cluster, reserved, tables, root_entries;
	uint64_t table_sectors, sectors, volume_bytes;
};

static const struct make fat12 = { 12, 512, 1, 1, 2, 16, 2, 200, 200 * 512 };
static const struct make fat16 = { 16, 512, 1, 4, 2, 512, 20, 5000, 5000 * 512 };
static const struct make fat32 = { 32, 512, 1, 32, 2, 0, 600, 70000, 70000 * 512 };
static const struct make large = { 16, 4096, 8, 1, 1, 128, 3, 40000, 40000 * 4096 + 777 };

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void write_at(int fd, uint64_t offset, const void *data, size_t len)
{
	assert_int_equal(pwrite(fd, data, len, (off_t)(BEGIN + offset)), len);
}

static void set_entry(int fd, const struct make *m, unsigned table, uint64_t i, uint32_t value)
{
	uint64_t begin = (m->reserved + table * m->table_sectors) * m->sector;
	uint8_t bytes[4];

	if (m->bits != 12) {
		put(bytes, value, m->bits / 8);
		write_at(fd, begin + i * m->bits / 8, bytes, m->bits / 8);
		return;
	}
	assert_int_equal(pread(fd, bytes, 2, (off_t)(BEGIN + begin + i * 3 / 2)), 2);
	if (i % 2)
		put(bytes, (bytes[0] & 0xfu) | value << 4, 2);
	else
		put(bytes, ((uint32_t)bytes[1] << 8 & 0xf000) | (value & 0xfff), 2);
	write_at(fd, begin + i * 3 / 2, bytes, 2);
}

static int make_volume(const struct make *m)
{
	int fd = memfd_create("fat", MFD_CLOEXEC);
	uint8_t boot[512] = { 0 };

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(BEGIN + m->volume_bytes + 1)), 0);
	put(boot + 11, m->sector, 2);
	boot[13] = (uint8_t)m->per_cluster;
	put(boot + 14, m->reserved, 2);
	boot[16] = (uint8_t)m->tables;
	put(boot + 17, m->root_entries, 2);
	if (m->sectors < 0x10000)
		put(boot + 19, m->sectors, 2);
	else
		put(boot + 32, m->sectors, 4);
	if (m->bits == 32)
		put(boot + 36, m->table_sectors, 4);
	else
		put(boot + 22, m->table_sectors, 2);
	write_at(fd, 0, boot, sizeof(boot));
	set_entry(fd, m, 0, 0, 0x0ffffff8);
	set_entry(fd, m, 0, 1, 0x0fffffff);
	return fd;
}

static enum fs_verdict look(int fd, uint64_t volume_bytes, struct used_spans *spans, char *why)
{
	const struct fs_volume volume = {
		.name = "disk", .fd = fd, .begin_bytes = BEGIN, .size_bytes = volume_bytes
	};
	struct bmap_error err;

	*spans = (struct used_spans){ 0 };
	why[0] = '\0';
	return fat_used(&volume, spans, why, &err);
}

static uint64_t data_begin(const struct make *m)
{
	return (m->reserved + m->tables * m->table_sectors +
		div_round_up(m->root_entries * 32u, m->sector)) *
	       m->sector;
}

static bool is_used(const struct used_spans *spans, uint64_t begin, uint64_t end)
{
	for (size_t i = 0; i < spans->count; i++)
		if (BEGIN + begin >= spans->items[i].begin_bytes &&
		    BEGIN + end <= spans->items[i].end_bytes)
			return true;
	return false;
}

static void clusters_with_an_entry_are_used(void **state)
{
	static const struct {
		const struct make *make;
		uint32_t end, bad;
	} cases[] = {
		{ &fat12, 0xfff, 0xff7 },
		{ &fat16, 0xffff, 0xfff7 },
		{ &fat32, 0x0fffffff, 0x0ffffff7 },
		{ &fat32, 0x1fffffff, 0xfffffff7 }, /* four bits that are nobody's */
		{ &large, 0xffff, 0xfff7 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct make *m = cases[i].make;
		uint64_t begin = data_begin(m), cluster = (uint64_t)m->per_cluster * m->sector;
		uint64_t clusters = (m->sectors - begin / m->sector) / m->per_cluster;
		/* Two in a row, one behind the first chunk where there is one, and the last. */
		uint64_t used[] = { 5, 6, clusters > 30000 ? 30001 : 9, clusters + 1 };
		struct used_spans spans;
		char why[FS_WHY_BYTES];
		int fd = make_volume(m);

		for (size_t k = 0; k < ARRAY_LEN(used); k++)
			set_entry(fd, m, 0, used[k], cases[i].end);
		set_entry(fd, m, 0, 12, cases[i].bad);
		set_entry(fd, m, 0, clusters + 2, cases[i].end); /* there is none of that number */
		if (m->tables > 1)
			set_entry(fd, m, 1, 20, cases[i].end); /* not the one in use */
		assert_int_equal(look(fd, m->volume_bytes, &spans, why), FS_FOUND);
		assert_true(is_used(&spans, 0, begin));
		for (size_t k = 0; k < ARRAY_LEN(used); k++)
			assert_true(is_used(&spans, begin + (used[k] - 2) * cluster,
					    begin + (used[k] - 1) * cluster));
		assert_true(is_used(&spans, begin + (clusters + 0) * cluster - 1, m->volume_bytes));
		assert_int_equal(spans.count, 4); /* the head, two in a row, one, and the last */
		used_spans_free(&spans);
		close(fd);
	}
}

static void the_table_in_use_may_be_another_one(void **state)
{
	uint64_t begin = data_begin(&fat32);
	struct used_spans spans;
	char why[FS_WHY_BYTES];
	int fd = make_volume(&fat32);

	(void)state;
	set_entry(fd, &fat32, 0, 10, 0x0fffffff);
	set_entry(fd, &fat32, 1, 1, 0x0fffffff);
	set_entry(fd, &fat32, 1, 20, 0x0fffffff);
	write_at(fd, 40, "\x81", 1);
	assert_int_equal(look(fd, fat32.volume_bytes, &spans, why), FS_FOUND);
	assert_true(is_used(&spans, begin + 18 * 512, begin + 19 * 512));
	assert_false(is_used(&spans, begin + 8 * 512, begin + 9 * 512));
	used_spans_free(&spans);
	close(fd);
}

static void what_cannot_be_trusted_is_taken_whole(void **state)
{
	static const struct {
		const struct make *make;
		uint64_t offset;
		const char *bytes;
		size_t len;
		const char *why;
	} cases[] = {
		{ &fat16, 11, "\0\0", 2, "broken" }, /* no sector size */
		{ &fat16, 11, "\0\x20", 2, "broken" }, /* 8 KiB */
		{ &fat16, 11, "\x01\x02", 2, "broken" },
		{ &fat16, 13, "\0", 1, "broken" },
		{ &fat16, 13, "\3", 1, "broken" },
		{ &fat16, 14, "\0\0", 2, "broken" },
		{ &fat16, 16, "\0", 1, "broken" },
		{ &fat16, 16, "\xff", 1, "do not fit" }, /* tables longer than all */
		{ &fat16, 19, "\xff\xff", 2, "do not fit" }, /* longer than the volume */
		{ &fat16, 19, "\1\0", 2, "do not fit" },
		{ &fat16, 22, "\1\0", 2, "too short" },
		{ &fat16, 22, "\xff\xff", 2, "do not fit" },
		{ &fat16, 37, "\1", 1, "cleanly" },
		{ &fat16, 4 * 512 + 3, "\x7f", 1, "cleanly" },
		{ &fat16, 4 * 512 + 3, "\xbf", 1, "errors" },
		{ &fat32, 17, "\1\0", 2, "broken" }, /* a root directory of FAT16 */
		{ &fat32, 36, "\0\0\0\0", 4, "broken" },
		{ &fat32, 36, "\xff\xff\xff\xff", 4, "do not fit" },
		{ &fat32, 40, "\x82", 1, "broken" }, /* the third of two tables */
		{ &fat32, 65, "\1", 1, "cleanly" },
		{ &fat32, 32 * 512 + 7, "\x07", 1, "cleanly" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct used_spans spans;
		char why[FS_WHY_BYTES];
		int fd = make_volume(cases[i].make);

		write_at(fd, cases[i].offset, cases[i].bytes, cases[i].len);
		assert_int_equal(look(fd, cases[i].make->volume_bytes, &spans, why), FS_WHOLE);
		if (!strstr(why, cases[i].why))
			fail_msg("case %zu: '%s' does not say '%s'", i, why, cases[i].why);
		used_spans_free(&spans);
		close(fd);
	}
}

static void a_file_that_ends_early_is_an_error(void **state)
{
	const struct fs_volume volume = { .name = "disk",
					  .begin_bytes = BEGIN,
					  .size_bytes = fat16.volume_bytes,
					  .fd = make_volume(&fat16) };
	struct used_spans spans = { 0 };
	char why[FS_WHY_BYTES];
	struct bmap_error err;

	(void)state;
	assert_int_equal(ftruncate(volume.fd, BEGIN + 3000), 0);
	assert_int_equal(fat_used(&volume, &spans, why, &err), FS_FAILED);
	assert_non_null(strstr(err.text, "disk: ends at"));
	used_spans_free(&spans);
	close(volume.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clusters_with_an_entry_are_used),
		cmocka_unit_test(the_table_in_use_may_be_another_one),
		cmocka_unit_test(what_cannot_be_trusted_is_taken_whole),
		cmocka_unit_test(a_file_that_ends_early_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

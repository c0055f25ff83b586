/* SPDX-License-Identifier: MIT */
#include "job/extents.h"
#include "base/checked.h"

#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit_test.h"

#define IMAGE_BYTES (16u * MIB + 100)

static void extents_become_ranges_of_blocks(void **state)
{
	static const struct {
		const char *why;
		uint64_t extents[4][2];
		size_t count;
		struct bmap_range want[3];
		size_t want_count;
		bool refused;
	} cases[] = {
		{ "none", { { 0 } }, 0, { { 0 } }, 0, false },
		{ "one", { { 0, 4096 } }, 1, { { 0, 0 } }, 1, false },
		{ "parts of blocks",
		  { { 100, 101 }, { 9000, 20000 } },
		  2,
		  { { 0, 0 }, { 2, 4 } },
		  2,
		  false },
		{ "touching",
		  { { 0, 4096 }, { 4096, 8192 }, { 12288, 12289 } },
		  3,
		  { { 0, 1 }, { 3, 3 } },
		  2,
		  false },
		{ "two in one block", { { 0, 10 }, { 20, 30 } }, 2, { { 0, 0 } }, 1, false },
		{ "one inside the last",
		  { { 0, 40960 }, { 4096, 8192 } },
		  2,
		  { { 0, 9 } },
		  1,
		  false },
		{ "over the end", { { 81920, UINT64_MAX } }, 1, { { 20, 24 } }, 1, false },
		{ "behind the end", { { 0, 1 }, { 100000, 200000 } }, 2, { { 0, 0 } }, 1, false },
		{ "empty", { { 8192, 8192 } }, 1, { { 0 } }, 0, true },
		{ "turned round", { { 8192, 4096 } }, 1, { { 0 } }, 0, true },
		{ "backwards", { { 40960, 45056 }, { 0, 4096 } }, 2, { { 0 } }, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct extents extents = { .block_size_bytes = 4096 };
		struct bmap_error err = { 0 };
		bool good = true;
		uint64_t mapped = 0;

		for (size_t k = 0; k < cases[i].count && good; k++)
			good = extents_add(&extents, "disk.img", cases[i].extents[k][0],
					   cases[i].extents[k][1], 100000, &err);
		if (good == cases[i].refused)
			fail_msg("%s", cases[i].why);
		if (good) {
			assert_int_equal(extents.count, cases[i].want_count);
			for (size_t k = 0; k < extents.count; k++) {
				assert_memory_equal(&extents.ranges[k], &cases[i].want[k],
						    sizeof(struct bmap_range));
				mapped += extents.ranges[k].last_block -
					  extents.ranges[k].first_block + 1;
			}
			assert_int_equal(extents.mapped_blocks, mapped);
		} else
			assert_non_null(strstr(err.text, "disk.img"));
		extents_free(&extents);
	}
}

static void many_extents_make_the_list_grow(void **state)
{
	struct extents extents = { .block_size_bytes = 512 };

	(void)state;
	for (uint64_t i = 0; i < 100000; i++)
		assert_true(extents_add(&extents, "x", i * 1024, i * 1024 + 512, UINT64_MAX, NULL));
	assert_int_equal(extents.count, 100000);
	assert_int_equal(extents.ranges[99999].first_block, 2 * 99999);
	extents_free(&extents);
}

/* Writes blocks 0, 5-6 and the end, preallocates 1 MiB at 4 MiB (if the file system can), and
 * leaves them in the page cache. */
static int make_image(const char *dir, bool *unwritten)
{
	char path[128];
	uint8_t data[8192];
	int fd;

	snprintf(path, sizeof(path), "%s/image", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	unlink(path);
	memset(data, 0x5a, sizeof(data));
	assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
	assert_int_equal(pwrite(fd, data, 10, 0), 10);
	assert_int_equal(pwrite(fd, data, 8192, 5 * 65536), 8192);
	assert_int_equal(pwrite(fd, data, 50, IMAGE_BYTES - 50), 50);
	*unwritten = !fallocate(fd, 0, 4 * MIB, MIB);
	return fd;
}

static bool is_mapped(const struct extents *extents, uint64_t offset)
{
	uint64_t block = offset / extents->block_size_bytes;

	for (size_t i = 0; i < extents->count; i++) {
		if (block >= extents->ranges[i].first_block &&
		    block <= extents->ranges[i].last_block)
			return true;
	}
	return false;
}

static void expect_image_mapped(const struct extents *extents, bool unwritten)
{
	assert_true(is_mapped(extents, 0));
	assert_true(is_mapped(extents, 5 * 65536));
	assert_true(is_mapped(extents, 5 * 65536 + 8191));
	assert_true(is_mapped(extents, IMAGE_BYTES - 1));
	assert_false(is_mapped(extents, 2 * MIB));
	assert_false(is_mapped(extents, 12 * MIB));
	if (unwritten) {
		assert_true(is_mapped(extents, 4 * MIB));
		assert_true(is_mapped(extents, 5 * MIB - 1));
	}
	assert_int_equal(extents->ranges[extents->count - 1].last_block,
			 (IMAGE_BYTES - 1) / extents->block_size_bytes);
}

static void check_image(int fd, bool unwritten, uint64_t block_bytes, bool has_fiemap)
{
	struct extents fiemap = { 0 }, seek = { 0 };
	struct bmap_error err = { 0 };

	if (!extents_read(&fiemap, fd, "image", IMAGE_BYTES, 0, NULL, &err))
		fail_msg("%s", err.text);
	if (block_bytes)
		assert_int_equal(fiemap.block_size_bytes, block_bytes);
	/* SEEK_DATA takes what is preallocated for a hole; without FIEMAP nothing tells better. */
	expect_image_mapped(&fiemap, unwritten && has_fiemap);
	seek.block_size_bytes = fiemap.block_size_bytes;
	assert_true(extents_by_seek(&seek, fd, "image", IMAGE_BYTES, &err));
	expect_image_mapped(&seek, false);
	extents_free(&seek);
	seek.block_size_bytes = fiemap.block_size_bytes;
	assert_int_equal(extents_by_fiemap(&seek, fd, "image", IMAGE_BYTES, &err), has_fiemap);
	if (!has_fiemap)
		assert_int_equal(err.code, BMAP_ERR_UNSUPPORTED);
	extents_free(&seek);
	extents_free(&fiemap);
	close(fd);
}

struct file_system {
	const char *type, *mkfs;
	uint64_t block_bytes;
};
static struct file_system file_systems[] = {
	{ "ext4", "mkfs.ext4 -q -F -b 1024", 1024 },
	{ "ext4", "mkfs.ext4 -q -F -b 4096", 4096 },
	{ "xfs", "mkfs.xfs -q -f -b size=1024", 1024 },
	{ "btrfs", "mkfs.btrfs -q -f", 4096 },
	{ "tmpfs", NULL, 4096 },
};

static void mount_and_check(const struct file_system *fs, const char *dir)
{
	char mnt[96], file[96], command[256];
	struct loop_device device = LOOP_DEVICE_INIT;
	const char *source = "tmpfs";
	bool unwritten = false;
	int rc, fd, mount_errno;

	snprintf(mnt, sizeof(mnt), "%s/mnt", dir);
	snprintf(file, sizeof(file), "%s/disk", dir);
	mkdir(mnt, 0700);
	if (fs->mkfs) {
		fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(ftruncate(fd, (off_t)400 * MIB), 0);
		close(fd);
		assert_true(loop_attach(&device, file, NULL));
		source = device.path;
		snprintf(command, sizeof(command), "%s %s >/dev/null 2>&1", fs->mkfs, source);
		rc = system(command);
		if (WIFEXITED(rc) && WEXITSTATUS(rc) == 127)
			printf("skipped: no %s here\n", fs->mkfs);
		else
			assert_int_equal(rc, 0);
	}
	rc = mount(source, mnt, fs->type, 0, NULL);
	mount_errno = errno;
	fd = rc ? -1 : make_image(mnt, &unwritten);
	/* At once: the open file keeps the file system, so that a failed test leaves no mount. */
	if (!rc)
		assert_int_equal(umount2(mnt, MNT_DETACH), 0);
	unlink(file);
	rmdir(mnt);
	rmdir(dir);
	if (rc) {
		printf("skipped: %s cannot be mounted: %s\n", fs->type, strerror(mount_errno));
		loop_detach(&device);
		skip();
	}
	check_image(fd, unwritten, fs->block_bytes, fs->mkfs != NULL);
	loop_detach(&device);
}

static void each_file_system_tells_where_data_is(void **state)
{
	char dir[] = "/var/tmp/extents_test.XXXXXX";

	if (loop_missing()) {
		printf("skipped: %s\n", loop_missing());
		skip();
	}
	assert_non_null(mkdtemp(dir));
	mount_and_check(*state, dir);
}

static void any_folder_works(void **state)
{
	bool unwritten;
	int fd;
	struct extents extents;
	struct bmap_error err = { 0 };

	(void)state;
	fd = make_image("/var/tmp", &unwritten);
	assert_true(extents_read(&extents, fd, "image", IMAGE_BYTES, 0, NULL, &err));
	assert_true(is_mapped(&extents, 0));
	extents_free(&extents);
	/* A smaller size: what is behind is left out. */
	assert_true(extents_read(&extents, fd, "image", 100, 0, NULL, &err));
	assert_int_equal(extents.mapped_blocks, 1);
	extents_free(&extents);
	close(fd);
}

static void a_bad_descriptor_is_an_error(void **state)
{
	struct extents extents;
	struct bmap_error err = { 0 };

	(void)state;
	assert_false(extents_read(&extents, -1, "image", 4096, 0, NULL, &err));
	assert_int_equal(err.errnum, EBADF);
	assert_null(extents.ranges);
}

static unsigned warnings;

static void count_warnings(void *user, enum bmap_log_level level, const char *text)
{
	(void)user;
	warnings += level == BMAP_LOG_WARNING && strstr(text, "mapped");
}

static void without_any_answer_all_is_mapped_and_said(void **state)
{
	struct bmap_log log = { .message = count_warnings };
	struct extents extents;
	int fd = open("/proc/self/maps", O_RDONLY); /* knows neither call */

	(void)state;
	warnings = 0;
	assert_true(extents_read(&extents, fd, "image", 10000, 0, &log, NULL));
	assert_int_equal(extents.count, 1);
	assert_int_equal(extents.mapped_blocks, div_round_up(10000, extents.block_size_bytes));
	assert_int_equal(warnings, 1);
	extents_free(&extents);
	close(fd);
}

#define ON(i)                                                                                      \
	{                                                                                          \
		"each_file_system_tells_where_data_is", each_file_system_tells_where_data_is,      \
			NULL, NULL, &file_systems[i]                                               \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extents_become_ranges_of_blocks),
		cmocka_unit_test(many_extents_make_the_list_grow),
		cmocka_unit_test(any_folder_works),
		cmocka_unit_test(a_bad_descriptor_is_an_error),
		cmocka_unit_test(without_any_answer_all_is_mapped_and_said),
		ON(0),
		ON(1),
		ON(2),
		ON(3),
		ON(4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

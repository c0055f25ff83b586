/* SPDX-License-Identifier: MIT */
#include "target_test_support.h"

#include "base/checked.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/dm-ioctl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL (4u * MIB)
#define FS_SIZE (64ull * MIB)

static const struct target_rules no_rules = { .image_size_bytes = UINT64_MAX };

static const char *partition_of(const struct loop_device *loop)
{
	static char path[48];

	snprintf(path, sizeof(path), "%sp1", loop->path);
	return path;
}

/* A disk with one partition that the kernel knows of. Skips where there can be none. */
static struct loop_device *partitioned(struct bench *b, uint64_t bytes, uint32_t block_bytes)
{
	struct loop_options options = { .block_bytes = block_bytes, .partitions = true };
	struct loop_device *loop;

	loop = bench_loop(b, "disk", bytes, &options);
	if (!bench_add_partition(loop, bytes) || access(partition_of(loop), F_OK)) {
		print_message("skipped: no partitions of loop devices here\n");
		skip();
	}
	return loop;
}

static void a_device_is_measured(void **state)
{
	struct bench *b = *state;

	for (uint32_t block_bytes = 512; block_bytes <= 4096; block_bytes *= 8) {
		struct loop_options options = { .block_bytes = block_bytes };
		struct loop_device *loop = bench_loop(b, "disk", SMALL, &options);
		struct target_rules rules = { .image_size_bytes = SMALL }; /* fits just so */
		struct target *t = &b->target;

		expect_opens(b, loop->path, &rules);
		assert_int_equal(t->kind, TARGET_BLOCK_DEVICE);
		assert_true(t->direct && t->has_size && t->withhold_head && t->needs_flush);
		assert_true(fcntl(t->fd, F_GETFL) & O_DIRECT);
		assert_int_equal(t->size_bytes, SMALL);
		assert_int_equal(t->align_bytes, block_bytes);
		assert_int_equal(t->memory_align_bytes, block_bytes);
		assert_int_equal(t->buffered_fd, -1);
		assert_true(t->max_request_bytes >= block_bytes && t->max_request_bytes <= MIB);
		assert_int_equal(t->max_request_bytes % block_bytes, 0);
		assert_true(t->tag_bytes >= t->max_request_bytes);
		assert_true(t->queue_tags >= 1 && t->queue_tags < 65536);
		assert_false(t->removable);
		assert_true(target_begin(t, SMALL, &b->log, &b->err));
		assert_true(target_end(t, true, SMALL, &b->log, &b->err));
		assert_null(strstr(b->lines, "page cache"));
		loop_detach(loop);
	}
}

/* A limit outlives the detaching of a loop device: whoever gets it next would be slow. */
static void restore_queue_limit(const char *path)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, "1280", 4) != 4)
		print_message("%s stays at 4\n", path);
	close(fd);
}

static void limits_of_the_queue_are_kept(void **state)
{
	static const struct {
		const char *max_sectors_kb, *why;
		size_t request, tag;
	} cases[] = {
		{ "120", "a slow card reader", 120 * KIB, 120 * KIB },
		{ "4", "the least", 4 * KIB, 4 * KIB },
	};
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 4096);
	char path[96];

	snprintf(path, sizeof(path), "/sys/block/%s/queue/max_sectors_kb", loop->name);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fd = open(path, O_WRONLY);
		size_t len = strlen(cases[i].max_sectors_kb);

		if (fd < 0 || write(fd, cases[i].max_sectors_kb, len) != (ssize_t)len) {
			print_message("skipped: %s cannot be set\n", path);
			skip();
		}
		close(fd);
		for (int part = 0; part < 2; part++) { /* a partition has its disk's queue */
			expect_opens(b, part ? partition_of(loop) : loop->path, &no_rules);
			assert_int_equal(b->target.max_request_bytes, cases[i].request);
			assert_int_equal(b->target.tag_bytes, cases[i].tag);
			target_end(&b->target, false, 0, NULL, NULL);
		}
	}
	restore_queue_limit(path);
}

static void an_image_one_sector_too_large_is_refused_with_both_sizes(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", SMALL, NULL);
	struct target_rules rules = { .image_size_bytes = SMALL + 512 };

	EXPECT_REFUSED(b, loop->path, &rules, BMAP_ERR_REFUSED,
		       "image needs 4194816 bytes (4.0 MiB)", "device has 4194304 bytes");
	rules.image_size_bytes = SMALL + 1;
	EXPECT_REFUSED(b, loop->path, &rules, BMAP_ERR_REFUSED, "4194305");
}

static void a_read_only_device_is_refused(void **state)
{
	struct bench *b = *state;
	struct loop_options options = { .read_only = true };
	struct loop_device *loop = bench_loop(b, "disk", SMALL, &options);

	EXPECT_REFUSED(b, loop->path, &no_rules, BMAP_ERR_REFUSED, "read-only", "blockdev --setrw");
}

static void a_drive_without_a_medium_is_refused(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", SMALL, NULL);
	char path[32];

	strcpy(path, loop->path);
	loop_detach(loop);
	if (target_open(&b->target, path, &no_rules, &b->log, &b->err)) {
		print_message("skipped: %s was taken by another program\n", path);
		skip();
	}
	expect_text(b->err.text, "medium");
}

static void a_mounted_device_is_refused_by_every_name(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", FS_SIZE, NULL);
	const char *link = bench_path(b, "link"), *node = bench_path(b, "node");
	struct stat st;

	mkdir(bench_path(b, "a mount"), 0755);
	if (!bench_run((const char *const[]){ "mkfs.ext4", "-F", loop->path, NULL }) ||
	    mount(loop->path, bench_path(b, "a mount"), "ext4", 0, NULL)) {
		print_message("skipped: cannot make and mount an ext4 file system\n");
		skip();
	}
	strcpy(b->mounted, bench_path(b, "a mount"));
	assert_int_equal(symlink(loop->path, link), 0);
	assert_int_equal(stat(loop->path, &st), 0);
	assert_int_equal(mknod(node, S_IFBLK | 0600, st.st_rdev), 0);
	EXPECT_REFUSED(b, loop->path, &no_rules, BMAP_ERR_REFUSED, "mounted", b->mounted,
		       "unmount");
	EXPECT_REFUSED(b, link, &no_rules, BMAP_ERR_REFUSED, loop->name, b->mounted);
	EXPECT_REFUSED(b, node, &no_rules, BMAP_ERR_REFUSED, loop->name, b->mounted);
	assert_int_equal(umount(b->mounted), 0);
	b->mounted[0] = '\0';
	expect_opens(b, link, &no_rules);
}

static void a_mounted_partition_keeps_itself_and_its_disk(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, 2 * FS_SIZE, 512);
	const char *part = partition_of(loop);

	mkdir(bench_path(b, "mnt"), 0755);
	if (!bench_run((const char *const[]){ "mkfs.ext4", "-F", part, NULL }) ||
	    mount(part, bench_path(b, "mnt"), "ext4", 0, NULL)) {
		print_message("skipped: cannot make and mount an ext4 file system\n");
		skip();
	}
	strcpy(b->mounted, bench_path(b, "mnt"));
	EXPECT_REFUSED(b, loop->path, &no_rules, BMAP_ERR_REFUSED, "mounted", part + 5, b->mounted);
	EXPECT_REFUSED(b, part, &no_rules, BMAP_ERR_REFUSED, "mounted", b->mounted);
}

/* btrfs mounts have a device number of their own. */
static void a_mounted_btrfs_is_recognised_by_its_source(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", 2 * FS_SIZE, NULL);

	mkdir(bench_path(b, "mnt"), 0755);
	if (!bench_run((const char *const[]){ "mkfs.btrfs", "-f", loop->path, NULL }) ||
	    mount(loop->path, bench_path(b, "mnt"), "btrfs", 0, NULL)) {
		print_message("skipped: cannot make and mount a btrfs file system\n");
		skip();
	}
	strcpy(b->mounted, bench_path(b, "mnt"));
	EXPECT_REFUSED(b, loop->path, &no_rules, BMAP_ERR_REFUSED, "mounted", b->mounted);
}

static void swap_space_is_refused(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", SMALL, NULL);

	if (!bench_run((const char *const[]){ "mkswap", loop->path, NULL }) ||
	    swapon(loop->path, 0)) {
		print_message("skipped: swap cannot be turned on: %s\n", strerror(errno));
		skip();
	}
	strcpy(b->swap, loop->path);
	EXPECT_REFUSED(b, loop->path, &no_rules, BMAP_ERR_REFUSED, "swap", loop->name, "swapoff");
}

static void a_device_that_another_program_holds_is_refused(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512);

	b->held = open(loop->path, O_RDONLY | O_EXCL | O_CLOEXEC);
	EXPECT_REFUSED(b, loop->path, &no_rules, BMAP_ERR_REFUSED, "another program");
	EXPECT_REFUSED(b, partition_of(loop), &no_rules, BMAP_ERR_REFUSED, "another program");
	close(b->held);
	b->held = open(partition_of(loop), O_RDONLY | O_EXCL | O_CLOEXEC);
	EXPECT_REFUSED(b, loop->path, &no_rules, BMAP_ERR_REFUSED, "another program");
}

static void two_partitions_can_be_opened_and_are_one_disk(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 4096);
	struct loop_device *other = bench_loop(b, "other", SMALL, NULL);
	struct target second;

	expect_opens(b, partition_of(loop), &no_rules);
	assert_int_equal(b->target.size_bytes, SMALL / 2);
	assert_int_equal(b->target.align_bytes, 4096);
	assert_true(b->target.device != b->target.whole_disk);
	assert_true(target_same_device(&b->target, &b->target));
	assert_true(target_open(&second, other->path, &no_rules, NULL, NULL));
	assert_false(target_same_device(&b->target, &second));
	target_end(&second, false, 0, NULL, NULL);
	assert_true(target_open(&second, bench_path(b, "disk"), &no_rules, NULL, NULL));
	assert_true(target_same_device(&b->target, &second)); /* the file behind the device */
	target_end(&second, false, 0, NULL, NULL);
}

static void the_image_behind_a_loop_device_is_refused(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512), *upper;
	const char *sources[2] = { bench_path(b, "bmap"), bench_path(b, "disk") };
	struct target_rules rules = { .image_size_bytes = UINT64_MAX,
				      .sources = sources,
				      .source_count = 2 };

	EXPECT_REFUSED(b, loop->path, &rules, BMAP_ERR_REFUSED, "same disk or file", sources[1]);
	EXPECT_REFUSED(b, partition_of(loop), &rules, BMAP_ERR_REFUSED, sources[1]);
	/* A loop device over the loop device. */
	upper = &b->loops[1];
	assert_true(loop_attach(upper, loop->path, NULL));
	EXPECT_REFUSED(b, upper->path, &rules, BMAP_ERR_REFUSED, sources[1]);
}

static void a_device_as_image_is_refused_with_its_disk_and_what_stands_on_it(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512), *upper = &b->loops[1], *other;
	const char *sources[1] = { partition_of(loop) };
	struct target_rules rules = { .image_size_bytes = UINT64_MAX,
				      .sources = sources,
				      .source_count = 1 };

	EXPECT_REFUSED(b, loop->path, &rules, BMAP_ERR_REFUSED, sources[0]);
	EXPECT_REFUSED(b, sources[0], &rules, BMAP_ERR_REFUSED, sources[0]);
	EXPECT_REFUSED(b, bench_path(b, "disk"), &rules, BMAP_ERR_REFUSED, sources[0]);
	assert_true(loop_attach(upper, loop->path, NULL));
	EXPECT_REFUSED(b, upper->path, &rules, BMAP_ERR_REFUSED, sources[0]);
	other = bench_loop(b, "other", SMALL, NULL);
	expect_opens(b, other->path, &rules);
}

static bool dm(int control, unsigned long request, struct dm_ioctl *head, size_t size)
{
	head->version[0] = DM_VERSION_MAJOR;
	head->data_size = (uint32_t)size;
	head->data_start = sizeof(*head);
	strcpy(head->name, "bmap-target-test");
	return !ioctl(control, request, head);
}

/* A linear mapping over the device; false where there is no device mapper. */
static bool dm_create(int control, const char *device, uint64_t sectors)
{
	struct {
		struct dm_ioctl head;
		struct dm_target_spec spec;
		char parameters[64];
	} request = { .spec = { .length = sectors, .target_type = "linear" } };

	if (!dm(control, DM_DEV_CREATE, &request.head, sizeof(request)))
		return false;
	request.head = (struct dm_ioctl){ .target_count = 1 };
	snprintf(request.parameters, sizeof(request.parameters), "%s 0", device);
	request.spec.next = sizeof(request.spec) + sizeof(request.parameters);
	if (!dm(control, DM_TABLE_LOAD, &request.head, sizeof(request)))
		return false;
	request.head = (struct dm_ioctl){ 0 };
	return dm(control, DM_DEV_SUSPEND, &request.head, sizeof(request));
}

static void dm_remove(int control)
{
	struct dm_ioctl head = { 0 };

	dm(control, DM_DEV_REMOVE, &head, sizeof(head));
}

static void a_device_under_a_mapping_is_refused_with_the_mappings_name(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", SMALL, NULL);
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	bool made = control >= 0 && dm_create(control, loop->path, SMALL / 512), refused = false;

	if (made)
		refused = !target_open(&b->target, loop->path, &no_rules, &b->log, &b->err);
	if (control >= 0) {
		dm_remove(control);
		close(control);
	}
	if (!made) {
		print_message("skipped: no device mapper here\n");
		skip();
	}
	assert_true(refused);
	expect_text(b->err.text, "bmap-target-test");
}

static void a_fixed_disk_is_refused_if_only_removable_ones_are_allowed(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512);
	struct target_rules rules = { .image_size_bytes = UINT64_MAX, .removable_only = true };

	EXPECT_REFUSED(b, loop->path, &rules, BMAP_ERR_REFUSED, "removable", loop->name);
	EXPECT_REFUSED(b, partition_of(loop), &rules, BMAP_ERR_REFUSED, "removable");
}

static void the_whole_disk_is_locked_while_it_is_written(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512);
	/* The disk second: its table is read again then, and the partition is gone. */
	const char *names[] = { partition_of(loop), loop->path };

	b->held = open(loop->path, O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		expect_opens(b, names[i], &no_rules);
		assert_int_equal(flock(b->held, LOCK_EX | LOCK_NB), 0);
		flock(b->held, LOCK_UN);
		assert_true(target_begin(&b->target, SMALL, &b->log, &b->err));
		assert_int_equal(flock(b->held, LOCK_SH | LOCK_NB), -1);
		assert_true(target_end(&b->target, true, SMALL, &b->log, &b->err));
		assert_int_equal(flock(b->held, LOCK_EX | LOCK_NB), 0);
		flock(b->held, LOCK_UN);
	}
}

static void a_disk_that_stays_locked_is_refused_after_seconds(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", SMALL, NULL);
	uint64_t begin_ns = clock_now_ns();

	b->held = open(loop->path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(b->held, LOCK_SH), 0);
	expect_opens(b, loop->path, &no_rules);
	assert_false(target_begin(&b->target, SMALL, &b->log, &b->err));
	assert_true(clock_now_ns() - begin_ns > 2 * NS_PER_S);
	expect_text(b->err.text, "locked");
}

static bool said_at_info_or_above(const struct bench *b)
{
	for (const char *line = b->lines; *line; line = strchr(line, '\n') + 1)
		if (line[0] - '0' <= BMAP_LOG_INFO)
			return true;
	return false;
}

static void the_partition_table_is_read_again_after_success_only(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512);

	for (int good = 0; good < 2; good++) {
		expect_opens(b, loop->path, &no_rules);
		assert_true(target_begin(&b->target, SMALL, &b->log, &b->err));
		assert_true(target_end(&b->target, good, SMALL, &b->log, &b->err));
		assert_int_equal(access(partition_of(loop), F_OK), good ? -1 : 0);
	}
	assert_string_equal(b->lines, "");
}

static void the_table_of_a_disk_is_left_alone_after_its_partition_was_written(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512);

	expect_opens(b, partition_of(loop), &no_rules);
	assert_true(target_begin(&b->target, SMALL / 2, &b->log, &b->err));
	assert_true(target_end(&b->target, true, SMALL / 2, &b->log, &b->err));
	assert_int_equal(access(partition_of(loop), F_OK), 0);
	assert_string_equal(b->lines, "");
}

/* A child of its own holds a partition open for so long. */
static void hold_partition(const struct loop_device *loop, unsigned ms)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	if (!fork()) {
		if (open(partition_of(loop), O_RDONLY) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		usleep(ms * 1000);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
}

static void a_partition_that_is_open_is_waited_for(void **state)
{
	static const struct {
		unsigned ms;
		bool gone;
	} cases[] = { { 400, true }, { 6000, false } };
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		expect_opens(b, loop->path, &no_rules);
		assert_true(target_begin(&b->target, SMALL, &b->log, &b->err));
		hold_partition(loop, cases[i].ms);
		assert_true(target_end(&b->target, true, SMALL, &b->log, &b->err));
		assert_int_equal(access(partition_of(loop), F_OK), cases[i].gone ? -1 : 0);
		assert_int_equal(said_at_info_or_above(b), !cases[i].gone);
		if (cases[i].gone)
			assert_true(bench_add_partition(loop, SMALL));
		else
			expect_text(b->lines, "old partitions");
		wait(NULL);
	}
}

/* Loop devices that were not told to scan answer EINVAL: nothing that a user has to read. */
static void a_device_without_partitions_ends_without_a_message(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", SMALL, NULL);

	expect_opens(b, loop->path, &no_rules);
	assert_true(target_begin(&b->target, SMALL, &b->log, &b->err));
	assert_true(target_end(&b->target, true, SMALL, &b->log, &b->err));
	assert_false(said_at_info_or_above(b));
}

static bool nobody_writes(struct bench *b, const char *path, const char *other)
{
	void *block = NULL;

	if (setgroups(0, NULL) || setgid(65534) || setuid(65534) ||
	    posix_memalign(&block, 4096, 4096))
		return false;
	memset(block, 'n', 4096);
	return target_open(&b->target, path, &no_rules, &b->log, &b->err) &&
	       b->target.queue_tags < 65536 /* sysfs was read */ &&
	       target_begin(&b->target, SMALL, &b->log, &b->err) &&
	       pwrite(b->target.fd, block, 4096, 0) == 4096 &&
	       target_end(&b->target, true, SMALL, &b->log, &b->err) &&
	       !target_open(&b->target, other, &no_rules, &b->log, &b->err) &&
	       b->err.errnum == EACCES;
}

static void an_ordinary_user_with_access_to_the_node_can_write(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = partitioned(b, SMALL, 512);
	const char *part = partition_of(loop);
	int status;
	pid_t child;

	for (int whole = 0; whole < 2; whole++) { /* of a partition the disk stays closed */
		const char *mine = whole ? loop->path : part, *other = whole ? part : loop->path;

		assert_int_equal(chown(mine, 65534, 65534), 0);
		child = fork();
		if (!child) {
			bool ok = nobody_writes(b, mine, other);

			if (!ok)
				fprintf(stderr, "in the child: %s\n%s", b->err.text, b->lines);
			_exit(ok ? 0 : 1);
		}
		waitpid(child, &status, 0);
		assert_int_equal(chown(mine, 0, 6), 0);
		assert_int_equal(status, 0);
	}
}

static void an_abandoned_device_stays_open_and_locked(void **state)
{
	struct bench *b = *state;
	struct loop_device *loop = bench_loop(b, "disk", SMALL, NULL);
	int fd, lock_fd;

	expect_opens(b, loop->path, &no_rules);
	assert_true(target_begin(&b->target, SMALL, &b->log, &b->err));
	fd = b->target.fd;
	lock_fd = b->target.whole_disk_fd;
	target_abandon(&b->target);
	assert_true(fcntl(fd, F_GETFD) >= 0 && fcntl(lock_fd, F_GETFD) >= 0);
	assert_true(target_end(&b->target, false, 0, NULL, NULL));
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	close(lock_fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_device_is_measured),
		TEST(limits_of_the_queue_are_kept),
		TEST(an_image_one_sector_too_large_is_refused_with_both_sizes),
		TEST(a_read_only_device_is_refused),
		TEST(a_drive_without_a_medium_is_refused),
		TEST(a_mounted_device_is_refused_by_every_name),
		TEST(a_mounted_partition_keeps_itself_and_its_disk),
		TEST(a_mounted_btrfs_is_recognised_by_its_source),
		TEST(swap_space_is_refused),
		TEST(a_device_that_another_program_holds_is_refused),
		TEST(two_partitions_can_be_opened_and_are_one_disk),
		TEST(the_image_behind_a_loop_device_is_refused),
		TEST(a_device_as_image_is_refused_with_its_disk_and_what_stands_on_it),
		TEST(a_device_under_a_mapping_is_refused_with_the_mappings_name),
		TEST(a_fixed_disk_is_refused_if_only_removable_ones_are_allowed),
		TEST(the_whole_disk_is_locked_while_it_is_written),
		TEST(a_disk_that_stays_locked_is_refused_after_seconds),
		TEST(the_partition_table_is_read_again_after_success_only),
		TEST(the_table_of_a_disk_is_left_alone_after_its_partition_was_written),
		TEST(a_partition_that_is_open_is_waited_for),
		TEST(a_device_without_partitions_ends_without_a_message),
		TEST(an_ordinary_user_with_access_to_the_node_can_write),
		TEST(an_abandoned_device_stays_open_and_locked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

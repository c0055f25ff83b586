/* SPDX-License-Identifier: MIT */
#include "target_test_support.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct target_rules no_rules = { .image_size_bytes = UINT64_MAX };

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? UINT64_MAX : (uint64_t)st.st_size;
}

static void write_block(struct bench *b)
{
	void *block = NULL;

	assert_int_equal(posix_memalign(&block, 4096, 4096), 0);
	memset(block, 'n', 4096);
	assert_int_equal(pwrite(b->target.fd, block, 4096, 4096), 4096);
	free(block);
}

static void a_new_file_is_created_only_when_it_begins_and_gets_its_size(void **state)
{
	struct bench *b = *state;
	const char *path = bench_path(b, "new.img");

	expect_opens(b, path, &no_rules);
	assert_int_equal(size_of(path), UINT64_MAX);
	assert_true(target_begin(&b->target, 10000, &b->log, &b->err));
	assert_int_equal(size_of(path), 10000);
	assert_true(b->target.created && b->target.needs_flush && !b->target.withhold_head);
	assert_false(b->target.has_size);
	write_block(b);
	assert_true(target_end(&b->target, true, 10000, &b->log, &b->err));
	assert_int_equal(size_of(path), 10000);
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err)); /* idempotent */
	assert_int_equal(size_of(path), 10000);
}

static void a_size_that_was_not_known_is_set_at_the_end(void **state)
{
	struct bench *b = *state;
	const char *path = bench_file(b, "old.img", 100000);

	expect_opens(b, path, &no_rules);
	assert_true(target_begin(&b->target, UINT64_MAX, &b->log, &b->err));
	assert_int_equal(size_of(path), 0);
	write_block(b);
	assert_true(target_end(&b->target, true, 9001, &b->log, &b->err));
	assert_int_equal(size_of(path), 9001);
}

static void an_existing_file_is_kept_until_it_begins_and_emptied_on_failure(void **state)
{
	struct bench *b = *state;
	const char *path = bench_file(b, "old.img", 100000);

	expect_opens(b, path, &no_rules);
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
	assert_int_equal(size_of(path), 100000); /* never begun */
	expect_opens(b, path, &no_rules);
	assert_true(target_begin(&b->target, 20000, &b->log, &b->err));
	assert_int_equal(size_of(path), 20000);
	assert_false(b->target.created);
	write_block(b);
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
	assert_int_equal(size_of(path), 0);
}

static void nothing_of_the_old_content_is_left_in_the_new_file(void **state)
{
	struct bench *b = *state;
	const char *path = bench_file(b, "old.img", 8192);
	char block[512], zeros[512] = { 0 };
	int fd;

	expect_opens(b, path, &no_rules);
	assert_true(target_begin(&b->target, 8192, &b->log, &b->err));
	assert_true(target_end(&b->target, true, 8192, &b->log, &b->err));
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, block, sizeof(block)), sizeof(block));
	close(fd);
	assert_memory_equal(block, zeros, sizeof(block));
}

static void a_created_file_is_removed_on_failure(void **state)
{
	struct bench *b = *state;
	const char *path = bench_path(b, "new.img");

	expect_opens(b, path, &no_rules);
	assert_true(target_begin(&b->target, 20000, &b->log, &b->err));
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
	assert_int_equal(size_of(path), UINT64_MAX);
}

static void a_file_that_took_the_place_of_the_created_one_is_not_removed(void **state)
{
	struct bench *b = *state;
	const char *path = bench_path(b, "new.img");

	expect_opens(b, path, &no_rules);
	assert_true(target_begin(&b->target, 20000, &b->log, &b->err));
	assert_int_equal(rename(bench_file(b, "other", 77), path), 0);
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
	assert_int_equal(size_of(path), 77);
}

static void a_file_that_appeared_since_the_checks_is_not_taken(void **state)
{
	struct bench *b = *state;
	const char *path = bench_path(b, "new.img");

	expect_opens(b, path, &no_rules);
	bench_file(b, "new.img", 77);
	assert_false(target_begin(&b->target, 20000, &b->log, &b->err));
	expect_text(b->err.text, "exists");
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
	assert_int_equal(size_of(path), 77);
}

static void links_lead_to_the_file_and_stay(void **state)
{
	struct bench *b = *state;
	const char *real = bench_path(b, "real.img");
	const char *link = bench_path(b, "link"), *link2 = bench_path(b, "link2");
	struct stat st;

	assert_int_equal(symlink("link2", link), 0);
	assert_int_equal(symlink(real, link2), 0);
	for (int exists = 0; exists < 2; exists++) {
		expect_opens(b, link, &no_rules);
		assert_true(target_begin(&b->target, 5000, &b->log, &b->err));
		assert_int_equal(b->target.created, !exists);
		assert_true(target_end(&b->target, true, 5000, &b->log, &b->err));
		assert_int_equal(size_of(real), 5000);
		assert_true(!lstat(link, &st) && S_ISLNK(st.st_mode));
	}
	unlink(real);
	expect_opens(b, link, &no_rules);
	assert_true(target_begin(&b->target, 5000, &b->log, &b->err));
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
	assert_true(!lstat(link, &st) && !lstat(link2, &st));
	assert_int_equal(size_of(real), UINT64_MAX);
}

static void names_that_cannot_be_files_are_refused(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *fifo = bench_path(b, "fifo"), *loop = bench_path(b, "circle");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	mkfifo(fifo, 0600);
	assert_int_equal(symlink("circle", loop), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", b->dir);
	assert_int_equal(bind(fd, (void *)&address, sizeof(address)), 0);
	close(fd);
	EXPECT_REFUSED(b, b->dir, &no_rules, BMAP_ERR_IO, "directory");
	EXPECT_REFUSED(b, fifo, &no_rules, BMAP_ERR_REFUSED, "pipe");
	EXPECT_REFUSED(b, address.sun_path, &no_rules, BMAP_ERR_REFUSED, "socket");
	EXPECT_REFUSED(b, loop, &no_rules, BMAP_ERR_IO, "symbolic links");
	EXPECT_REFUSED(b, bench_path(b, "absent/x.img"), &no_rules, BMAP_ERR_NOT_FOUND, "absent");
	EXPECT_REFUSED(b, bench_path(b, "absent/"), &no_rules, BMAP_ERR_IO, "directory");
	EXPECT_REFUSED(b, bench_path(b, "fifo/x"), &no_rules, BMAP_ERR_IO, "directory");
	EXPECT_REFUSED(b, "", &no_rules, BMAP_ERR_NOT_FOUND, "cannot open");
}

static void only_devices_are_written_in_dev_unless_allowed(void **state)
{
	struct bench *b = *state;
	struct target_rules allowing = no_rules;
	const char *link = bench_path(b, "link"), *folder = bench_path(b, "folder");
	const char *shm = "/dev/shm/target_test_new.img";
	char mistyped[64];
	int here = open(".", O_RDONLY | O_DIRECTORY);

	allowing.allow_dev_files = true;
	snprintf(mistyped, sizeof(mistyped), "/dev/sdzzz%d", (int)getpid());
	assert_int_equal(symlink(mistyped, link), 0);
	assert_int_equal(symlink("/dev", folder), 0);
	EXPECT_REFUSED(b, mistyped, &no_rules, BMAP_ERR_REFUSED, "mistyped", "--allow-dev-files");
	EXPECT_REFUSED(b, link, &no_rules, BMAP_ERR_REFUSED, "mistyped");
	EXPECT_REFUSED(b, bench_path(b, "folder/sdq9"), &no_rules, BMAP_ERR_REFUSED, "mistyped");
	assert_int_equal(chdir("/dev"), 0);
	EXPECT_REFUSED(b, "sdq9", &no_rules, BMAP_ERR_REFUSED, "mistyped");
	EXPECT_REFUSED(b, "../tmp/../dev/sdq9", &no_rules, BMAP_ERR_REFUSED, "mistyped");
	assert_int_equal(fchdir(here), 0);
	close(here);
	if (!access("/dev/shm", W_OK)) { /* another file system */
		expect_opens(b, shm, &no_rules);
		assert_true(target_begin(&b->target, 5000, &b->log, &b->err));
		assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
		assert_int_equal(size_of(shm), UINT64_MAX);
	}
	if (access("/dev", W_OK)) {
		print_message("the rest skipped: /dev cannot be written by this user\n");
		skip();
	}
	expect_opens(b, mistyped, &allowing);
	assert_true(target_begin(&b->target, 5000, &b->log, &b->err));
	EXPECT_REFUSED(&(struct bench){ .log = b->log }, mistyped, &no_rules, BMAP_ERR_REFUSED,
		       "mistyped"); /* it exists now, and is no device */
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
	assert_int_equal(size_of(mistyped), UINT64_MAX);
}

static void the_image_and_its_bmap_are_refused_by_any_name(void **state)
{
	struct bench *b = *state;
	const char *image = bench_file(b, "disk.img", 5000);
	const char *bmap = bench_file(b, "disk.bmap", 300);
	const char *hard = bench_path(b, "hard"), *soft = bench_path(b, "soft");
	const char *sources[] = { NULL, "-", image, bmap, "/absent" };
	struct target_rules rules = { .image_size_bytes = 5000,
				      .sources = sources,
				      .source_count = ARRAY_LEN(sources) };

	assert_int_equal(link(image, hard), 0);
	assert_int_equal(symlink("disk.bmap", soft), 0);
	EXPECT_REFUSED(b, image, &rules, BMAP_ERR_REFUSED, "what is to be read");
	EXPECT_REFUSED(b, bmap, &rules, BMAP_ERR_REFUSED, bmap);
	EXPECT_REFUSED(b, hard, &rules, BMAP_ERR_REFUSED, image);
	EXPECT_REFUSED(b, soft, &rules, BMAP_ERR_REFUSED, bmap);
	assert_int_equal(size_of(image), 5000);
	assert_int_equal(size_of(bmap), 300);
	expect_opens(b, bench_file(b, "other", 1), &rules);
}

static void the_file_on_standard_input_is_refused(void **state)
{
	struct bench *b = *state;
	const char *image = bench_file(b, "disk.img", 5000), *sources[] = { "-" };
	struct target_rules rules = { .image_size_bytes = UINT64_MAX,
				      .sources = sources,
				      .source_count = 1 };
	int saved = dup(STDIN_FILENO), fd = open(image, O_RDONLY);
	bool opened;

	dup2(fd, STDIN_FILENO);
	opened = target_open(&b->target, image, &rules, &b->log, &b->err);
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(fd);
	assert_false(opened);
	assert_int_equal(b->err.code, BMAP_ERR_REFUSED);
}

static void the_file_behind_a_loop_device_that_is_the_image_is_refused(void **state)
{
	struct bench *b = *state;
	const char *sources[1];
	struct target_rules rules = { .image_size_bytes = UINT64_MAX,
				      .sources = sources,
				      .source_count = 1 };

	sources[0] = bench_loop(b, "backing", MIB, NULL)->path;
	EXPECT_REFUSED(b, bench_path(b, "backing"), &rules, BMAP_ERR_REFUSED, sources[0]);
}

static void only_removable_devices_are_written_if_so_asked(void **state)
{
	struct bench *b = *state;
	struct target_rules rules = no_rules;

	rules.removable_only = true;
	EXPECT_REFUSED(b, bench_path(b, "new.img"), &rules, BMAP_ERR_REFUSED, "removable");
	EXPECT_REFUSED(b, bench_file(b, "old.img", 1), &rules, BMAP_ERR_REFUSED, "removable");
	EXPECT_REFUSED(b, "/dev/null", &rules, BMAP_ERR_REFUSED, "removable");
	assert_int_equal(size_of(bench_path(b, "old.img")), 1);
}

static void dev_null_takes_everything(void **state)
{
	struct bench *b = *state;
	struct target_rules rules = { .image_size_bytes = 1ull << 50 };

	expect_opens(b, "/dev/null", &rules);
	assert_int_equal(b->target.kind, TARGET_CHARACTER_DEVICE);
	assert_false(b->target.needs_flush || b->target.has_size || b->target.withhold_head);
	assert_true(target_begin(&b->target, 1ull << 50, &b->log, &b->err));
	assert_int_equal(pwrite(b->target.fd, "x", 1, 12345), 1);
	assert_true(target_end(&b->target, true, 0, &b->log, &b->err));
	assert_string_equal(b->lines, "");
}

/* In a child, since limits and users cannot be taken back. */
static bool in_child(bool (*check)(struct bench *), struct bench *b)
{
	pid_t child = fork();
	int status;

	if (!child) {
		bool ok = check(b);

		if (!ok)
			fprintf(stderr, "in the child: %s\n", b->err.text);
		_exit(ok ? 0 : 1);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool file_size_limit_is_an_error(struct bench *b)
{
	const struct rlimit limit = { .rlim_cur = 1 << 20, .rlim_max = 1 << 20 };
	struct target_rules rules = { .image_size_bytes = (1 << 20) + 1 };

	setrlimit(RLIMIT_FSIZE, &limit); /* and SIGXFSZ stays what kills the process */
	return !target_open(&b->target, bench_path(b, "new.img"), &rules, &b->log, &b->err) &&
	       b->err.errnum == EFBIG && strstr(b->err.text, "ulimit -f") &&
	       target_open(&b->target, bench_path(b, "new.img"), &no_rules, &b->log, &b->err) &&
	       !target_begin(&b->target, 1 << 30, &b->log, &b->err) && b->err.errnum == EFBIG &&
	       target_end(&b->target, false, 0, &b->log, &b->err) &&
	       size_of(bench_path(b, "new.img")) == UINT64_MAX;
}

static void a_limit_on_file_sizes_is_an_error_and_no_signal(void **state)
{
	assert_true(in_child(file_size_limit_is_an_error, *state));
}

static void an_image_larger_than_any_file_is_an_error(void **state)
{
	struct bench *b = *state;
	struct target_rules rules = { .image_size_bytes = (uint64_t)INT64_MAX + 1 };

	EXPECT_REFUSED(b, bench_path(b, "new.img"), &rules, BMAP_ERR_IO, "large");
	expect_opens(b, bench_path(b, "new.img"), &no_rules);
	assert_false(target_begin(&b->target, INT64_MAX, &b->log, &b->err)); /* EFBIG on ext4 */
	assert_true(target_end(&b->target, false, 0, &b->log, &b->err));
	assert_int_equal(size_of(bench_path(b, "new.img")), UINT64_MAX);
}

static bool permissions_are_checked_first(struct bench *b)
{
	const char *file = bench_path(b, "root/write-only.img");

	if (setgid(65534) || setuid(65534))
		return false;
	return !target_open(&b->target, bench_path(b, "root/x.img"), &no_rules, NULL, &b->err) &&
	       b->err.errnum == EACCES && strstr(b->err.text, "cannot create a file in") &&
	       !target_open(&b->target, bench_path(b, "root/read-only.img"), &no_rules, NULL,
			    &b->err) &&
	       b->err.errnum == EACCES &&
	       target_open(&b->target, file, &no_rules, &b->log, &b->err) &&
	       target_begin(&b->target, 5000, &b->log, &b->err) && !b->target.direct &&
	       target_end(&b->target, true, 5000, &b->log, &b->err) && size_of(file) == 5000;
}

static void an_ordinary_user_is_told_before_anything_changes(void **state)
{
	struct bench *b = *state;

	if (geteuid()) {
		print_message("skipped: needs root to become another user\n");
		skip();
	}
	chmod(b->dir, 0755);
	mkdir(bench_path(b, "root"), 0755);
	bench_file(b, "root/read-only.img", 10);
	bench_file(b, "root/write-only.img", 10);
	chmod(bench_path(b, "root/write-only.img"), 0222);
	assert_true(in_child(permissions_are_checked_first, b));
	assert_int_equal(size_of(bench_path(b, "root/read-only.img")), 10);
}

static void targets_that_are_one_file_are_recognised(void **state)
{
	struct bench *b = *state;
	const char *path = bench_path(b, "new.img"), *link = bench_path(b, "link");
	const char *other = bench_path(b, "other.img");
	struct target second = { 0 };

	assert_int_equal(symlink("new.img", link), 0);
	for (int exists = 0; exists < 2; exists++) {
		expect_opens(b, path, &no_rules);
		assert_true(target_open(&second, link, &no_rules, &b->log, &b->err));
		assert_true(target_same_device(&b->target, &second));
		target_end(&second, false, 0, NULL, NULL);
		assert_true(target_open(&second, other, &no_rules, &b->log, &b->err));
		assert_false(target_same_device(&b->target, &second));
		target_end(&second, false, 0, NULL, NULL);
		target_end(&b->target, false, 0, NULL, NULL);
		bench_file(b, "new.img", 1);
	}
}

/* Every file system answers the question for O_DIRECT in its own way; each must end in requests
 * that work, or in one line that says why not. */
static void check_file_system(struct bench *b, const char *folder)
{
	char path[160];
	void *block = NULL;

	snprintf(path, sizeof(path), "%s/new.img", folder);
	for (int round = 0; round < 2; round++) { /* created, existing */
		b->lines[0] = '\0';
		expect_opens(b, path, &no_rules);
		if (!target_begin(&b->target, 1000001, &b->log, &b->err))
			fail_msg("%s", b->err.text);
		print_message("%s: direct %d, offsets %zu, memory %zu\n", folder, b->target.direct,
			      b->target.align_bytes, b->target.memory_align_bytes);
		assert_int_equal(b->target.direct, b->target.buffered_fd >= 0);
		assert_int_equal(b->target.direct, !strstr(b->lines, "O_DIRECT"));
		assert_int_equal(b->target.direct, !!(fcntl(b->target.fd, F_GETFL) & O_DIRECT));
		assert_true(b->target.direct || b->target.align_bytes == 1);
		assert_int_equal(posix_memalign(&block, 4096, 8192), 0);
		memset(block, 'n', 8192);
		assert_int_equal(pwrite(b->target.fd, block, 4096, 8192), 4096);
		assert_int_equal(pwrite(b->target.fd, (char *)block + b->target.memory_align_bytes,
					b->target.align_bytes, 4096),
				 b->target.align_bytes);
		if (b->target.direct)
			assert_int_equal(pwrite(b->target.buffered_fd, block, 65, 999936), 65);
		free(block);
		assert_int_equal(fdatasync(b->target.fd), 0);
		assert_true(target_end(&b->target, true, 1000001, &b->log, &b->err));
		assert_int_equal(size_of(path), 1000001);
	}
}

static void files_work_on_every_file_system(void **state)
{
	static const struct {
		const char *name, *mkfs, *options;
	} kinds[] = {
		{ "ext4", "mkfs.ext4", "" },
		{ "ext4", "mkfs.ext4", "data=journal" }, /* without O_DIRECT */
		{ "xfs", "mkfs.xfs", "" },
		{ "btrfs", "mkfs.btrfs", "" },
	};
	struct bench *b = *state;
	size_t tried = 0;

	check_file_system(b, b->dir);
	if (!access("/dev/shm", W_OK)) {
		char folder[] = "/dev/shm/target_test.XXXXXX", path[64];

		assert_non_null(mkdtemp(folder));
		check_file_system(b, folder);
		snprintf(path, sizeof(path), "%s/new.img", folder);
		unlink(path);
		rmdir(folder);
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		for (uint32_t block_bytes = 512; block_bytes <= 4096; block_bytes *= 8) {
			struct loop_options options = { .block_bytes = block_bytes };
			struct loop_device *loop = bench_loop(b, "fs", 384ull * MIB, &options);
			const char *force = i < 2 ? "-F" : "-f";

			mkdir(bench_path(b, "mnt"), 0755);
			if (bench_run((const char *const[]){ kinds[i].mkfs, force, loop->path,
							     NULL }) &&
			    !mount(loop->path, bench_path(b, "mnt"), kinds[i].name, 0,
				   kinds[i].options)) {
				strcpy(b->mounted, bench_path(b, "mnt"));
				print_message("%s %s, blocks of %u:\n", kinds[i].name,
					      kinds[i].options, block_bytes);
				check_file_system(b, b->mounted);
				assert_int_equal(umount(b->mounted), 0);
				b->mounted[0] = '\0';
				tried++;
			}
			loop_detach(loop);
		}
	}
	print_message("%zu of 8 file systems could be made here\n", tried);
}

static void a_file_system_without_direct_io_is_written_through_the_page_cache(void **state)
{
	struct bench *b = *state;

	mkdir(bench_path(b, "mnt"), 0755);
	if (mount("none", bench_path(b, "mnt"), "ramfs", 0, NULL)) {
		print_message("skipped: cannot mount a ramfs: %s\n", strerror(errno));
		skip();
	}
	strcpy(b->mounted, bench_path(b, "mnt"));
	check_file_system(b, b->mounted);
	expect_text(b->lines, "page cache");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_new_file_is_created_only_when_it_begins_and_gets_its_size),
		TEST(a_size_that_was_not_known_is_set_at_the_end),
		TEST(an_existing_file_is_kept_until_it_begins_and_emptied_on_failure),
		TEST(nothing_of_the_old_content_is_left_in_the_new_file),
		TEST(a_created_file_is_removed_on_failure),
		TEST(a_file_that_took_the_place_of_the_created_one_is_not_removed),
		TEST(a_file_that_appeared_since_the_checks_is_not_taken),
		TEST(links_lead_to_the_file_and_stay),
		TEST(names_that_cannot_be_files_are_refused),
		TEST(only_devices_are_written_in_dev_unless_allowed),
		TEST(the_image_and_its_bmap_are_refused_by_any_name),
		TEST(the_file_on_standard_input_is_refused),
		TEST(the_file_behind_a_loop_device_that_is_the_image_is_refused),
		TEST(only_removable_devices_are_written_if_so_asked),
		TEST(dev_null_takes_everything),
		TEST(a_limit_on_file_sizes_is_an_error_and_no_signal),
		TEST(an_image_larger_than_any_file_is_an_error),
		TEST(an_ordinary_user_is_told_before_anything_changes),
		TEST(targets_that_are_one_file_are_recognised),
		TEST(files_work_on_every_file_system),
		TEST(a_file_system_without_direct_io_is_written_through_the_page_cache),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

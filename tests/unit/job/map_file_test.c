/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "base/cleanup.h"

#include <bmap/map.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each test has an empty folder and stands in it. */
static int enter_folder(void **state)
{
	char folder[] = "/tmp/bmap-unit-XXXXXX";

	if (!mkdtemp(folder) || chdir(folder) < 0)
		return -1;
	*state = strdup(folder);
	return 0;
}

static int leave_folder(void **state)
{
	CLEANUP_FREE char *folder = *state;
	char command[128];

	snprintf(command, sizeof(command), "chmod -R u+rwx '%s' && rm -rf '%s'", folder, folder);
	return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

static struct bmap_range ranges[] = { { 0, 2 }, { 5, 5 }, { 9, 40 }, { 100, 171 } };
static uint8_t digests[4 * 64];

static struct bmap_map make_map(enum bmap_digest digest, size_t digest_bytes)
{
	for (size_t i = 0; i < sizeof(digests); i++)
		digests[i] = (uint8_t)(i * 7);
	return (struct bmap_map){ .version_major = 2,
				  .image_size_bytes = 171 * 4096 + 700,
				  .block_size_bytes = 4096,
				  .blocks_count = 172,
				  .mapped_blocks = 108,
				  .digest = digest,
				  .digest_bytes = digest_bytes,
				  .range_count = ARRAY_LEN(ranges),
				  .ranges = ranges,
				  .digests = digests };
}

static void save(const struct bmap_map *map, const char *path)
{
	struct bmap_error err = { 0 };

	if (!bmap_map_save(map, path, &err))
		fail_msg("%s", err.text);
}

static void check_loads(const struct bmap_map *map, const char *path)
{
	struct bmap_error err = { 0 };
	struct bmap_map *got;

	if (!bmap_map_load(&got, path, &err))
		fail_msg("%s", err.text);
	assert_int_equal(got->image_size_bytes, map->image_size_bytes);
	assert_int_equal(got->block_size_bytes, map->block_size_bytes);
	assert_int_equal(got->blocks_count, map->blocks_count);
	assert_int_equal(got->mapped_blocks, map->mapped_blocks);
	assert_int_equal(got->range_count, map->range_count);
	assert_memory_equal(got->ranges, map->ranges, map->range_count * sizeof(*map->ranges));
	for (size_t i = 0; i < map->range_count; i++) {
		const uint8_t *want = bmap_range_digest(map, i);

		assert_int_equal(want == NULL, bmap_range_digest(got, i) == NULL);
		if (want)
			assert_memory_equal(bmap_range_digest(got, i), want, map->digest_bytes);
	}
	bmap_map_free(got);
}

static void expect_load_fails(const char *path, enum bmap_error_code code, const char *phrase)
{
	struct bmap_map *map = (struct bmap_map *)&code;
	struct bmap_error err = { 0 };

	if (bmap_map_load(&map, path, &err))
		fail_msg("%s was taken", path);
	assert_null(map);
	if (err.code != code || !strstr(err.text, phrase) || !strstr(err.text, path))
		fail_msg("code %d: %s", (int)err.code, err.text);
}

static void expect_save_fails(const char *path, enum bmap_error_code code, int errnum)
{
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);
	struct bmap_error err = { 0 };

	if (bmap_map_save(&map, path, &err))
		fail_msg("%s was written", path);
	if (err.code != code || err.errnum != errnum || !strstr(err.text, path))
		fail_msg("code %d, errno %d: %s", (int)err.code, err.errnum, err.text);
}

static void expect_save_cannot_begin(const char *path, enum bmap_error_code code, int errnum)
{
	struct bmap_error err = { 0 };

	expect_save_fails(path, code, errnum);
	assert_false(bmap_map_save_check(path, &err));
	assert_int_equal(err.errnum, errnum);
	assert_non_null(strstr(err.text, path));
}

static size_t files_here(void)
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}

static void put_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void starts_with(const char *path, const void *magic, size_t len)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY);
	char head[8];

	assert_int_equal(read(fd, head, len), len);
	assert_memory_equal(head, magic, len);
}

static void what_is_saved_loads_again_plain_and_compressed(void **state)
{
	static const struct {
		enum bmap_digest digest;
		size_t len;
	} kinds[] = { { BMAP_DIGEST_MD5, 16 },    { BMAP_DIGEST_SHA1, 20 },
		      { BMAP_DIGEST_SHA256, 32 }, { BMAP_DIGEST_SHA512, 64 },
		      { BMAP_DIGEST_SHA256, 0 },  { BMAP_DIGEST_NONE, 0 } };
	static const char *const names[] = { "a.bmap", "a.bmap.gz", "a.bmap.zst", "a.bmap.xz" };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct bmap_map map = make_map(kinds[k].digest, kinds[k].len);

		if (!kinds[k].len)
			map.digests = NULL;
		for (size_t n = 0; n < ARRAY_LEN(names); n++) {
			save(&map, names[n]);
			check_loads(&map, names[n]);
		}
	}
	starts_with("a.bmap", "<?xml", 5);
	starts_with("a.bmap.gz", "\x1f\x8b", 2);
	starts_with("a.bmap.zst", "\x28\xb5\x2f\xfd", 4);
	starts_with("a.bmap.xz",
		    "\xfd"
		    "7zXZ",
		    5);
	assert_int_equal(files_here(), ARRAY_LEN(names));
}

static void a_map_that_mixes_ranges_with_and_without_checksums_survives(void **state)
{
	static const uint8_t masks[] = { 1, 2, 6, 8, 14 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
		struct bmap_map map = make_map(BMAP_DIGEST_SHA1, 20);
		uint8_t has = masks[i];

		map.has_digest = &has;
		save(&map, "m.bmap");
		check_loads(&map, "m.bmap");
	}
}

/* The content says what it is, not the name; also in several frames, members, streams. */
static void compressed_maps_are_recognised_by_content(void **state)
{
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);

	(void)state;
	save(&map, "a.bmap");
	assert_int_equal(system("head -c 700 a.bmap > 1; tail -c +701 a.bmap > 2"), 0);
	if (system("(gzip -c 1; gzip -c 2) > g; (xz -c 1; xz -c 2) > x") == 0) {
		check_loads(&map, "g");
		check_loads(&map, "x");
	} else {
		print_message("skipped: gzip and xz are not installed\n");
	}
	if (system("(zstd -qc 1; zstd -qc 2) > z && zstd -qc -1 --long=27 < a.bmap > "
		   "zl") == 0) {
		check_loads(&map, "z");
		check_loads(&map, "zl"); /* a window of 128 MiB, no size in the header */
	} else {
		print_message("skipped: zstd is not installed\n");
	}
}

static void a_large_map_comes_through_in_pieces(void **state)
{
	enum { COUNT = 40 * 1000 };
	struct bmap_map map = make_map(BMAP_DIGEST_SHA512, 64);

	(void)state;
	map.range_count = COUNT;
	map.ranges = calloc(COUNT, sizeof(*map.ranges));
	map.digests = calloc(COUNT, 64);
	assert_true(map.ranges && map.digests);
	for (uint64_t i = 0; i < COUNT; i++) {
		map.ranges[i] = (struct bmap_range){ 1000 * i, 1000 * i + i % 3 };
		memcpy(map.digests + i * 64, &i, sizeof(i));
	}
	map.mapped_blocks = 0;
	for (size_t i = 0; i < COUNT; i++)
		map.mapped_blocks += map.ranges[i].last_block - map.ranges[i].first_block + 1;
	map.blocks_count = 1000 * COUNT;
	map.image_size_bytes = map.blocks_count * 4096;
	save(&map, "a.bmap");
	check_loads(&map, "a.bmap");
	save(&map, "a.bmap.zst");
	check_loads(&map, "a.bmap.zst");
	free(map.ranges);
	free(map.digests);
}

static void what_cannot_be_loaded_is_named_with_the_reason(void **state)
{
	static const char mbr[1024] = { [510] = 0x55, [511] = (char)0xaa };
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);
	struct stat st;

	(void)state;
	expect_load_fails("absent.bmap", BMAP_ERR_NOT_FOUND, "No such file");
	assert_int_equal(mkdir("folder", 0777), 0);
	expect_load_fails("folder", BMAP_ERR_IO, "Is a directory");
	put_file("empty", "", 0);
	expect_load_fails("empty", BMAP_ERR_MAP, "it is empty");
	put_file("disk.img", mbr, sizeof(mbr));
	expect_load_fails("disk.img", BMAP_ERR_MAP, "looks like a disk image (MBR)");
	save(&map, "a.bmap");
	/* Larger than any bmap: told by the first bytes, without reading or unpacking it all. */
	assert_int_equal(truncate("disk.img", (off_t)1 << 40), 0);
	expect_load_fails("disk.img", BMAP_ERR_MAP, "looks like a disk image (MBR)");
	if (system("head -c 50m /dev/zero | gzip -1 > disk.img.gz") == 0)
		expect_load_fails("disk.img.gz", BMAP_ERR_MAP, "binary data");
	static const char *const suffixes[] = { ".gz", ".zst", ".xz" };
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char name[32];

		snprintf(name, sizeof(name), "t%s", suffixes[i]);
		save(&map, name);
		assert_int_equal(stat(name, &st), 0);
		for (off_t cut = 1; cut <= 40; cut += 13) {
			assert_int_equal(truncate(name, st.st_size - cut), 0);
			expect_load_fails(name, BMAP_ERR_MAP, "truncated");
		}
	}
}

/* Loads in a child whose address space is short, so that less can be reserved for the text: the
 * limit is found the same way, with less memory. Returns the error's code. */
static enum bmap_error_code load_with_short_address_space(const char *path)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit limit = { 256 * MIB, 256 * MIB };
		struct bmap_error err = { 0 };
		struct bmap_map *map;

		if (setrlimit(RLIMIT_AS, &limit) < 0)
			_exit(255);
		_exit(bmap_map_load(&map, path, &err) ? BMAP_ERR_NONE : (int)err.code);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (enum bmap_error_code)WEXITSTATUS(status);
}

static void more_text_than_the_limit_is_refused_and_less_needs_no_more(void **state)
{
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);

	(void)state;
	if (UNDER_SANITIZER) {
		print_message("skipped: a sanitizer needs the address space\n");
		skip();
	}
	save(&map, "a.bmap.zst");
	assert_int_equal(load_with_short_address_space("a.bmap.zst"), BMAP_ERR_NONE);
	save(&map, "a.bmap");
	assert_int_equal(load_with_short_address_space("a.bmap"), BMAP_ERR_NONE);
	if (system("(echo '<bmap version=\"2.0\">'; head -c 150m /dev/zero | tr '\\0' ' ') > long "
		   "&&"
		   " gzip -1 < long > long.gz && zstd -q1 < long > long.zst") != 0) {
		print_message("skipped: gzip or zstd is not installed\n");
		skip();
	}
	assert_int_equal(load_with_short_address_space("long"), BMAP_ERR_MAP);
	assert_int_equal(load_with_short_address_space("long.gz"), BMAP_ERR_MAP);
	assert_int_equal(load_with_short_address_space("long.zst"), BMAP_ERR_MAP);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void a_file_has_the_permissions_that_any_program_would_give_it(void **state)
{
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);
	mode_t old = umask(027);

	(void)state;
	save(&map, "new.bmap");
	assert_int_equal(mode_of("new.bmap"), 0640);
	assert_int_equal(chmod("new.bmap", 0664), 0);
	save(&map, "new.bmap");
	assert_int_equal(mode_of("new.bmap"), 0664);
	umask(old);
}

static void a_link_stays_and_its_target_is_written(void **state)
{
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);
	struct stat st;

	(void)state;
	assert_int_equal(mkdir("folder", 0777), 0);
	put_file("folder/real.bmap", "old", 3);
	assert_int_equal(symlink("folder/hop", "link.bmap"), 0);
	assert_int_equal(symlink("real.bmap", "folder/hop"), 0);
	save(&map, "link.bmap");
	check_loads(&map, "folder/real.bmap");
	assert_int_equal(lstat("link.bmap", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	/* Also where it leads to nothing yet. */
	assert_int_equal(symlink("folder/later.bmap", "dangling"), 0);
	save(&map, "dangling");
	check_loads(&map, "folder/later.bmap");
	assert_int_equal(symlink("loop", "loop"), 0);
	expect_save_fails("loop", BMAP_ERR_IO, ELOOP);
}

static void what_cannot_be_renamed_is_written_through(void **state)
{
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);
	struct stat st;
	int status;
	pid_t pid;

	(void)state;
	save(&map, "/dev/null");
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	if (access("/dev/full", W_OK) == 0)
		expect_save_fails("/dev/full", BMAP_ERR_IO, ENOSPC);
	assert_int_equal(mkfifo("fifo", 0666), 0);
	assert_true(bmap_map_save_check("fifo", NULL)); /* waits for no reader */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(bmap_map_save(&map, "fifo", NULL) ? 0 : 1);
	check_loads(&map, "fifo");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(files_here(), 1);
}

/* In a child, which has its own standard output. */
static int save_with_stdout(const char *stdout_path, const char *path)
{
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);
	struct bmap_error err = { 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(stdout_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

		if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
			_exit(99);
		_exit(bmap_map_save(&map, path, &err) ? 0 : err.errnum);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void standard_output_gets_it_plain_and_its_errors_count(void **state)
{
	struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);

	(void)state;
	assert_int_equal(save_with_stdout("out", NULL), 0);
	check_loads(&map, "out");
	assert_int_equal(save_with_stdout("out2", "/dev/stdout"), 0);
	check_loads(&map, "out2");
	if (access("/dev/full", W_OK) == 0) {
		assert_int_equal(save_with_stdout("/dev/full", NULL), ENOSPC);
		assert_int_equal(save_with_stdout("/dev/full", "/dev/stdout"), ENOSPC);
	}
}

static void a_failed_save_leaves_nothing_and_the_old_file(void **state)
{
	static const char *const names[] = { "old.bmap", "old.bmap.gz", "old.bmap.zst",
					     "old.bmap.xz", "new.bmap" };
	struct rlimit was, limit;

	(void)state;
	for (size_t i = 0; i + 1 < ARRAY_LEN(names); i++)
		put_file(names[i], "old", 3);
	expect_save_cannot_begin("no/such/folder.bmap", BMAP_ERR_NOT_FOUND, ENOENT);
	expect_save_cannot_begin(".", BMAP_ERR_IO, EISDIR);
	expect_save_cannot_begin("old.bmap/x", BMAP_ERR_IO, ENOTDIR);
	assert_true(bmap_map_save_check("old.bmap", NULL)); /* which stays */
	assert_true(bmap_map_save_check("new.bmap", NULL));
	assert_true(bmap_map_save_check(NULL, NULL));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	limit = (struct rlimit){ 100, was.rlim_max }; /* the disk is full after 100 bytes */
	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct bmap_map map = make_map(BMAP_DIGEST_SHA256, 32);
		struct bmap_error err = { 0 };
		bool saved;

		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		saved = bmap_map_save(&map, names[i], &err);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
		assert_false(saved);
		assert_int_equal(err.errnum, EFBIG);
		assert_non_null(strstr(err.text, names[i]));
	}
	assert_int_equal(files_here(), ARRAY_LEN(names) - 1);
	starts_with("old.bmap", "old", 3);
}

int main(void)
{
#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, enter_folder, leave_folder)
	const struct CMUnitTest tests[] = {
		IN_FOLDER(what_is_saved_loads_again_plain_and_compressed),
		IN_FOLDER(a_map_that_mixes_ranges_with_and_without_checksums_survives),
		IN_FOLDER(compressed_maps_are_recognised_by_content),
		IN_FOLDER(a_large_map_comes_through_in_pieces),
		IN_FOLDER(what_cannot_be_loaded_is_named_with_the_reason),
		IN_FOLDER(more_text_than_the_limit_is_refused_and_less_needs_no_more),
		IN_FOLDER(a_file_has_the_permissions_that_any_program_would_give_it),
		IN_FOLDER(a_link_stays_and_its_target_is_written),
		IN_FOLDER(what_cannot_be_renamed_is_written_through),
		IN_FOLDER(standard_output_gets_it_plain_and_its_errors_count),
		IN_FOLDER(a_failed_save_leaves_nothing_and_the_old_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

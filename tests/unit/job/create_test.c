/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "digest/digest.h"

#include <bmap/create.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit_test.h"

#define IMAGE_BYTES (24u * MIB + 77)
#define PYTHON_TOOL "/usr/bin/bmaptool"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAX_RSS_KIB (1024 * 1024) /* with its shadow of all memory */
#else
#define MAX_RSS_KIB (64 * 1024)
#endif

struct fixture {
	char dir[64], image[96];
	struct bmap_map *map;
	struct bmap_error err;
	char warning[512];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/var/tmp/create_test.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->image, sizeof(f->image), "%s/disk.img", f->dir);
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

/* Data at random places, some of it long; the end is data. */
static void write_image(struct fixture *f, uint64_t size)
{
	int fd = open(f->image, O_RDWR | O_CREAT | O_TRUNC, 0600);
	uint8_t *data = malloc(2 * MIB);

	assert_true(fd >= 0);
	srand(3);
	for (size_t i = 0; i < 2 * MIB; i++)
		data[i] = (uint8_t)rand();
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (int i = 0; i < 40; i++) {
		size_t len = 1 + (size_t)rand() % (i % 8 ? 20000 : 2 * MIB);

		if (len < size)
			assert_int_equal(
				pwrite(fd, data, len, (off_t)((uint64_t)rand() % (size - len))),
				len);
	}
	assert_int_equal(pwrite(fd, data, 1, (off_t)size - 1), 1);
	free(data);
	close(fd);
}

static void note_warning(void *user, enum bmap_log_level level, const char *text)
{
	struct fixture *f = user;

	if (level == BMAP_LOG_WARNING)
		snprintf(f->warning, sizeof(f->warning), "%s", text);
}

static bool create(struct fixture *f, struct bmap_create_options options)
{
	struct bmap_log log = { .message = note_warning, .user = f };

	bmap_map_free(f->map);
	f->map = NULL;
	f->warning[0] = '\0';
	options.image = options.image ? options.image : f->image;
	options.log = &log;
	return bmap_create(&options, &f->map, &f->err);
}

#define OPTIONS(...)                                                                               \
	((struct bmap_create_options){ sizeof(struct bmap_create_options), __VA_ARGS__ })

static void expect_digests(const struct fixture *f)
{
	int fd = open(f->image, O_RDONLY);
	uint8_t *data = malloc(IMAGE_BYTES), digest[BMAP_DIGEST_MAX_BYTES];

	assert_int_equal(read(fd, data, IMAGE_BYTES), f->map->image_size_bytes);
	for (size_t i = 0; i < f->map->range_count; i++) {
		uint64_t begin = bmap_range_begin(f->map, i), end = bmap_range_end(f->map, i);

		assert_true(digest_of(f->map->digest, data + begin, end - begin, digest, NULL));
		assert_memory_equal(bmap_range_digest(f->map, i), digest, f->map->digest_bytes);
	}
	free(data);
	close(fd);
}

static void a_map_has_the_digest_of_every_range(void **state)
{
	static const struct {
		enum bmap_digest digest, want;
	} cases[] = {
		{ BMAP_DIGEST_NONE, BMAP_DIGEST_SHA256 },
		{ BMAP_DIGEST_SHA1, BMAP_DIGEST_SHA1 },
		{ BMAP_DIGEST_SHA512, BMAP_DIGEST_SHA512 },
	};
	struct fixture *f = *state;

	write_image(f, IMAGE_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (!create(f, OPTIONS(.digest = cases[i].digest)))
			fail_msg("%s", f->err.text);
		assert_int_equal(f->map->digest, cases[i].want);
		assert_int_equal(f->map->image_size_bytes, IMAGE_BYTES);
		assert_int_equal(f->map->blocks_count,
				 div_round_up(IMAGE_BYTES, f->map->block_size_bytes));
		assert_true(f->map->mapped_blocks < f->map->blocks_count);
		assert_int_equal(f->map->version_major, 2);
		expect_digests(f);
		assert_string_equal(f->warning, "");
	}
}

static void without_checksums_the_ranges_are_the_same(void **state)
{
	struct fixture *f = *state;
	size_t count;

	write_image(f, IMAGE_BYTES);
	assert_true(create(f, OPTIONS(0)));
	count = f->map->range_count;
	assert_true(create(f, OPTIONS(.no_checksum = true)));
	assert_int_equal(f->map->range_count, count);
	assert_null(f->map->digests);
	assert_null(bmap_range_digest(f->map, 0));
	assert_int_equal(f->map->digest, BMAP_DIGEST_SHA256); /* of the file itself */
}

static void the_python_tool_makes_the_same_map(void **state)
{
	struct fixture *f = *state;
	char path[128], command[320];
	struct bmap_map *python;

	if (access(PYTHON_TOOL, X_OK)) {
		printf("skipped: no " PYTHON_TOOL " (package bmap-tools)\n");
		skip();
	}
	write_image(f, IMAGE_BYTES);
	snprintf(path, sizeof(path), "%s/python.bmap", f->dir);
	snprintf(command, sizeof(command), PYTHON_TOOL " -q create -o %s %s", path, f->image);
	assert_int_equal(system(command), 0);
	if (!bmap_map_load(&python, path, &f->err))
		fail_msg("%s", f->err.text);
	assert_true(create(f, OPTIONS(0)));
	assert_int_equal(f->map->block_size_bytes, python->block_size_bytes);
	assert_int_equal(f->map->mapped_blocks, python->mapped_blocks);
	assert_int_equal(f->map->range_count, python->range_count);
	assert_memory_equal(f->map->ranges, python->ranges,
			    python->range_count * sizeof(struct bmap_range));
	assert_memory_equal(f->map->digests, python->digests, python->range_count * 32);
	bmap_map_free(python);
}

static void a_file_of_one_hole_has_an_empty_map(void **state)
{
	struct fixture *f = *state;

	write_image(f, 10);
	assert_int_equal(truncate(f->image, 0), 0);
	assert_int_equal(truncate(f->image, 100000), 0);
	assert_true(create(f, OPTIONS(0)));
	assert_int_equal(f->map->range_count, 0);
	assert_int_equal(f->map->mapped_blocks, 0);
	assert_string_equal(f->warning, "");
}

static void a_file_without_holes_is_worth_a_warning(void **state)
{
	struct fixture *f = *state;

	write_image(f, 1); /* a single byte: one short block */
	assert_true(create(f, OPTIONS(0)));
	assert_int_equal(f->map->mapped_blocks, 1);
	assert_non_null(strstr(f->warning, "mapped"));
	assert_non_null(strstr(f->warning, f->image));
	expect_digests(f);
}

static void what_is_no_image_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	char fifo[96], empty[96];
	struct {
		const char *path, *want;
		enum bmap_error_code code;
	} cases[] = {
		{ f->dir, "is a directory", BMAP_ERR_USAGE },
		{ "/dev/null", "is a character device", BMAP_ERR_USAGE },
		{ fifo, "is a pipe", BMAP_ERR_USAGE },
		{ empty, "is empty", BMAP_ERR_DATA },
		{ "/nonexistent/disk.img", "No such file", BMAP_ERR_NOT_FOUND },
	};

	snprintf(fifo, sizeof(fifo), "%s/fifo", f->dir);
	snprintf(empty, sizeof(empty), "%s/empty", f->dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	close(open(empty, O_CREAT | O_WRONLY, 0600));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(create(f, OPTIONS(.image = cases[i].path)));
		if (!strstr(f->err.text, cases[i].want) || !strstr(f->err.text, cases[i].path))
			fail_msg("%s", f->err.text);
		assert_int_equal(f->err.code, cases[i].code);
		assert_null(f->map);
	}
}

static const char *growing;

static void change_the_image(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
	int fd = open(growing, O_WRONLY | O_APPEND);

	(void)user, (void)done_bytes, (void)total_bytes;
	assert_int_equal(write(fd, "more", 4), 4);
	close(fd);
}

static void a_file_that_changes_meanwhile_is_an_error(void **state)
{
	struct fixture *f = *state;

	write_image(f, IMAGE_BYTES);
	growing = f->image;
	usleep(20000); /* times have the kernel's tick: at most 10 ms */
	assert_false(create(f, OPTIONS(.progress = change_the_image)));
	assert_non_null(strstr(f->err.text, "changed while"));
	assert_null(f->map);
}

static void a_stop_ends_it(void **state)
{
	struct fixture *f = *state;
	struct bmap_stop *stop = bmap_stop_new(NULL);

	write_image(f, IMAGE_BYTES);
	bmap_stop_request(stop);
	assert_false(create(f, OPTIONS(.stop = stop)));
	assert_int_equal(f->err.code, BMAP_ERR_INTERRUPTED);
	bmap_stop_free(stop);
}

static void memory_does_not_grow_with_the_image(void **state)
{
	struct fixture *f = *state;
	int status, fd;
	pid_t pid;

	/* 300 MiB of data in one range, unwritten. */
	fd = open(f->image, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fallocate(fd, 0, 0, 300 * (off_t)MIB)) {
		close(fd);
		printf("skipped: no fallocate(2) here\n");
		skip();
	}
	close(fd);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct rusage usage;
		struct bmap_map *map;
		struct bmap_create_options options = OPTIONS(.image = f->image);

		if (!bmap_create(&options, &map, NULL))
			_exit(1);
		getrusage(RUSAGE_SELF, &usage);
		bmap_map_free(map);
		_exit(usage.ru_maxrss < MAX_RSS_KIB ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_has_the_digest_of_every_range),
		cmocka_unit_test(without_checksums_the_ranges_are_the_same),
		cmocka_unit_test(the_python_tool_makes_the_same_map),
		cmocka_unit_test(a_file_of_one_hole_has_an_empty_map),
		cmocka_unit_test(a_file_without_holes_is_worth_a_warning),
		cmocka_unit_test(what_is_no_image_is_refused_by_name),
		cmocka_unit_test(a_file_that_changes_meanwhile_is_an_error),
		cmocka_unit_test(a_stop_ends_it),
		cmocka_unit_test(memory_does_not_grow_with_the_image),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

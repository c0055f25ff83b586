/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"

#include <bmap/bmap.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define BLOCK 4096u

struct fixture {
	char dir[64];
	struct bmap_error err;
	struct bmap_pack_result result;
	char log[2048];
	struct bmap_stop *stop;
	bool spoil; /* change the image when it is being compressed */
	bool ask_stop; /* stop then */
};

/* Each test has an empty folder and stands in it. */
static int enter_folder(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/var/tmp/pack_test.XXXXXX");
	if (!mkdtemp(f->dir) || chdir(f->dir))
		return -1;
	f->stop = bmap_stop_new(&f->err);
	*state = f;
	return f->stop ? 0 : -1;
}

static int leave_folder(void **state)
{
	struct fixture *f = *state;
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	bmap_stop_free(f->stop);
	free(f);
	return chdir("/") || system(command) ? -1 : 0;
}

static size_t files_here(void)
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	return count;
}

/* A file of size bytes with data in the blocks of a step, `each` of them at a time. */
static void write_image(const char *path, uint64_t size, uint64_t step, uint64_t each)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	uint8_t *data = malloc(each * BLOCK + 1);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (uint64_t at = 0; step && at < size; at += step * BLOCK) {
		size_t len = min_u64(each * BLOCK, size - at);

		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)(i % 1000 < 700 ? at / BLOCK + i / 3 : (unsigned)rand());
		assert_int_equal(pwrite(fd, data, len, (off_t)at), len);
	}
	free(data);
	close(fd);
}

static void note(void *user, enum bmap_log_level level, const char *text)
{
	struct fixture *f = user;
	size_t len = strlen(f->log);

	if (level <= BMAP_LOG_INFO)
		snprintf(f->log + len, sizeof(f->log) - len, "%s\n", text);
}

static void on_progress(void *user, enum bmap_pack_phase phase, uint64_t done, uint64_t total)
{
	struct fixture *f = user;

	assert_true(done <= total);
	if (phase != BMAP_PACK_COMPRESS)
		return;
	if (f->spoil) {
		int fd = open("disk.img", O_WRONLY);

		assert_int_equal(pwrite(fd, "x", 1, 0), 1);
		close(fd);
	}
	if (f->ask_stop)
		bmap_stop_request(f->stop);
}

static bool pack(struct fixture *f, struct bmap_pack_options options)
{
	struct bmap_log log = { .message = note, .user = f };

	f->log[0] = '\0';
	options.struct_size = sizeof(options);
	options.image = options.image ? options.image : "disk.img";
	options.output = options.output ? options.output : "disk.img.zst";
	options.log = &log;
	options.stop = f->stop;
	options.progress = on_progress;
	options.progress_user = f;
	return bmap_pack(&options, &f->result, &f->err);
}
#define OPTIONS(...) ((struct bmap_pack_options){ __VA_ARGS__ })

static void expect_packs(struct fixture *f, struct bmap_pack_options options)
{
	if (!pack(f, options))
		fail_msg("%s", f->err.text);
}

static void expect_fails(struct fixture *f, struct bmap_pack_options options,
			 enum bmap_error_code code, const char *phrase)
{
	size_t files = files_here();

	if (pack(f, options))
		fail_msg("packed, instead of: %s", phrase);
	if (f->err.code != code || !strstr(f->err.text, phrase))
		fail_msg("code %d: %s", (int)f->err.code, f->err.text);
	assert_int_equal(f->result.packed_bytes, 0);
	assert_int_equal(files_here(), files);
}

/* Unpacks by the library's streaming call and compares with image, byte for byte. */
static void expect_unpacks_to(const char *path, const char *image)
{
	FILE *packed = fopen(path, "rb"), *want = fopen(image, "rb");
	uint8_t *in = malloc(MIB), *out = malloc(MIB), *same = malloc(MIB);
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	ZSTD_inBuffer source = { in, 0, 0 };
	size_t code = 1;

	assert_true(packed && want);
	while ((source.size = fread(in, 1, MIB, packed)) > 0) {
		source.pos = 0;
		while (source.pos < source.size) {
			ZSTD_outBuffer image_bytes = { out, MIB, 0 };

			code = ZSTD_decompressStream(ctx, &image_bytes, &source);
			if (ZSTD_isError(code))
				fail_msg("%s: %s", path, ZSTD_getErrorName(code));
			assert_int_equal(fread(same, 1, image_bytes.pos, want), image_bytes.pos);
			assert_memory_equal(out, same, image_bytes.pos);
		}
	}
	assert_int_equal(code, 0); /* the last frame is whole */
	assert_int_equal(fread(same, 1, 1, want), 0);
	ZSTD_freeDCtx(ctx);
	free(in);
	free(out);
	free(same);
	fclose(packed);
	fclose(want);
}

/* What is discovered beside it fits. */
static void expect_verifies(struct fixture *f, const char *path)
{
	struct bmap_verify_options options = BMAP_VERIFY_OPTIONS_INIT;
	struct bmap_verify_result result;

	options.input = path;
	if (!bmap_verify(&options, &result, &f->err))
		fail_msg("%s", f->err.text);
}

static void any_image_unpacks_to_what_it_was(void **state)
{
	static const struct {
		const char *why;
		uint64_t size, step, each;
	} cases[] = {
		{ "one byte", 1, 1, 1 },
		{ "one block", BLOCK, 1, 1 },
		{ "all hole", 9 * MIB + 1, 0, 0 },
		{ "no hole, several frames, an end that is not a multiple of anything",
		  13 * MIB + 77, 64, 64 },
		{ "long holes", 70 * MIB + 5000, 5000, 300 },
		{ "holes that share a frame", 20 * MIB, 7, 2 },
		{ "20,000 ranges", 20000ull * 2 * BLOCK, 2, 1 },
	};
	struct fixture *f = *state;

	srand(5);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_image("disk.img", cases[i].size, cases[i].step, cases[i].each);
		expect_packs(f, OPTIONS(.workers = i % 3));
		assert_int_equal(f->result.image_bytes, cases[i].size);
		assert_true(f->result.frames - f->result.hole_frames <=
			    div_round_up(cases[i].size, 4 * MIB) + 20);
		expect_unpacks_to("disk.img.zst", "disk.img");
		expect_verifies(f, "disk.img.zst");
		assert_int_equal(files_here(), 3);
	}
}

static void holes_cost_next_to_nothing(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	write_image("disk.img", 4096ull * MIB, 0, 0);
	expect_packs(f, OPTIONS(.no_bmap = false));
	assert_int_equal(f->result.frames, 1024);
	assert_int_equal(f->result.hole_frames, 1023);
	assert_int_equal(stat("disk.img.zst", &st), 0);
	assert_int_equal(st.st_size, f->result.packed_bytes);
	assert_true(st.st_size < 200 * 1024);
	expect_verifies(f, "disk.img.zst");
}

/* Each number of workers, of whom the last may be without a frame, gives the same bytes. */
static void the_result_does_not_depend_on_the_workers(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes;

	write_image("disk.img", 37 * MIB + 1, 900, 400);
	expect_packs(f, OPTIONS(.workers = 1));
	bytes = f->result.packed_bytes;
	assert_int_equal(rename("disk.img.zst", "first.zst"), 0);
	for (unsigned workers = 2; workers < 20; workers += 5) {
		expect_packs(f, OPTIONS(.workers = workers));
		assert_int_equal(f->result.packed_bytes, bytes);
		assert_int_equal(system("cmp -s first.zst disk.img.zst"), 0);
	}
}

static void levels_and_memory_are_kept(void **state)
{
	struct fixture *f = *state;
	uint64_t fast;

	write_image("disk.img", 9 * MIB, 2304, 2304);
	expect_packs(f, OPTIONS(.level = 1));
	fast = f->result.packed_bytes;
	expect_packs(f, OPTIONS(.level = 12, .workers = 2));
	assert_true(f->result.packed_bytes < fast);
	expect_unpacks_to("disk.img.zst", "disk.img");
	expect_packs(f, OPTIONS(.workers = 3, .memory_bytes = 30 * MIB));
	assert_non_null(strstr(f->log, "instead of 3 workers"));
	expect_unpacks_to("disk.img.zst", "disk.img");
	expect_fails(f, OPTIONS(.memory_bytes = 6 * MIB), BMAP_ERR_MEMORY, "--memory ");
	expect_fails(f, OPTIONS(.level = 20), BMAP_ERR_USAGE, "levels are 1 to 19");
}

static void the_map_is_where_it_is_looked_for(void **state)
{
	static const struct {
		const char *output, *map;
	} cases[] = {
		{ "a.img.zst", "a.img.bmap" },
		{ "./b.ZSTD", "./b.bmap" },
		{ "c.img", "c.img.bmap" },
		{ ".zst", ".zst.bmap" },
	};
	struct fixture *f = *state;

	write_image("disk.img", MIB, 20, 2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		expect_packs(f, OPTIONS(.output = cases[i].output));
		assert_non_null(strstr(f->log, cases[i].map));
		assert_null(strstr(f->log, "looked for first"));
		assert_int_equal(access(cases[i].map, F_OK), 0);
		expect_verifies(f, cases[i].output);
	}
	expect_packs(f, OPTIONS(.output = "d.zst", .no_bmap = true));
	assert_int_not_equal(access("d.bmap", F_OK), 0);
}

static void another_map_that_would_be_found_first_is_said(void **state)
{
	struct fixture *f = *state;

	write_image("disk.img", MIB, 20, 2);
	write_image("disk.img.zst.bmap", 1, 1, 1);
	expect_packs(f, OPTIONS(.level = 1));
	assert_non_null(strstr(f->log, "'disk.img.zst.bmap' is looked for first"));
}

static void make_map(struct fixture *f, const char *image, const char *path)
{
	struct bmap_create_options options = BMAP_CREATE_OPTIONS_INIT;
	struct bmap_map *map;

	options.image = image;
	assert_true(bmap_create(&options, &map, &f->err));
	assert_true(bmap_map_save(map, path, &f->err));
	bmap_map_free(map);
}

static void what_a_given_map_leaves_out_is_zeros(void **state)
{
	struct fixture *f = *state;
	int fd;

	write_image("disk.img", 30 * MIB + 5, 1500, 100);
	make_map(f, "disk.img", "given.bmap");
	assert_int_equal(system("cp --sparse=always disk.img want.img"), 0);
	/* Behind the map's back: between two ranges of a frame, and in a long hole. */
	fd = open("disk.img", O_WRONLY);
	assert_int_equal(pwrite(fd, "garbage", 7, 120 * BLOCK), 7);
	assert_int_equal(pwrite(fd, "garbage", 7, 14 * MIB), 7);
	close(fd);
	expect_packs(f, OPTIONS(.bmap = "given.bmap"));
	expect_unpacks_to("disk.img.zst", "want.img");
	expect_verifies(f, "disk.img.zst");
}

static void a_given_map_that_lies_there_already_stays(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;

	write_image("disk.img", MIB, 20, 2);
	make_map(f, "disk.img", "disk.img.bmap");
	assert_int_equal(stat("disk.img.bmap", &before), 0);
	expect_packs(f, OPTIONS(.bmap = "./disk.img.bmap"));
	assert_int_equal(stat("disk.img.bmap", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	expect_packs(f, OPTIONS(.level = 1)); /* made by us it is replaced */
	assert_int_equal(stat("disk.img.bmap", &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
}

static void a_map_of_another_image_is_refused(void **state)
{
	struct fixture *f = *state;

	write_image("other.img", 2 * MIB, 20, 2);
	make_map(f, "other.img", "other.bmap");
	write_image("disk.img", 2 * MIB, 20, 2);
	assert_int_equal(truncate("disk.img", 2 * MIB + 1), 0);
	expect_fails(f, OPTIONS(.bmap = "other.bmap"), BMAP_ERR_DATA, "do not belong together");
	write_image("disk.img", 2 * MIB, 10, 2);
	expect_fails(f, OPTIONS(.bmap = "other.bmap"), BMAP_ERR_DATA, "do not match");
	expect_fails(f, OPTIONS(.bmap = "absent.bmap"), BMAP_ERR_NOT_FOUND, "absent.bmap");
}

static void nothing_that_is_read_is_replaced(void **state)
{
	struct fixture *f = *state;

	write_image("disk.img", MIB, 20, 2);
	make_map(f, "disk.img", "given.zst");
	assert_int_equal(symlink("disk.img", "link"), 0);
	expect_fails(f, OPTIONS(.output = "disk.img"), BMAP_ERR_REFUSED, "replace the image");
	expect_fails(f, OPTIONS(.output = "link"), BMAP_ERR_REFUSED, "replace the image");
	expect_fails(f, OPTIONS(.output = "given.zst", .bmap = "given.zst"), BMAP_ERR_REFUSED,
		     "replace the bmap");
	assert_int_equal(rename("disk.img", "disk.bmap"), 0);
	expect_fails(f, OPTIONS(.image = "disk.bmap", .output = "disk.zst"), BMAP_ERR_REFUSED,
		     "replace the image");
}

static void what_fails_leaves_the_old_files(void **state)
{
	struct fixture *f = *state;

	write_image("disk.img", 40 * MIB, 600, 500);
	write_image("disk.img.zst", 3, 1, 1);
	write_image("disk.img.bmap", 5, 1, 1);
	f->spoil = true;
	expect_fails(f, OPTIONS(.level = 3), BMAP_ERR_DATA, "was changed while it was packed");
	f->spoil = false;
	expect_fails(f, OPTIONS(.image = "absent"), BMAP_ERR_NOT_FOUND, "absent");
	expect_fails(f, OPTIONS(.image = "."), BMAP_ERR_USAGE, "directory");
	expect_fails(f, OPTIONS(.output = "nowhere/x.zst"), BMAP_ERR_NOT_FOUND, "nowhere");
	f->ask_stop = true;
	expect_fails(f, OPTIONS(.level = 3), BMAP_ERR_INTERRUPTED, "interrupted");
	assert_int_equal(
		system("test $(stat -c %s disk.img.zst disk.img.bmap | tr '\\n' -) = 3-5-"), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(any_image_unpacks_to_what_it_was),
		IN_FOLDER(holes_cost_next_to_nothing),
		IN_FOLDER(the_result_does_not_depend_on_the_workers),
		IN_FOLDER(levels_and_memory_are_kept),
		IN_FOLDER(the_map_is_where_it_is_looked_for),
		IN_FOLDER(another_map_that_would_be_found_first_is_said),
		IN_FOLDER(what_a_given_map_leaves_out_is_zeros),
		IN_FOLDER(a_given_map_that_lies_there_already_stays),
		IN_FOLDER(a_map_of_another_image_is_refused),
		IN_FOLDER(nothing_that_is_read_is_replaced),
		IN_FOLDER(what_fails_leaves_the_old_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

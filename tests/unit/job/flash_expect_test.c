/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "job/flash_internal.h"

#include <bmap/flash.h>

#include "loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit_test.h"

#define SIZE (1u * MIB)

static void a_device_is_measured_against_what_is_expected(void **state)
{
	static const struct {
		struct bmap_expect expect;
		const char *vendor, *model; /* NULL, NULL: no device */
		bool has_size;
		const char *refused; /* a part of the message; NULL: it fits */
	} cases[] = {
		{ { 0 }, NULL, NULL, false, NULL },
		{ { .least_bytes = SIZE, .most_bytes = SIZE }, NULL, NULL, true, NULL },
		{ { .least_bytes = SIZE + 1 }, NULL, NULL, true, "at least 1048577" },
		{ { .most_bytes = SIZE - 1 },
		  NULL,
		  NULL,
		  true,
		  "1048576 bytes (1.0 MiB), expected are at most 1048575" },
		{ { .least_bytes = 1, .most_bytes = 4096 }, NULL, NULL, true, "1 to 4096 (1 byte" },
		{ { .least_bytes = 9, .most_bytes = 9 }, NULL, NULL, true, "expected are 9 (" },
		{ { .least_bytes = 1 }, NULL, NULL, false, "no block device" },
		{ { .model = "Ultra*" }, "SanDisk", "Ultra Fit", true, NULL },
		{ { .model = "sandisk ultra fit" }, "SanDisk", "Ultra Fit", true, NULL },
		{ { .model = "SD??G" }, NULL, "SD32G", true, NULL },
		{ { .model = "SanDisk" },
		  "SanDisk",
		  "Ultra Fit",
		  true,
		  "'SanDisk Ultra Fit', expected is 'SanDisk'" },
		{ { .model = "Ultra" }, NULL, "Ultra Fit", true, "its model is 'Ultra Fit'" },
		{ { .model = "*" }, NULL, NULL, true, "names no model, and '*'" },
		{ { .model = "[" }, NULL, "Ultra", true, "expected is '['" },
		{ { .model = "Ultra*", .least_bytes = 2 * SIZE }, NULL, "Ultra", true, "at least" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target target = { .name = (char *)"dev",
					 .has_size = cases[i].has_size,
					 .size_bytes = SIZE };
		struct bmap_device device = { .vendor = (char *)cases[i].vendor,
					      .model = (char *)cases[i].model };
		struct bmap_error err = { 0 };
		bool fits = flash_expect_target(&cases[i].expect, &target,
						cases[i].model ? &device : NULL, &err);

		if (fits != !cases[i].refused ||
		    (!fits &&
		     (err.code != BMAP_ERR_REFUSED || strncmp(err.text, "dev: refused: ", 14) ||
		      !strstr(err.text, cases[i].refused))))
			fail_msg("case %zu: %d %s", i, fits, err.text);
	}
}

struct fixture {
	char dir[64], image[96], backing[2][96];
	struct loop_device loops[2];
	struct bmap_flash_result result;
	struct bmap_error err;
};

static void make_file(const char *path, size_t bytes, int fill)
{
	uint8_t *data = malloc(bytes);
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	assert_non_null(data);
	memset(data, fill, bytes);
	assert_int_equal(write(fd, data, bytes), bytes);
	close(fd);
	free(data);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *missing = loop_missing();
	char folder[sizeof(
		f->dir)]; /* not in f: gcc takes it to overlap with what is printed there */

	f->loops[0] = f->loops[1] = (struct loop_device)LOOP_DEVICE_INIT;
	strcpy(folder, "/var/tmp/flash_expect_test.XXXXXX");
	assert_non_null(mkdtemp(folder));
	strcpy(f->dir, folder);
	snprintf(f->image, sizeof(f->image), "%s/image", folder);
	make_file(f->image, SIZE, 'i');
	for (int i = 0; i < 2; i++) {
		snprintf(f->backing[i], sizeof(f->backing[i]), "%s/disk%d", folder, i);
		make_file(f->backing[i], (size_t)(i + 1) * SIZE, 'd');
		if (!missing && !loop_attach(&f->loops[i], f->backing[i], NULL))
			missing = "a loop device could not be attached";
	}
	*state = f;
	if (missing)
		print_message("loop devices: %s\n", missing);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	bmap_flash_result_free(&f->result);
	for (int i = 0; i < 2; i++) {
		loop_detach(&f->loops[i]);
		unlink(f->backing[i]);
	}
	unlink(f->image);
	rmdir(f->dir);
	free(f);
	return 0;
}

static bool flash(struct fixture *f, const struct bmap_expect *expect)
{
	const char *targets[] = { f->loops[0].path, f->loops[1].path };
	struct bmap_flash_options options = BMAP_FLASH_OPTIONS_INIT;

	if (f->loops[0].fd < 0 || f->loops[1].fd < 0) {
		print_message("skipped: no loop devices\n");
		skip();
	}
	options.image = f->image;
	options.no_bmap = true;
	options.targets = targets;
	options.target_count = 2;
	options.read_back = BMAP_CHOICE_NO;
	options.expect = *expect;
	return bmap_flash(&options, &f->result, &f->err);
}

static void expect_filled(const char *path, char fill)
{
	char data[4096];
	int fd = open(path, O_RDONLY);

	for (off_t at = 0; at < SIZE; at += sizeof(data)) {
		assert_int_equal(pread(fd, data, sizeof(data), at), sizeof(data));
		for (size_t i = 0; i < sizeof(data); i++)
			assert_int_equal(data[i], fill);
	}
	close(fd);
}

static void who_does_not_fit_is_refused_alone_and_the_report_says_what_it_is(void **state)
{
	struct fixture *f = *state;

	assert_false(flash(f, &(struct bmap_expect){ .most_bytes = SIZE, .model = "*/DISK?" }));
	assert_int_equal(f->result.targets[0].state, BMAP_TARGET_DONE);
	assert_int_equal(f->result.targets[1].state, BMAP_TARGET_FAILED);
	assert_int_equal(f->result.targets[1].pass, 0);
	assert_non_null(strstr(f->err.text, f->loops[1].path));
	for (int i = 0; i < 2; i++) {
		const struct bmap_target_report *report = &f->result.targets[i];

		assert_int_equal(report->size_bytes, (size_t)(i + 1) * SIZE);
		assert_string_equal(report->device->path, f->loops[i].path);
		assert_string_equal(report->device->transport, "loop");
		assert_string_equal(report->device->model, f->backing[i]);
	}
	loop_detach(&f->loops[0]); /* what the page cache has of the file is now what is in it */
	expect_filled(f->backing[0], 'i');
	expect_filled(f->backing[1], 'd');
}

static void a_count_that_is_wrong_after_refusals_writes_nothing(void **state)
{
	struct fixture *f = *state;

	assert_false(flash(f, &(struct bmap_expect){ .most_bytes = SIZE, .count = 2 }));
	assert_non_null(strstr(f->err.text, "1 target can be written, but 2 are expected"));
	expect_filled(f->backing[0], 'd');
	expect_filled(f->backing[1], 'd');
}

static void bounds_that_nothing_fits_between_are_wrong_usage(void **state)
{
	struct fixture *f = *state;

	assert_false(flash(f, &(struct bmap_expect){ .least_bytes = 2, .most_bytes = 1 }));
	assert_int_equal(f->err.code, BMAP_ERR_USAGE);
	assert_int_equal(f->result.target_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_is_measured_against_what_is_expected),
		cmocka_unit_test_setup_teardown(
			who_does_not_fit_is_refused_alone_and_the_report_says_what_it_is, setup,
			teardown),
		cmocka_unit_test_setup_teardown(a_count_that_is_wrong_after_refusals_writes_nothing,
						setup, teardown),
		cmocka_unit_test_setup_teardown(bounds_that_nothing_fits_between_are_wrong_usage,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

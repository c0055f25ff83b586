/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"

#include <bmap/map.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/bmap-unit-XXXXXX";

static int enter_folder(void **state)
{
	(void)state;
	memcpy(strstr(folder, "unit-") + 5, "XXXXXX", 6);
	return !mkdtemp(folder) || chdir(folder) < 0 ? -1 : 0;
}

static int leave_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

static void touch(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fclose(f);
}

static void the_longest_name_that_is_there_is_taken(void **state)
{
	static const struct {
		const char *image, *there, *found; /* NULL: none */
	} cases[] = {
		{ "disk.img.gz", "disk.img.gz.bmap", "disk.img.gz.bmap" },
		{ "disk.img.gz", "disk.img.bmap", "disk.img.bmap" },
		{ "disk.img.gz", "disk.bmap", "disk.bmap" },
		{ "d/disk.img.gz", "d/disk.bmap", "d/disk.bmap" },
		{ "disk", "disk.bmap", "disk.bmap" },
		{ "disk.img", "other.bmap", NULL },
		{ "d.x/disk", "d.bmap", NULL }, /* a folder's extension stays */
		{ "d.x/disk.img", "d.x/disk.bmap", "d.x/disk.bmap" },
		{ "./disk.img", "disk.bmap", "./disk.bmap" },
		{ ".img", ".bmap", NULL }, /* a hidden file, not an extension */
		{ "d/.img", "d/.bmap", NULL },
		{ "a..gz", "a..bmap", "a..bmap" },
		{ "a..gz", "a.bmap", "a.bmap" },
		{ "no/such/folder/disk.img", "disk.bmap", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err = { 0 };
		char *path = folder;
		bool found;

		assert_int_equal(system("rm -rf d d.x *.bmap .bmap && mkdir d d.x"), 0);
		touch(cases[i].there);
		found = bmap_map_discover(cases[i].image, &path, &err);
		if (cases[i].found) {
			if (!found)
				fail_msg("%s", err.text);
			assert_string_equal(path, cases[i].found);
			free(path);
			continue;
		}
		assert_false(found);
		assert_null(path);
		assert_int_equal(err.code, BMAP_ERR_NOT_FOUND);
		assert_non_null(strstr(err.text, "--nobmap"));
		assert_non_null(strstr(err.text, cases[i].image));
	}
}

static void the_nearest_name_comes_first_and_folders_do_not_count(void **state)
{
	char *path;

	(void)state;
	touch("disk.img.bmap");
	touch("disk.bmap");
	assert_int_equal(mkdir("disk.img.gz.bmap", 0777), 0);
	assert_true(bmap_map_discover("disk.img.gz", &path, NULL));
	assert_string_equal(path, "disk.img.bmap");
	free(path);
}

static void a_name_of_dots_alone_ends(void **state)
{
	char image[256];
	char *path;
	struct bmap_error err = { 0 };

	(void)state;
	memset(image, '.', 255);
	image[255] = '\0';
	assert_false(bmap_map_discover(image, &path, &err));
	assert_int_equal(err.code, BMAP_ERR_NOT_FOUND);
	assert_false(bmap_map_discover("", &path, &err));
	assert_int_equal(err.code, BMAP_ERR_NOT_FOUND);
}

int main(void)
{
#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, enter_folder, leave_folder)
	const struct CMUnitTest tests[] = {
		IN_FOLDER(the_longest_name_that_is_there_is_taken),
		IN_FOLDER(the_nearest_name_comes_first_and_folders_do_not_count),
		IN_FOLDER(a_name_of_dots_alone_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

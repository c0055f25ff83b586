/* SPDX-License-Identifier: MIT */
/* The readers of what the kernel says, with texts that no kernel says. */
#include "unit_test.h"

#include "base/checked.h"
#include "target/safety.h"
#include "target/sysfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void write_text(char path[32], const char *text)
{
	FILE *file;

	strcpy(path, "/var/tmp/in_use.XXXXXX");
	file = fdopen(mkstemp(path), "w");
	fputs(text, file);
	fclose(file);
}

static void device_numbers_are_parsed_strictly(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		unsigned major, minor;
	} cases[] = {
		{ "8:17", true, 8, 17 },
		{ "8:17\n", true, 8, 17 },
		{ "259:1048575", true, 259, 1048575 },
		{ "", false, 0, 0 },
		{ "8", false, 0, 0 },
		{ "8:", false, 0, 0 },
		{ ":8", false, 0, 0 },
		{ "8:-1", false, 0, 0 },
		{ " 8:1", false, 0, 0 },
		{ "8:1 ", false, 0, 0 },
		{ "8:1\n\n", false, 0, 0 },
		{ "4294967296:1", false, 0, 0 },
		{ "99999999999999999999999:1", false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		dev_t device = 0;

		assert_int_equal(sysfs_parse_device(cases[i].text, &device), cases[i].ok);
		if (cases[i].ok)
			assert_int_equal(device, makedev(cases[i].major, cases[i].minor));
	}
}

static void a_device_that_is_not_there_has_no_attributes(void **state)
{
	dev_t device = makedev(4000, 77);
	char name[SYSFS_NAME_BYTES], text[16];
	uint64_t number;

	(void)state;
	assert_false(sysfs_read_text(device, "size", text, sizeof(text)));
	assert_false(sysfs_read_number(device, "size", &number));
	assert_false(sysfs_name(device, name));
	assert_false(sysfs_node(device, text, sizeof(text)));
	assert_false(sysfs_is_partition(device));
	assert_int_equal(sysfs_whole_disk(device), device);
	sysfs_name_or_number(device, name);
	assert_string_equal(name, "device 4000:77");
}

static void mounts_are_found_by_number_and_named(void **state)
{
	static const struct {
		const char *why, *text, *says; /* says NULL: not in use */
	} cases[] = {
		{ "plain", "36 35 4000:77 / /media/card rw - ext4 /dev/x rw\n",
		  "device 4000:77 on /media/card" },
		{ "space", "36 35 4000:77 / /media/my\\040card rw - ext4 x rw\n",
		  "on /media/my card" },
		{ "newline stays escaped", "36 35 4000:77 / /a\\012b\\033c rw - ext4 x rw\n",
		  "on /a\\012b\\033c" },
		{ "optional fields", "36 35 4000:77 / /m rw shared:1 master:2 - ext4 x rw\n",
		  "on /m" },
		{ "last line without newline",
		  "1 2 1:1 / / rw - a b c\n36 35 4000:77 / /m rw - e x r", "on /m" },
		{ "two", "1 2 4000:77 / /a rw - e x r\n1 2 4000:77 / /b rw - e x r\n",
		  "on /a, device 4000:77 on /b" },
		{ "another", "36 35 4000:78 / /m rw - ext4 x rw\n", NULL },
		{ "empty", "", NULL },
		{ "no separator", "36 35 4000:77 / /m rw ext4 x rw\n", NULL },
		{ "cut off", "36 35 4000:77", NULL },
		{ "cut off before the mount point", "36 35 4000:77 / - ext4 x rw\n", NULL },
		{ "no number", "36 35 x:y / /m rw - ext4 x rw\n", NULL },
		{ "separator alone", " - \n", NULL },
		{ "anonymous with a source that is no device",
		  "1 2 0:30 / /m rw - btrfs /dev/null r\n", NULL },
		{ "anonymous with a text as source", "1 2 0:30 / /m rw - fuse a\\040b r\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err = { 0 };
		char path[32];
		bool ok;

		write_text(path, cases[i].text);
		ok = refuse_if_mounted(path, makedev(4000, 77), "card", &err);
		unlink(path);
		if (ok != !cases[i].says)
			fail_msg("%s: %s", cases[i].why, err.text);
		if (cases[i].says && !strstr(err.text, cases[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].why, err.text,
				 cases[i].says);
	}
}

static void many_and_long_mounts_are_cut_to_a_line(void **state)
{
	struct bmap_error err = { 0 };
	char *text = calloc(1, 200000), *p = text, path[32];

	(void)state;
	for (int i = 0; i < 20; i++) {
		p += sprintf(p, "1 2 4000:77 / /");
		memset(p, 'm', 4000);
		p += 4000;
		p += sprintf(p, " rw - e x r\n");
	}
	write_text(path, text);
	assert_false(refuse_if_mounted(path, makedev(4000, 77), "card", &err));
	unlink(path);
	free(text);
	assert_non_null(strstr(err.text, ", ...): unmount it first"));
}

static void swaps_that_are_no_devices_are_passed_over(void **state)
{
	static const char *const texts[] = {
		"",
		"Filename\tType\tSize\tUsed\tPriority\n",
		"Filename Type\n/swapfile file 1 0 -2\n/dev/null partition 1 0 -2\n",
		"/absent\\040name partition 1 0 -2\n\\\n\\0\n\\04",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct bmap_error err;
		char path[32];

		write_text(path, texts[i]);
		assert_true(refuse_if_swap(path, makedev(4000, 77), "card", &err));
		unlink(path);
	}
}

static void files_that_are_not_there_refuse_nothing(void **state)
{
	(void)state;
	assert_true(refuse_if_mounted("/absent", makedev(8, 0), "card", NULL));
	assert_true(refuse_if_swap("/absent", makedev(8, 0), "card", NULL));
}

static void a_footprint_that_does_not_fit_is_incomplete(void **state)
{
	struct footprint footprint = { 0 }, other = { 0 };

	(void)state;
	for (unsigned i = 0; i < FOOTPRINT_MAX; i++)
		footprint_add_device(&footprint, makedev(4000, i));
	assert_false(footprint.incomplete);
	footprint_add_device(&footprint, makedev(4000, 5)); /* it is in there */
	assert_false(footprint.incomplete);
	footprint_add_device(&footprint, makedev(4001, 0));
	assert_true(footprint.incomplete);
	for (unsigned i = 0; i <= FOOTPRINT_MAX; i++)
		footprint_add_file(&other, 1, i);
	assert_true(other.incomplete);
	assert_false(footprints_share(&footprint, &other));
	footprint_add_device(&other, makedev(4000, 127));
	assert_true(footprints_share(&footprint, &other));
}

static void sizes_are_told_in_bytes_and_in_human_units(void **state)
{
	struct bmap_error err;

	(void)state;
	assert_false(refuse_too_small("card", 3ull << 30, 512, &err));
	assert_int_equal(err.code, BMAP_ERR_REFUSED);
	assert_non_null(strstr(err.text, "image needs 3221225472 bytes (3.0 GiB)"));
	assert_non_null(strstr(err.text, "device has 512 bytes (512 bytes)"));
	assert_false(refuse_too_small("card", UINT64_MAX, 1536, &err));
	assert_non_null(strstr(err.text, "(16.0 EiB)"));
	assert_non_null(strstr(err.text, "(1.5 KiB)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_numbers_are_parsed_strictly),
		cmocka_unit_test(a_device_that_is_not_there_has_no_attributes),
		cmocka_unit_test(mounts_are_found_by_number_and_named),
		cmocka_unit_test(many_and_long_mounts_are_cut_to_a_line),
		cmocka_unit_test(swaps_that_are_no_devices_are_passed_over),
		cmocka_unit_test(files_that_are_not_there_refuse_nothing),
		cmocka_unit_test(a_footprint_that_does_not_fit_is_incomplete),
		cmocka_unit_test(sizes_are_told_in_bytes_and_in_human_units),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

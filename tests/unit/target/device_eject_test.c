/* SPDX-License-Identifier: MIT */
#include "device_tree.h"
#include "target/device_eject.h"

#include "base/checked.h"

#include "loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define USB "pci0/usb1/1-4"
#define SLOT(n) USB "/1-4:1.0/host2/target2:0:0/2:0:0:" n

static void add_slot(struct device_tree *tree, const char *folder, const char *name,
		     unsigned minor_number)
{
	device_tree_disk(tree, folder, name, 8, minor_number);
	device_tree_subsystem(tree, folder, "scsi");
}

static void add_reader(struct device_tree *tree)
{
	add_slot(tree, SLOT("0"), "sda", 0);
	add_slot(tree, SLOT("1"), "sdb", 16);
	device_tree_subsystem(tree, USB "/1-4:1.0", "usb");
	device_tree_subsystem(tree, USB, "usb");
	device_tree_file(tree, "sys/devices/" USB "/remove", "");
	device_tree_file(tree, "sys/devices/" SLOT("0") "/block/sda/sda1/partition", "1\n");
	device_tree_link(tree, "sys/dev/block/8:1", "../../devices/" SLOT("0") "/block/sda/sda1");
}

static void expect_plan(struct device_tree *tree, unsigned minor_number, struct eject_plan *plan)
{
	struct bmap_error err;

	if (!eject_plan_make(plan, &tree->places, makedev(8, minor_number), &err))
		fail_msg("%s", err.text);
}

static void only_drives_with_a_medium_of_their_own_eject_it(void **state)
{
	static const struct {
		const char *subsystem, *removable;
		bool has_medium;
	} cases[] = {
		{ "scsi", "1\n", true },  { "scsi", "0\n", false },   { "mmc", "1\n", false },
		{ "nvme", "1\n", false }, { "virtio", "1\n", false },
	};
	struct device_tree *tree = *state;

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct eject_plan plan;
		char folder[32], name[16], path[96];

		snprintf(folder, sizeof(folder), "pci0/bus%u", i);
		snprintf(name, sizeof(name), "disk%u", i);
		device_tree_disk(tree, folder, name, 8, i);
		device_tree_subsystem(tree, folder, cases[i].subsystem);
		snprintf(path, sizeof(path), "sys/devices/%s/block/%s/removable", folder, name);
		device_tree_file(tree, path, cases[i].removable);
		expect_plan(tree, i, &plan);
		assert_int_equal(plan.has_medium, cases[i].has_medium);
		assert_string_equal(plan.usb_folder, "");
	}
}

static void a_partition_stands_for_its_disk(void **state)
{
	struct device_tree *tree = *state;
	struct eject_plan plan;
	char disk[128];

	add_reader(tree);
	device_tree_file(tree, "sys/devices/" SLOT("0") "/block/sda/removable", "1\n");
	expect_plan(tree, 1, &plan);
	snprintf(disk, sizeof(disk), "%s/sda", tree->dev);
	assert_string_equal(plan.disk, disk);
	assert_int_equal(plan.number, makedev(8, 0));
	assert_true(plan.has_medium);
	assert_string_equal(plan.usb_path, "1-4");
}

static void a_reader_with_another_card_in_it_is_not_switched_off(void **state)
{
	struct device_tree *tree = *state;
	struct eject_plan plan;
	struct bmap_error err;

	add_reader(tree);
	expect_plan(tree, 0, &plan);
	assert_false(eject_refuse_if_shared(&plan, &tree->places, "stick", &err));
	assert_int_equal(err.code, BMAP_ERR_REFUSED);
	assert_int_equal(strncmp(err.text, "stick: ", 7), 0);
	assert_non_null(strstr(err.text, "/sdb"));
	device_tree_file(tree, "sys/devices/" SLOT("1") "/block/sdb/size", "0\n");
	assert_true(eject_refuse_if_shared(&plan, &tree->places, "stick", &err));
}

static void switching_off_is_one_write(void **state)
{
	struct device_tree *tree = *state;
	struct eject_plan plan;
	struct bmap_error err;
	char path[128], text[8] = "";
	int fd;

	add_reader(tree);
	expect_plan(tree, 0, &plan);
	assert_true(eject_power_off(&plan, "stick", &err));
	snprintf(path, sizeof(path), "%s/devices/" USB "/remove", tree->sys);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), 1);
	close(fd);
	assert_string_equal(text, "1");
	assert_int_equal(unlink(path), 0); /* a hub's root has none */
	assert_false(eject_power_off(&plan, "stick", &err));
	assert_non_null(strstr(err.text, "stick: cannot switch off USB device 1-4"));
	assert_non_null(strstr(err.text, "unplug it"));
}

static void what_is_no_device_is_an_error(void **state)
{
	struct bmap_error err;
	(void)state;

	assert_false(bmap_device_eject("/dev/null", NULL, &err));
	assert_int_equal(err.code, BMAP_ERR_NOT_FOUND);
	assert_false(bmap_device_eject("/dev/does-not-exist", NULL, &err));
	assert_int_equal(err.code, BMAP_ERR_NOT_FOUND);
}

static void what_somebody_holds_is_left_alone_and_a_loop_device_only_flushed(void **state)
{
	struct loop_device loop = LOOP_DEVICE_INIT;
	const char *missing = loop_missing();
	char path[128];
	struct device_tree *tree = *state;
	struct bmap_error err;
	int fd;

	if (missing) {
		print_message("skipped: %s\n", missing);
		skip();
	}
	device_tree_file(tree, "disk", "");
	snprintf(path, sizeof(path), "%s/disk", tree->top);
	assert_int_equal(truncate(path, 1 << 20), 0);
	assert_true(loop_attach(&loop, path, NULL));
	fd = open(loop.path, O_RDONLY | O_EXCL);
	assert_false(bmap_device_eject(loop.path, NULL, &err));
	assert_int_equal(err.code, BMAP_ERR_REFUSED);
	assert_non_null(strstr(err.text, "another program holds it"));
	close(fd);
	fd = open(loop.path, O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_false(bmap_device_eject(loop.path, NULL, &err));
	assert_non_null(strstr(err.text, "locked"));
	close(fd);
	assert_true(bmap_device_eject(loop.path, NULL, &err));
	loop_detach(&loop);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, device_tree_make, device_tree_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TREE(only_drives_with_a_medium_of_their_own_eject_it),
		WITH_TREE(a_partition_stands_for_its_disk),
		WITH_TREE(a_reader_with_another_card_in_it_is_not_switched_off),
		WITH_TREE(switching_off_is_one_write),
		WITH_TREE(what_somebody_holds_is_left_alone_and_a_loop_device_only_flushed),
		cmocka_unit_test(what_is_no_device_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

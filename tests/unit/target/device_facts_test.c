/* SPDX-License-Identifier: MIT */
#include "device_tree.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define USB "pci0000:00/0000:00:14.0/usb1/1-4/1-4.2/1-4.2:1.0/host2/target2:0:0/2:0:0:0"
#define ATA "pci0000:00/0000:00:17.0/ata3/host4/target4:0:0/4:0:0:0"
#define MMC "platform/sdhci/mmc_host/mmc0/mmc0:aaaa"
#define NVME "pci0000:00/0000:01:00.0/nvme/nvme0"

static void expect_same(const char *got, const char *wanted)
{
	if (!got || !wanted)
		assert_ptr_equal(got, wanted);
	else
		assert_string_equal(got, wanted);
}

static void expect_facts(struct device_tree *tree, unsigned minor_number,
			 struct bmap_device *device)
{
	struct bmap_error err;

	if (!device_facts_read(&tree->places, makedev(8, minor_number), device, &err))
		fail_msg("%s", err.text);
}

static void add_usb_stick(struct device_tree *tree, const char *name, unsigned minor_number)
{
	device_tree_disk(tree, USB, name, 8, minor_number);
	if (minor_number != 16)
		return;
	device_tree_subsystem(tree, USB, "scsi");
	device_tree_subsystem(tree, "pci0000:00/0000:00:14.0/usb1/1-4/1-4.2/1-4.2:1.0", "usb");
	device_tree_subsystem(tree, "pci0000:00/0000:00:14.0/usb1/1-4/1-4.2", "usb");
	device_tree_subsystem(tree, "pci0000:00/0000:00:14.0/usb1/1-4", "usb");
	device_tree_file(tree, "sys/devices/pci0000:00/0000:00:14.0/usb1/1-4/1-4.2/serial",
			 "4C5310012\n");
	device_tree_file(tree, "sys/devices/" USB "/vendor", "SanDisk \n");
	device_tree_file(tree, "sys/devices/" USB "/model", "Ultra Fit       \n");
}

static void a_usb_stick_is_known_by_its_port_and_its_own_serial_number(void **state)
{
	struct device_tree *tree = *state;
	struct bmap_device device;
	char path[128];

	add_usb_stick(tree, "sdb", 16);
	device_tree_bytes(tree, "sys/devices/" USB "/vpd_pg80", "\0\x80\0\4ABCD", 8);
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/removable", "1\n");
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/ro", "0\n");
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/queue/logical_block_size", "512\n");
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/queue/physical_block_size", "4096\n");
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/queue/rotational", "1\n");
	expect_facts(tree, 16, &device);
	snprintf(path, sizeof(path), "%s/sdb", tree->dev);
	expect_same(device.path, path);
	expect_same(device.vendor, "SanDisk");
	expect_same(device.model, "Ultra Fit");
	expect_same(device.serial, "4C5310012");
	expect_same(device.transport, "usb");
	expect_same(device.usb_path, "1-4.2");
	expect_same(device.by_id, NULL);
	assert_int_equal(device.size_bytes, 4096);
	assert_int_equal(device.logical_block_bytes, 512);
	assert_int_equal(device.physical_block_bytes, 4096);
	assert_true(device.removable && device.rotational && !device.read_only);
	bmap_device_free(&device);
}

static void a_partition_has_its_own_size_and_the_rest_from_its_disk(void **state)
{
	struct device_tree *tree = *state;
	struct bmap_device device;

	add_usb_stick(tree, "sdb", 16);
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/removable", "1\n");
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/sdb1/partition", "1\n");
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/sdb1/size", "2\n");
	device_tree_file(tree, "sys/devices/" USB "/block/sdb/sdb1/ro", "1\n");
	device_tree_link(tree, "sys/dev/block/8:17", "../../devices/" USB "/block/sdb/sdb1");
	device_tree_link(tree, "dev/disk/by-id/usb-SanDisk", "../../sdb");
	device_tree_link(tree, "dev/disk/by-id/usb-SanDisk-part1", "../../sdb1");
	expect_facts(tree, 17, &device);
	assert_int_equal(device.size_bytes, 1024);
	assert_true(device.removable && device.read_only);
	expect_same(device.model, "Ultra Fit");
	expect_same(device.usb_path, "1-4.2");
	expect_same(device.by_id, "usb-SanDisk-part1");
	bmap_device_free(&device);
}

static void each_transport_has_its_name_and_its_serial_number(void **state)
{
	static const struct {
		const char *attached, *chain[4][2], *name;
		const char *files[3][2];
		const char *transport, *vendor, *model, *serial;
	} cases[] = {
		{ ATA,
		  { { ATA, "scsi" } },
		  "sda",
		  { { ATA "/vendor", "ATA     \n" }, { ATA "/model", "Samsung SSD 860\n" } },
		  "ata",
		  NULL,
		  "Samsung SSD 860",
		  NULL },
		{ MMC,
		  { { MMC, "mmc" } },
		  "mmcblk0",
		  { { MMC "/name", "SD32G\n" },
		    { MMC "/serial", "0x1a2b\n" },
		    { MMC "/cid", "ff\n" } },
		  "mmc",
		  NULL,
		  "SD32G",
		  "0x1a2b" },
		{ NVME,
		  { { NVME, "nvme" } },
		  "nvme0n1",
		  { { NVME "/model", "WD Black \n" }, { NVME "/serial", " 21 \n" } },
		  "nvme",
		  NULL,
		  "WD Black",
		  "21" },
		{ "pci0/virtio1",
		  { { "pci0/virtio1", "virtio" } },
		  "vda",
		  { { "pci0/virtio1/block/vda/serial", "disk-1" },
		    { "pci0/virtio1/vendor", "0x1af4\n" } },
		  "virtio",
		  NULL,
		  NULL,
		  "disk-1" },
		/* virtio-scsi and host adapters: what they speak */
		{ "pci0/virtio2/host1/1:0:0:0",
		  { { "pci0/virtio2", "virtio" }, { "pci0/virtio2/host1/1:0:0:0", "scsi" } },
		  "sdc",
		  { { "pci0/virtio2/host1/1:0:0:0/vendor", "QEMU\n" } },
		  "scsi",
		  "QEMU",
		  NULL,
		  NULL },
		/* a card in a reader that is no mass storage: the card's number, not the reader's
		 */
		{ "usb2/2-1/mmc1",
		  { { "usb2/2-1", "usb" }, { "usb2/2-1/mmc1", "mmc" } },
		  "mmcblk1",
		  { { "usb2/2-1/serial", "reader" }, { "usb2/2-1/mmc1/serial", "0xcafe\n" } },
		  "mmc",
		  NULL,
		  NULL,
		  "0xcafe" },
		{ "virtual/loop",
		  { { 0 } },
		  "loop3",
		  { { "virtual/loop/block/loop3/loop/backing_file", "/srv/a disk.img\n" } },
		  "loop",
		  NULL,
		  "/srv/a disk.img",
		  NULL },
		{ "virtual/zram", { { 0 } }, "zram0", { { 0 } }, "ram", NULL, NULL, NULL },
		{ "virtual/dm", { { 0 } }, "dm-0", { { 0 } }, NULL, NULL, NULL, NULL },
	};
	struct device_tree *tree = *state;

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_device device;
		char path[256];

		device_tree_disk(tree, cases[i].attached, cases[i].name, 8, i);
		for (unsigned j = 0; j < 4 && cases[i].chain[j][0]; j++)
			device_tree_subsystem(tree, cases[i].chain[j][0], cases[i].chain[j][1]);
		for (unsigned j = 0; j < 3 && cases[i].files[j][0]; j++) {
			snprintf(path, sizeof(path), "sys/devices/%s", cases[i].files[j][0]);
			device_tree_file(tree, path, cases[i].files[j][1]);
		}
		expect_facts(tree, i, &device);
		expect_same(device.transport, cases[i].transport);
		expect_same(device.vendor, cases[i].vendor);
		expect_same(device.model, cases[i].model);
		expect_same(device.serial, cases[i].serial);
		bmap_device_free(&device);
	}
}

static void the_serial_page_is_read_where_there_is_nothing_better(void **state)
{
	static const struct {
		const char *page;
		size_t len;
		const char *serial, *why;
	} cases[] = {
		{ "\0\x80\0\6  S3Z ", 10, "S3Z", "padded" },
		{ "\0\x80\0\6S3", 6, NULL, "shorter than it says" },
		{ "\0\x80\xff\xffS3", 6, NULL, "much shorter" },
		{ "\0\x83\0\2S3", 6, NULL, "another page" },
		{ "\0\x80\0", 3, NULL, "no header" },
		{ "\0\x80\0\4\0\0\0\0", 8, NULL, "empty" },
		{ "\0\x80\0\5a\0b\x1b\xff", 9, "a?b??", "not text" },
		{ "\0\x80\0\2S3rest", 10, "S3", "what is behind does not count" },
	};
	struct device_tree *tree = *state;

	device_tree_disk(tree, ATA, "sda", 8, 0);
	device_tree_subsystem(tree, ATA, "scsi");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_device device;

		device_tree_bytes(tree, "sys/devices/" ATA "/vpd_pg80", cases[i].page,
				  cases[i].len);
		expect_facts(tree, 0, &device);
		expect_same(device.serial, cases[i].serial);
		bmap_device_free(&device);
	}
}

static void what_a_device_says_of_itself_is_made_fit_to_be_shown(void **state)
{
	static const struct {
		const char *says, *shown, *why;
	} cases[] = {
		{ "  plain  \n", "plain", "trimmed" },
		{ "\x1b[31mred\x7f\r\n", "?[31mred??", "what terminals obey" },
		{ "two\nlines\n", "two?lines", "lines" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		  "UTF-8 of every length stays" },
		{ "a\xff\xc3", "a??", "no UTF-8, cut off" },
		{ "\xc0\xaf\xe0\x80\xaf\xed\xa0\x80\xf4\x90\x80\x80", "????????????",
		  "too long, surrogates, beyond Unicode" },
		{ "x\xc2\x9bm", "x??m", "C1" },
		{ "a\xe2\x80\xae"
		  "b\xe2\x81\xa6",
		  "a???b???", "direction" },
		{ "   \n", NULL, "nothing" },
	};
	struct device_tree *tree = *state;

	device_tree_disk(tree, NVME, "nvme0n1", 8, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_device device;

		device_tree_file(tree, "sys/devices/" NVME "/model", cases[i].says);
		expect_facts(tree, 0, &device);
		expect_same(device.model, cases[i].shown);
		bmap_device_free(&device);
	}
}

static void numbers_that_are_none_are_not_guessed(void **state)
{
	static const char *const sizes[] = { "",    "x",
					     "-1",  "36028797018963968",
					     "8 8", "99999999999999999999999" };
	struct device_tree *tree = *state;

	device_tree_disk(tree, NVME, "nvme0n1", 8, 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct bmap_device device;

		device_tree_file(tree, "sys/devices/" NVME "/block/nvme0n1/size", sizes[i]);
		expect_facts(tree, 0, &device);
		assert_int_equal(device.size_bytes, 0);
		bmap_device_free(&device);
	}
}

static void the_best_of_several_names_is_shown(void **state)
{
	struct device_tree *tree = *state;
	struct bmap_device device;

	device_tree_disk(tree, ATA, "sda", 8, 0);
	device_tree_disk(tree, NVME, "sdaa", 8, 1);
	device_tree_link(tree, "dev/disk/by-id/wwn-0x5002", "../../sda");
	device_tree_link(tree, "dev/disk/by-id/ata-Samsung_2", "../../sda");
	device_tree_link(tree, "dev/disk/by-id/ata-Samsung_1", "../../sda");
	device_tree_link(tree, "dev/disk/by-id/scsi-0ATA", "../../sda");
	device_tree_link(tree, "dev/disk/by-id/aaa", "../../sdaa");
	device_tree_link(tree, "dev/disk/by-path/pci-0000:00:17.0-ata-3", "../../sda");
	device_tree_file(tree, "dev/disk/by-path/no-link", "sda");
	expect_facts(tree, 0, &device);
	expect_same(device.by_id, "ata-Samsung_1");
	expect_same(device.by_path, "pci-0000:00:17.0-ata-3");
	bmap_device_free(&device);
}

static void a_device_that_is_gone_is_an_error(void **state)
{
	struct device_tree *tree = *state;
	struct bmap_device device;
	struct bmap_error err;

	assert_false(device_facts_read(&tree->places, makedev(8, 99), &device, &err));
	assert_int_equal(err.code, BMAP_ERR_IO);
	assert_non_null(strstr(err.text, "8:99"));
	assert_null(device.path);
}

static void expect_match(struct device_tree *tree, enum bmap_device_name kind, const char *pattern,
			 const char *names)
{
	struct bmap_device_list list;
	struct bmap_error err;
	char got[256] = "";

	if (!device_facts_list(&tree->places, kind, pattern, &list, &err))
		fail_msg("%s", err.text);
	for (size_t i = 0; i < list.count; i++) {
		strcat(got, i ? " " : "");
		strcat(got, list.devices[i].path + strlen(tree->dev) + 1);
	}
	assert_string_equal(got, names);
	bmap_device_list_free(&list);
}

static void disks_are_found_by_any_of_their_names(void **state)
{
	struct device_tree *tree = *state;

	add_usb_stick(tree, "sdb", 16);
	add_usb_stick(tree, "sdc", 32); /* the reader's second slot */
	device_tree_disk(tree, ATA, "sda", 8, 0);
	device_tree_disk(tree, NVME, "sda10", 8, 3);
	device_tree_disk(tree, MMC, "sda9", 8, 2);
	device_tree_disk(tree, "pci0/array", "cciss!c0d0", 104, 0);
	device_tree_disk(tree, "pci0/path", "nvme0c0n1", 8, 5);
	device_tree_file(tree, "sys/devices/pci0/path/block/nvme0c0n1/hidden", "1\n");
	device_tree_link(tree, "dev/disk/by-id/ata-Disk_7", "../../sda");
	device_tree_link(tree, "dev/disk/by-id/wwn-0x7", "../../sda");
	device_tree_link(tree, "dev/disk/by-id/cciss-7", "../../cciss/c0d0");
	expect_match(tree, BMAP_DEVICE_BY_ID, NULL, "cciss/c0d0 sda sda9 sda10 sdb sdc");
	expect_match(tree, BMAP_DEVICE_USB_PATH, "1-4.*", "sdb sdc");
	expect_match(tree, BMAP_DEVICE_USB_PATH, "1-4", "");
	expect_match(tree, BMAP_DEVICE_BY_ID, "ata-*", "sda");
	expect_match(tree, BMAP_DEVICE_BY_ID, "wwn-0x7", "sda");
	expect_match(tree, BMAP_DEVICE_BY_ID, "*7", "cciss/c0d0 sda");
	expect_match(tree, BMAP_DEVICE_BY_ID, "*[", "");
	expect_match(tree, BMAP_DEVICE_BY_PATH, "*", "");
}

static void without_sysfs_there_is_no_list(void **state)
{
	struct device_tree *tree = *state;
	struct bmap_device_list list;
	struct bmap_error err;

	tree->places.sys = "/nowhere";
	assert_false(device_facts_list(&tree->places, BMAP_DEVICE_BY_ID, NULL, &list, &err));
	assert_non_null(strstr(err.text, "/nowhere/block"));
	assert_int_equal(list.count, 0);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, device_tree_make, device_tree_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TREE(a_usb_stick_is_known_by_its_port_and_its_own_serial_number),
		WITH_TREE(a_partition_has_its_own_size_and_the_rest_from_its_disk),
		WITH_TREE(each_transport_has_its_name_and_its_serial_number),
		WITH_TREE(the_serial_page_is_read_where_there_is_nothing_better),
		WITH_TREE(what_a_device_says_of_itself_is_made_fit_to_be_shown),
		WITH_TREE(numbers_that_are_none_are_not_guessed),
		WITH_TREE(the_best_of_several_names_is_shown),
		WITH_TREE(a_device_that_is_gone_is_an_error),
		WITH_TREE(disks_are_found_by_any_of_their_names),
		WITH_TREE(without_sysfs_there_is_no_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

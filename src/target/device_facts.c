/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "target/device_internal.h"
#include "target/device_text.h"
#include "target/device_udev.h"
#include "target/mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SECTOR_BYTES 512u /* in sysfs, whatever the device's own are */

const struct device_places device_places_system = {
	.sys = "/sys",
	.dev = "/dev",
	.mountinfo = MOUNTINFO,
	.udev = true,
};

static void read_numbers(const struct device_view *view, struct bmap_device *device);
static void read_identity(struct device_view *view, const struct device_chain *chain,
			  struct bmap_device *device);
static void ask_udev(struct device_view *view, struct bmap_device *device);
static void read_names(struct device_view *view, const struct device_chain *chain,
		       struct bmap_device *device);

bool device_view_open(struct device_view *view, const struct device_places *places, dev_t number)
{
	char path[PATH_MAX];
	struct stat st;

	*view = (struct device_view){ .places = places, .number = number };
	if (snprintf(path, sizeof(path), "%s/dev/block/%u:%u", places->sys, major(number),
		     minor(number)) >= (int)sizeof(path) ||
	    !realpath(path, view->folder) || !strchr(view->folder, '/') ||
	    snprintf(path, sizeof(path), "%s/partition", view->folder) >= (int)sizeof(path))
		return false;
	view->partition = !stat(path, &st);
	memcpy(view->disk_folder, view->folder, sizeof(view->folder));
	if (view->partition) /* a partition's folder lies in its disk's */
		*strrchr(view->disk_folder, '/') = '\0';
	return true;
}

void device_view_name(const char *folder, char name[NAME_MAX + 1])
{
	const char *base = strrchr(folder, '/');

	snprintf(name, NAME_MAX + 1, "%.*s", NAME_MAX, base ? base + 1 : folder);
	for (char *p = name; *p; p++)
		if (*p == '!')
			*p = '/';
}

char *device_view_keep(struct device_view *view, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	view->no_memory |= text && !copy;
	return copy;
}

bool device_facts_read(const struct device_places *places, dev_t number, struct bmap_device *device,
		       struct bmap_error *err)
{
	struct device_view view;
	struct device_chain chain;

	*device = (struct bmap_device){ 0 };
	if (!device_view_open(&view, places, number))
		return bmap_error_set(err, BMAP_ERR_IO,
				      "device %u:%u: %s/dev/block does not know it: is it gone, or "
				      "sysfs not mounted?",
				      major(number), minor(number), places->sys);
	device_chain_read(&chain, places, view.disk_folder);
	read_numbers(&view, device);
	read_names(&view, &chain, device);
	read_identity(&view, &chain, device);
	if (places->udev)
		ask_udev(&view, device);
	if (!view.no_memory)
		return true;
	bmap_device_free(device);
	return bmap_error_memory(err, "a device");
}

static unsigned read_block_bytes(const char *folder, const char *attribute)
{
	return (unsigned)min_u64(device_number_read(folder, attribute), UINT32_MAX);
}

static void read_numbers(const struct device_view *view, struct bmap_device *device)
{
	const char *disk = view->disk_folder;

	if (!checked_mul(device_number_read(view->folder, "size"), SECTOR_BYTES,
			 &device->size_bytes))
		device->size_bytes = 0;
	device->logical_block_bytes = read_block_bytes(disk, "queue/logical_block_size");
	device->physical_block_bytes = read_block_bytes(disk, "queue/physical_block_size");
	device->removable = device_number_read(disk, "removable") == 1;
	device->rotational = device_number_read(disk, "queue/rotational") == 1;
	device->read_only =
		device_number_read(view->folder, "ro") == 1 || device_number_read(disk, "ro") == 1;
}

static void read_names(struct device_view *view, const struct device_chain *chain,
		       struct bmap_device *device)
{
	char name[NAME_MAX + 1], path[PATH_MAX + NAME_MAX + 2];

	device_view_name(view->folder, name);
	snprintf(path, sizeof(path), "%s/%s", view->places->dev, name);
	device->path = device_view_keep(view, path);
	device->transport = device_view_keep(view, chain->transport);
	device->usb_path = device_view_keep(view, chain->usb_port[0] ? chain->usb_port : NULL);
	device_links_best(view, "by-id", name);
	device->by_id = device_view_keep(view, device_text_clean(name, strlen(name)) ? name : NULL);
	device_links_best(view, "by-path", name);
	device->by_path =
		device_view_keep(view, device_text_clean(name, strlen(name)) ? name : NULL);
}

/* The first of several attributes that says something. */
static char *read_first(struct device_view *view, const char *folder, const char *const *attributes)
{
	char text[DEVICE_TEXT_BYTES];

	for (; *attributes; attributes++)
		if (device_text_read(folder, *attributes, text))
			return device_view_keep(view, text);
	return NULL;
}

static char *read_serial_page(struct device_view *view)
{
	uint8_t page[DEVICE_TEXT_BYTES];
	char text[DEVICE_TEXT_BYTES];
	size_t len = device_bytes_read(view->disk_folder, "device/vpd_pg80", page, sizeof(page));

	return device_text_serial_page(page, len, text) ? device_view_keep(view, text) : NULL;
}

static void read_identity(struct device_view *view, const struct device_chain *chain,
			  struct bmap_device *device)
{
	/* SCSI, NVMe; MMC; loop devices stand for their file. */
	static const char *const models[] = { "device/model", "device/name", "loop/backing_file",
					      NULL };
	/* NVMe, MMC; virtio. A card's "cid" has its number in it. */
	static const char *const serials[] = { "device/serial", "serial", "device/cid", NULL };
	static const char *const usb_serial[] = { "serial", NULL };
	char vendor[DEVICE_TEXT_BYTES];
	const char *transport = chain->transport ? chain->transport : "";
	bool usb = !strcmp(transport, "usb");

	device->model = read_first(view, view->disk_folder, models);
	/* Elsewhere it is a number of a bus, and "ATA" for all of these. */
	if ((usb || !strcmp(transport, "scsi")) &&
	    device_text_read(view->disk_folder, "device/vendor", vendor))
		device->vendor = device_view_keep(view, vendor);
	/* Of a stick or card reader, as udev says: many invent the one of the SCSI page. */
	if (usb)
		device->serial = read_first(view, chain->usb_folder, usb_serial);
	if (!device->serial)
		device->serial = read_serial_page(view);
	if (!device->serial)
		device->serial = read_first(view, view->disk_folder, serials);
}

static void add_if_unknown(struct device_view *view, char **fact, const char *text)
{
	if (!*fact && text[0])
		*fact = device_view_keep(view, text);
}

/* sysfs comes first, so that a report says the same with and without udev. */
static void ask_udev(struct device_view *view, struct bmap_device *device)
{
	struct device_udev udev;

	device_udev_read(&udev, view->number);
	if (device->model && strlen(udev.model) > strlen(device->model) &&
	    !strncmp(udev.model, device->model, strlen(device->model))) {
		free(device->model); /* it was cut off */
		device->model = NULL;
	}
	add_if_unknown(view, &device->vendor, device->model ? "" : udev.vendor);
	add_if_unknown(view, &device->model, udev.model);
	add_if_unknown(view, &device->serial, udev.serial);
}

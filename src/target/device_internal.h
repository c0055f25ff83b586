/* SPDX-License-Identifier: MIT */
/* target/device_internal.h - what the files share that find out about a device.
 *
 * devices.c         the public functions: one, all, those of a name
 * device_facts.c    numbers and names from sysfs
 * device_chain.c    how it is attached
 * device_links.c    names in /dev/disk
 * device_parts.c    its partitions, and where they are mounted
 * device_eject.c    letting its medium go, or switching it off
 * device_content.c  what is on it, by libblkid
 * device_udev.c     what udev found out
 * device_text.c     what devices say of themselves, made fit to be shown */
#ifndef TARGET_DEVICE_INTERNAL_H
#define TARGET_DEVICE_INTERNAL_H

#include "base/error.h"
#include "target/devices.h"

#include <limits.h>

/* One device while it is looked at. */
struct device_view {
	const struct device_places *places;
	dev_t number;
	char folder[PATH_MAX]; /* its own in sysfs, free of links */
	char disk_folder[PATH_MAX]; /* of its whole disk: the same but for a partition */
	bool partition;
	bool no_memory; /* a string could not be kept */
};

/* Finds the device of that number in sysfs. */
bool device_view_open(struct device_view *view, const struct device_places *places, dev_t number);
/* The kernel's name, '/' where sysfs has '!', of the device with that folder. */
void device_view_name(const char *folder, char name[NAME_MAX + 1]);
/* A copy; NULL for NULL, and when there is no memory, which the view keeps in mind. */
char *device_view_keep(struct device_view *view, const char *text);

/* How a device is attached, going up from folder/device. */
struct device_chain {
	const char *transport; /* a constant; NULL: of no kind that has a name here */
	char usb_folder[PATH_MAX]; /* of the USB device it is part of, the nearest; "": none */
	char usb_port[NAME_MAX + 1]; /* "1-1.4"; "": none */
};
void device_chain_read(struct device_chain *chain, const struct device_places *places,
		       const char *disk_folder);

/* Calls visit for each name that the device has in /dev/disk/FOLDER, until it returns false. */
typedef bool device_link_visit(void *user, const char *name);
void device_links_each(const struct device_view *view, const char *folder, device_link_visit *visit,
		       void *user);
/* The one that says most to a person; "" if there is none. */
void device_links_best(const struct device_view *view, const char *folder, char best[NAME_MAX + 1]);

/* Partitions that the kernel knows, by their numbers. */
bool device_parts_read(struct device_view *view, struct bmap_device *device,
		       struct bmap_error *err);
/* Where they, or the whole device, are mounted. */
void device_mounts_read(struct device_view *view, struct bmap_device *device);

#endif

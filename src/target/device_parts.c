/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "target/device_internal.h"
#include "target/device_text.h"
#include "target/mounts.h"
#include "target/sysfs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SECTOR_BYTES 512u
#define MAX_ENTRIES 4096u /* in a disk's folder: 255 partitions and some attributes */

static bool is_partition(const char *folder)
{
	char path[PATH_MAX + NAME_MAX + 16];
	struct stat st;

	snprintf(path, sizeof(path), "%s/partition", folder);
	return !stat(path, &st);
}

static bool add_part(struct device_view *view, struct bmap_device *device, const char *folder)
{
	size_t bytes = (device->part_count + 1) * sizeof(*device->parts);
	struct bmap_device_part *parts = realloc(device->parts, bytes), *part;
	char name[NAME_MAX + 1], path[PATH_MAX + NAME_MAX + 2];

	if (!parts)
		return false;
	device->parts = parts;
	part = &parts[device->part_count];
	*part = (struct bmap_device_part){ 0 };
	device_view_name(folder, name);
	snprintf(path, sizeof(path), "%s/%s", view->places->dev, name);
	part->path = device_view_keep(view, path);
	if (!part->path)
		return false;
	device->part_count++;
	if (!checked_mul(device_number_read(folder, "start"), SECTOR_BYTES, &part->offset_bytes) ||
	    !checked_mul(device_number_read(folder, "size"), SECTOR_BYTES, &part->size_bytes))
		part->offset_bytes = part->size_bytes = 0;
	return true;
}

static int by_path(const void *a, const void *b)
{
	const struct bmap_device_part *first = a, *second = b;

	return strverscmp(first->path, second->path);
}

bool device_parts_read(struct device_view *view, struct bmap_device *device, struct bmap_error *err)
{
	DIR *dir = view->partition ? NULL : opendir(view->folder);
	const struct dirent *entry;
	unsigned count = 0;
	bool good = true;

	while (dir && good && count++ < MAX_ENTRIES && (entry = readdir(dir))) {
		char folder[PATH_MAX + NAME_MAX + 2];

		snprintf(folder, sizeof(folder), "%s/%s", view->folder, entry->d_name);
		if (entry->d_name[0] != '.' && is_partition(folder))
			good = add_part(view, device, folder);
	}
	if (dir)
		closedir(dir);
	if (!good)
		return bmap_error_memory(err, "the partitions of a device");
	if (device->part_count)
		qsort(device->parts, device->part_count, sizeof(*device->parts), by_path);
	return true;
}

/* --- mounts --- */

struct mount_search {
	struct device_view *view;
	struct bmap_device *device;
};

static void set_first(struct device_view *view, char **place, const char *mount_point)
{
	char text[DEVICE_TEXT_BYTES];

	snprintf(text, sizeof(text), "%s", mount_point);
	if (!*place && device_text_clean(text, strlen(text)))
		*place = device_view_keep(view, text);
}

static bool note_mount(void *user, dev_t mounted, const char *mount_point)
{
	struct mount_search *search = user;
	struct bmap_device *device = search->device;
	char path[PATH_MAX + SYSFS_NAME_BYTES], name[SYSFS_NAME_BYTES];

	if (mounted == search->view->number)
		set_first(search->view, &device->mounted_at, mount_point);
	if (!device->part_count || sysfs_whole_disk(mounted) != search->view->number ||
	    !sysfs_name(mounted, name))
		return true;
	snprintf(path, sizeof(path), "%s/%s", search->view->places->dev, name);
	for (size_t i = 0; i < device->part_count; i++)
		if (device->parts[i].path && !strcmp(device->parts[i].path, path))
			set_first(search->view, &device->parts[i].mounted_at, mount_point);
	return true;
}

void device_mounts_read(struct device_view *view, struct bmap_device *device)
{
	struct mount_search search = { .view = view, .device = device };

	mounts_each(view->places->mountinfo, note_mount, &search);
}

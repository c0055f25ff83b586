/* SPDX-License-Identifier: MIT */
#include "target/device_internal.h"
#include "target/device_text.h"
#include "target/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DISKS 65536u

static bool matches(const struct device_places *places, const struct bmap_device *device,
		    dev_t number, enum bmap_device_name kind, const char *pattern);

static bool disk_number(const char *folder, const char *name, dev_t *number)
{
	char place[PATH_MAX], text[DEVICE_TEXT_BYTES];

	return snprintf(place, sizeof(place), "%s/%s", folder, name) < (int)sizeof(place) &&
	       device_number_read(place, "hidden") !=
		       1 && /* a path of a disk of several: no node */
	       device_text_read(place, "dev", text) &&
	       sysfs_parse_device(text, number);
}

static bool append(struct bmap_device_list *list, struct bmap_device *device,
		   struct bmap_error *err)
{
	size_t bytes = (list->count + 1) * sizeof(*list->devices);
	struct bmap_device *devices = realloc(list->devices, bytes);

	if (!devices) {
		bmap_device_free(device);
		return bmap_error_memory(err, "the list of devices");
	}
	list->devices = devices;
	devices[list->count++] = *device;
	return true;
}

static bool add_disk(const struct device_places *places, dev_t number, enum bmap_device_name kind,
		     const char *pattern, struct bmap_device_list *list, struct bmap_error *err)
{
	struct bmap_device device;

	/* One that goes away in this moment is not there. */
	if (!device_facts_read(places, number, &device, err))
		return err->code != BMAP_ERR_MEMORY;
	if (!pattern || matches(places, &device, number, kind, pattern))
		return append(list, &device, err);
	bmap_device_free(&device);
	return true;
}

static int by_path(const void *a, const void *b)
{
	const struct bmap_device *first = a, *second = b;

	return strverscmp(first->path, second->path);
}

bool device_facts_list(const struct device_places *places, enum bmap_device_name kind,
		       const char *pattern, struct bmap_device_list *list, struct bmap_error *err)
{
	const struct dirent *entry;
	struct bmap_error local;
	char folder[PATH_MAX];
	unsigned count = 0;
	bool good = true;
	DIR *dir;

	*list = (struct bmap_device_list){ 0 };
	err = err ? err : &local;
	if (snprintf(folder, sizeof(folder), "%s/block", places->sys) >= (int)sizeof(folder))
		return bmap_error_errnum(err, ENAMETOOLONG, "%s/block", places->sys);
	dir = opendir(folder);
	if (!dir)
		return bmap_error_errno(
			err, "%s: cannot list the block devices (is sysfs mounted?)", folder);
	while (good && count++ < MAX_DISKS && (entry = readdir(dir))) {
		dev_t number;

		if (entry->d_name[0] != '.' && disk_number(folder, entry->d_name, &number))
			good = add_disk(places, number, kind, pattern, list, err);
	}
	closedir(dir);
	if (!good)
		bmap_device_list_free(list);
	else if (list->count)
		qsort(list->devices, list->count, sizeof(*list->devices), by_path);
	return good;
}

struct link_match {
	const char *pattern;
	bool found;
};

static bool match_link(void *user, const char *name)
{
	struct link_match *match = user;

	match->found = !fnmatch(match->pattern, name, 0);
	return !match->found;
}

static bool matches(const struct device_places *places, const struct bmap_device *device,
		    dev_t number, enum bmap_device_name kind, const char *pattern)
{
	struct link_match match = { .pattern = pattern };
	struct device_view view;

	switch (kind) {
	case BMAP_DEVICE_USB_PATH:
		return device->usb_path && !fnmatch(pattern, device->usb_path, 0);
	case BMAP_DEVICE_BY_ID:
	case BMAP_DEVICE_BY_PATH: /* any of its names, not only the one that is shown */
		if (device_view_open(&view, places, number))
			device_links_each(&view, kind == BMAP_DEVICE_BY_ID ? "by-id" : "by-path",
					  match_link, &match);
		return match.found;
	}
	return false;
}

/* SPDX-License-Identifier: MIT */
#include "target/device_content.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "target/device_text.h"
#include "target/safety.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <string.h>

#define SECTOR_BYTES 512u /* what libblkid counts partitions in */
#define MAX_PARTS 256 /* a table that names more is not one of a system */

static void free_probe(blkid_probe *probe)
{
	if (*probe)
		blkid_free_probe(*probe);
}

#define CLEANUP_PROBE __attribute__((cleanup(free_probe)))

/* A part of the device, size_bytes 0: all of it. NULL: nothing can be said. Only reads. */
static blkid_probe probe_new(int fd, uint64_t offset_bytes, uint64_t size_bytes)
{
	blkid_probe probe = blkid_new_probe();

	if (!probe)
		return NULL;
	if (blkid_probe_set_device(probe, fd, (blkid_loff_t)offset_bytes,
				   (blkid_loff_t)size_bytes)) {
		blkid_free_probe(probe);
		return NULL;
	}
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
	return probe;
}

/* What libblkid found, a text from the device, as it may be shown. */
static char *found(struct device_view *view, blkid_probe probe, const char *name)
{
	char text[DEVICE_TEXT_BYTES];
	const char *data;
	size_t len;

	if (blkid_probe_lookup_value(probe, name, &data, &len))
		return NULL;
	len = min_u64(strnlen(data, len), sizeof(text) - 1);
	memcpy(text, data, len);
	return device_text_clean(text, len) ? device_view_keep(view, text) : NULL;
}

static void read_file_system(struct device_view *view, int fd, struct bmap_device_part *part)
{
	CLEANUP_PROBE blkid_probe probe = NULL;

	if (!part->size_bytes)
		return;
	probe = probe_new(fd, part->offset_bytes, part->size_bytes);
	if (!probe || blkid_do_safeprobe(probe)) /* none, or several that contradict each other */
		return;
	part->type = found(view, probe, "TYPE");
	part->label = found(view, probe, "LABEL");
}

static bool in_table(blkid_partition entry, struct bmap_device_part *part)
{
	blkid_loff_t start = blkid_partition_get_start(entry);
	blkid_loff_t size = blkid_partition_get_size(entry);

	return start >= 0 && size > 0 &&
	       checked_mul((uint64_t)start, SECTOR_BYTES, &part->offset_bytes) &&
	       checked_mul((uint64_t)size, SECTOR_BYTES, &part->size_bytes);
}

/* Nobody told the kernel of these partitions: a loop device, or a table that was just written. */
static bool add_parts(struct bmap_device *device, blkid_partlist table, int count)
{
	device->parts = calloc((size_t)count, sizeof(*device->parts));
	if (!device->parts)
		return false;
	for (int i = 0; i < count; i++) {
		struct bmap_device_part part = { 0 };
		blkid_partition entry = blkid_partlist_get_partition(table, i);

		if (entry && in_table(entry, &part) && part.offset_bytes < device->size_bytes &&
		    part.size_bytes <= device->size_bytes - part.offset_bytes)
			device->parts[device->part_count++] = part;
	}
	return true;
}

/* The name that a GPT has for it, where the file system has none. */
static void read_name(struct device_view *view, blkid_partlist table, int count,
		      struct bmap_device_part *part)
{
	for (int i = 0; i < count && !part->label; i++) {
		blkid_partition entry = blkid_partlist_get_partition(table, i);
		const char *name = entry ? blkid_partition_get_name(entry) : NULL;
		struct bmap_device_part same = { 0 };
		char text[DEVICE_TEXT_BYTES];
		size_t len;

		if (!name || !in_table(entry, &same) || same.offset_bytes != part->offset_bytes)
			continue;
		len = strnlen(name, sizeof(text) - 1);
		memcpy(text, name, len);
		if (device_text_clean(text, len))
			part->label = device_view_keep(view, text);
	}
}

static bool read_parts(struct device_view *view, struct bmap_device *device, blkid_probe probe,
		       int fd)
{
	blkid_partlist table = blkid_probe_get_partitions(probe);
	int count = table ? blkid_partlist_numof_partitions(table) : 0;

	count = count > MAX_PARTS ? MAX_PARTS : count;
	if (!device->part_count && count > 0 && !add_parts(device, table, count))
		return false;
	for (size_t i = 0; i < device->part_count; i++) {
		read_file_system(view, fd, &device->parts[i]);
		read_name(view, table, count, &device->parts[i]);
	}
	return true;
}

static bool read_content(struct device_view *view, int fd, struct bmap_device *device,
			 struct bmap_error *err)
{
	CLEANUP_PROBE blkid_probe probe = probe_new(fd, 0, 0);

	if (!probe)
		return true;
	blkid_probe_enable_partitions(probe, 1);
	if (!blkid_do_safeprobe(probe)) {
		device->content = found(view, probe, "PTTYPE");
		if (!device->content) {
			device->content = found(view, probe, "TYPE");
			device->label = found(view, probe, "LABEL");
		}
	}
	return read_parts(view, device, probe, fd) ||
	       bmap_error_memory(err, "the partitions of a device");
}

bool device_content_read(struct device_view *view, struct bmap_device *device,
			 struct bmap_error *err)
{
	CLEANUP_CLOSE int lock = -1;
	CLEANUP_CLOSE int fd = -1;
	bool taken;

	if (!device->size_bytes)
		return true;
	lock = disk_lock_shared(view->number, &taken);
	if (taken) /* it is being written: what is read now is neither the old nor the new */
		return true;
	/* Not to wait for a drive that closes its tray or spins up. */
	fd = open(device->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return fd < 0 || read_content(view, fd, device, err);
}

bool image_content_read(int fd, struct bmap_device *image, struct bmap_error *err)
{
	struct device_view view = { .no_memory = false };

	if (!read_content(&view, fd, image, err))
		return false;
	return !view.no_memory || bmap_error_memory(err, image->path);
}

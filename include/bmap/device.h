/* SPDX-License-Identifier: MIT */
/* device.h - block devices that could be targets: what they are, what is on them, and whether they
 * may be written.
 *
 * Facts come from sysfs and, where
 * udev runs, its database; a fact that the system does not tell is NULL or 0, never a guess.
 * Threads:   an object belongs to one at a time.
 * Ownership: strings belong to the object they are in. */
#ifndef BMAP_DEVICE_H
#define BMAP_DEVICE_H

#include <bmap/error.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bmap_device_part {
	char *path; /* "/dev/sdb1" */
	uint64_t offset_bytes, size_bytes;
	char *type; /* of its file system: "ext4", "vfat"; NULL: none that is known */
	char *label; /* of the file system, else of the partition */
	char *mounted_at; /* the first place of several */
};

struct bmap_device {
	char *path; /* the kernel's name for it: "/dev/sdb" */
	char *vendor, *model, *serial;
	char *transport; /* "usb", "nvme", "mmc", "ata", "scsi", "virtio", "loop" */
	char *by_id, *by_path; /* names in /dev/disk/by-id and by-path, without the folder */
	char *usb_path; /* the port it is plugged into, as the kernel counts: "1-1.4.2" */
	uint64_t size_bytes;
	unsigned logical_block_bytes, physical_block_bytes;
	bool removable, read_only, rotational;
	char *content; /* "gpt", "dos", or the file system's type; NULL: nothing that is known */
	struct bmap_device_part *parts;
	size_t part_count;
	char *refusal; /* why it would not be written to; NULL: it could be */
};

#ifdef __cplusplus
}
#endif
#endif

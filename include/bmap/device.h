/* SPDX-License-Identifier: MIT */
/* device.h - block devices that could be targets: what they are, what is on them, and whether they
 * may be written.
 *
 * Nothing here writes to a device; bmap_device_eject() lets it go. A fact that the system does not
 * tell is NULL or 0, never a guess. What devices say of themselves is any bytes: strings here are
 * UTF-8 without control characters,
 * '?' stands for what was none.
 * Threads:   all functions from any; an object belongs to one thread at a time.
 * Ownership: strings belong to the object they are in, which its _free() empties. Without memory a
 *            function fails (MEMORY) and leaves its object empty, as it does after each failure. */
#ifndef BMAP_DEVICE_H
#define BMAP_DEVICE_H

#include <bmap/error.h>
#include <bmap/log.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bmap_device_part {
	char *path; /* "/dev/sdb1"; NULL: in the table, but the kernel does not show it */
	uint64_t offset_bytes, size_bytes;
	char *type; /* of its file system: "ext4", "vfat"; NULL: none that is known */
	char *label; /* of the file system, else of the partition */
	char *mounted_at; /* the first place of several */
};

struct bmap_device {
	char *path; /* the kernel's name for it: "/dev/sdb" */
	char *vendor, *model, *serial; /* of a loop device: its file is the model */
	/* "usb", "nvme", "mmc", "ata", "scsi", "virtio", "loop", "ram" (also zram) */
	char *transport;
	char *by_id, *by_path; /* names in /dev/disk/by-id and by-path, without the folder */
	char *usb_path; /* the port it is plugged into, as the kernel counts: "1-1.4.2" */
	uint64_t size_bytes; /* 0: no medium is in it */
	unsigned logical_block_bytes, physical_block_bytes;
	bool removable, read_only, rotational;
	char *content; /* "gpt", "dos", or the file system's type; NULL: nothing that is known */
	char *label, *mounted_at; /* of a file system that fills the device */
	struct bmap_device_part *parts; /* of a whole disk; by path, or by the table's order */
	size_t part_count;
	/* Why it would not be written to now, as bmap_flash() would say; NULL: it could be, as far
	 * as can be told without an image: that may be too large for it, or lie on it. */
	char *refusal;
};

struct bmap_device_list {
	struct bmap_device *devices; /* by path, numbers in names counted as numbers */
	size_t count;
};

/* All that is known of one device, a whole disk or a partition, by any name. False (NOT_FOUND, IO)
 * if path is no block device. */
BMAP_API bool bmap_device_read(const char *path, struct bmap_device *device,
			       struct bmap_error *err);
BMAP_API void bmap_device_free(struct bmap_device *device);
/* What an image would put on a device: size, content, label and parts (without paths) of a regular
 * file that is not compressed. False (NOT_FOUND, IO) if path is none, or cannot be read. */
BMAP_API bool bmap_device_read_image(const char *path, struct bmap_device *image,
				     struct bmap_error *err);

/* Every whole disk, also drives without a medium and disks of memory, with all that is known of it.
 */
BMAP_API bool bmap_device_list_read(struct bmap_device_list *list, struct bmap_error *err);
BMAP_API void bmap_device_list_free(struct bmap_device_list *list);

enum bmap_device_name {
	BMAP_DEVICE_BY_ID,
	BMAP_DEVICE_BY_PATH,
	BMAP_DEVICE_USB_PATH,
};
/* The whole disks of which a name of that kind matches pattern (fnmatch(3)); none is no error. A
 * card reader has several disks with one USB path. Without udev there are no names by id or path.
 */
BMAP_API bool bmap_device_list_match(enum bmap_device_name kind, const char *pattern,
				     struct bmap_device_list *list, struct bmap_error *err);

/* Makes the disk that path is, or is a partition of, safe to unplug: flushes it, ejects the medium
 * where the drive can, else switches a USB device off until it is plugged in again. For others
 * (cards in their own slots, loop devices) flushing is all, which is said at info level. Unmounts
 * nothing: REFUSED if the disk is in use, or to be switched off together with another disk that has
 * a medium. */
BMAP_API bool bmap_device_eject(const char *path, const struct bmap_log *log,
				struct bmap_error *err);

#ifdef __cplusplus
}
#endif
#endif

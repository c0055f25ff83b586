/* SPDX-License-Identifier: MIT */
/* target/safety.h - the refusals: what must not be written, and what the user can do about it.
 *
 * All functions only look; they return false with err filled (code REFUSED unless said otherwise)
 * when a rule forbids the target. Threads: any. */
#ifndef TARGET_SAFETY_H
#define TARGET_SAFETY_H

#include "target/target.h"

/* in_use.c: is the device, one of its partitions or the disk it is part of mounted, used as swap
 * space, or held by the kernel (LVM, RAID, crypt)? */
bool refuse_if_in_use(dev_t device, const char *name, struct bmap_error *err);
/* The same with other files than /proc/self/mountinfo and /proc/swaps. */
bool refuse_if_mounted(const char *mountinfo, dev_t device, const char *name,
		       struct bmap_error *err);
bool refuse_if_swap(const char *swaps, dev_t device, const char *name, struct bmap_error *err);

/* device_refusal.c: a descriptor that keeps others from locking the whole disk for themselves, as
 * who looks at what is on a device should hold: systemd's BLOCK_DEVICE_LOCKING. -1: none; *taken
 * then says whether that is because another program (a copy, a partitioning tool) has locked it. */
int disk_lock_shared(dev_t device, bool *taken);
/* open(2) with O_EXCL, tried for 0.2 s where nobody is seen to hold the device: who only looks
 * whether it is free holds it for microseconds. -1: errno says why. */
int open_claim(dev_t device, const char *node, int flags);
/* What would be found by opening the device for writing, found without: no medium, read-only, in
 * use, no access, held by another program. */
bool refuse_unless_writable(dev_t device, const char *node, uint64_t size_bytes, bool read_only,
			    struct bmap_error *err);

/* The disks and files that something stands on: through partitions, device mapper, RAID and loop
 * devices down to the bottom. */
#define FOOTPRINT_MAX 128u
struct footprint {
	dev_t disks[FOOTPRINT_MAX]; /* whole disks */
	size_t disk_count;
	struct {
		dev_t device;
		ino_t inode;
	} files[FOOTPRINT_MAX]; /* regular files: itself, or behind loop devices */
	size_t file_count;
	bool incomplete; /* more than fits: nothing can be said about it */
};
void footprint_add_device(struct footprint *footprint, dev_t device);
void footprint_add_file(struct footprint *footprint, dev_t device, ino_t inode);
/* "-" is standard input. What is neither a file nor a block device adds nothing. */
void footprint_add_path(struct footprint *footprint, const char *path);
bool footprints_share(const struct footprint *a, const struct footprint *b);

/* Does a target with this footprint touch one of the files or devices in rules->sources? */
bool refuse_if_source(const struct footprint *target, const char *name,
		      const struct target_rules *rules, struct bmap_error *err);

/* safety.c: is directory the device file system /dev or a folder of it? Other file systems that
 * are mounted below it (/dev/shm) are not meant. */
bool refuse_if_in_dev(const char *directory, const char *name, struct bmap_error *err);
/* name is no block device: refused if only removable ones are allowed. */
bool refuse_if_not_removable(const char *name, const struct target_rules *rules,
			     struct bmap_error *err);
bool refuse_if_not_removable_device(dev_t device, const char *name,
				    const struct target_rules *rules, struct bmap_error *err);
bool refuse_locked(const char *name, struct bmap_error *err);
bool refuse_read_only(const char *name, struct bmap_error *err);
bool refuse_empty(const char *name, struct bmap_error *err);
/* A block device could not be opened for writing. Always false. */
bool explain_open_failure(dev_t device, const char *name, int errnum, struct bmap_error *err);
/* Code REFUSED, both sizes in bytes and human units. */
bool refuse_too_small(const char *name, uint64_t image_bytes, uint64_t device_bytes,
		      struct bmap_error *err);

#endif

/* SPDX-License-Identifier: MIT */
/* target/sysfs.h - what the kernel says about a block device in /sys/dev/block/MAJOR:MINOR.
 *
 * Readable by every user. Nothing here is trusted to be there, short or well-formed: what cannot
 * be read is false, and the caller falls back to the cautious answer. Threads: any. */
#ifndef TARGET_SYSFS_H
#define TARGET_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SYSFS_NAME_BYTES 256u

/* The only line of an attribute, without its newline. False if it does not fit into size. */
bool sysfs_read_text(dev_t device, const char *attribute, char *text, size_t size);
/* A decimal number and nothing else. */
bool sysfs_read_number(dev_t device, const char *attribute, uint64_t *number);
/* The kernel's name: "sdb1", "dm-0". What it has as '!' is given as '/', as in /dev. */
bool sysfs_name(dev_t device, char name[SYSFS_NAME_BYTES]);
/* The same, or "MAJOR:MINOR": for messages. */
void sysfs_name_or_number(dev_t device, char name[SYSFS_NAME_BYTES]);
/* The name under /dev of a device, if there is a node of that number; writes at most size. */
bool sysfs_node(dev_t device, char *path, size_t size);
bool sysfs_is_partition(dev_t device);
/* The disk that a partition is part of; the device itself if it is none. */
dev_t sysfs_whole_disk(dev_t device);
/* Is it a device of that kind, "loop", "dm", "md"? (It has a folder of that name.) */
bool sysfs_has(dev_t device, const char *folder);

/* "8:17", with a newline or without; the whole text. */
bool sysfs_parse_device(const char *text, dev_t *device);

/* Calls visit for the devices in a folder ("holders", "slaves"; "" for the partitions of a disk)
 * until it returns false. False if that happened, or if the folder has more than any sane one. */
typedef bool sysfs_visit(void *user, dev_t device);
bool sysfs_each(dev_t device, const char *folder, sysfs_visit *visit, void *user);

#endif

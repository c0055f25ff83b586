/* SPDX-License-Identifier: MIT */
/* device_tree.h - a sysfs and a /dev of a test's own, for target/devices.h. */
#ifndef DEVICE_TREE_H
#define DEVICE_TREE_H

#include "unit_test.h"

#include "target/devices.h"

struct device_tree {
	char top[64]; /* sys/ and dev/ are in it */
	char sys[80], dev[80];
	struct device_places places;
};

int device_tree_make(void **state);
int device_tree_remove(void **state);
/* Path below top; folders on the way are made. */
void device_tree_file(struct device_tree *tree, const char *path, const char *text);
void device_tree_bytes(struct device_tree *tree, const char *path, const void *bytes, size_t len);
void device_tree_link(struct device_tree *tree, const char *path, const char *text);
/* A disk whose device is sys/devices/ATTACHED, 0 for its minor number: its folder becomes
 * sys/devices/ATTACHED/block/NAME, with a size of 8 sectors and what leads there. */
void device_tree_disk(struct device_tree *tree, const char *attached, const char *name,
		      unsigned major_number, unsigned minor_number);
/* sys/devices/PATH is of that subsystem. */
void device_tree_subsystem(struct device_tree *tree, const char *path, const char *subsystem);

#endif

/* SPDX-License-Identifier: MIT */
/* cli/list.h - how a list of devices looks. What cannot be written shows in ferror(to). */
#ifndef CLI_LIST_H
#define CLI_LIST_H

#include <bmap/device.h>
#include <stdio.h>

/* A line for each, below one with titles. */
void list_text(FILE *to, const struct bmap_device_list *list);
/* The document of docs/list.schema.json; false: no memory. */
bool list_json(FILE *to, const struct bmap_device_list *list);

/* "gpt: vfat EFI, ext4 rootfs (mounted at /)"; "" for nothing that is known. */
#define LIST_CONTENT_ROOM 512
void list_content(const struct bmap_device *device, char text[LIST_CONTENT_ROOM]);

#endif

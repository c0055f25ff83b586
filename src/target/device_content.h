/* SPDX-License-Identifier: MIT */
/* target/device_content.h - what is on a device, by libblkid. A build without it finds nothing. */
#ifndef TARGET_DEVICE_CONTENT_H
#define TARGET_DEVICE_CONTENT_H

#include "target/device_internal.h"

/* Fills content, label, and type and label of the parts; adds the parts that only the partition
 * table knows. Reads device->path and nothing else; what cannot be read or is not known stays
 * empty. False: no memory. */
bool device_content_read(struct device_view *view, struct bmap_device *device,
			 struct bmap_error *err);

/* The same of an image in a regular file, of which size_bytes and path are set. */
bool image_content_read(int fd, struct bmap_device *image, struct bmap_error *err);

#endif

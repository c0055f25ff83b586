/* SPDX-License-Identifier: MIT */
/* target/device_udev.h - what udev found out by asking the device, which sysfs does not show: the
 * whole model of an ATA disk (SCSI has room for 16 letters), the disk behind a USB bridge. */
#ifndef TARGET_DEVICE_UDEV_H
#define TARGET_DEVICE_UDEV_H

#include "target/device_text.h"

#include <sys/types.h>

struct device_udev {
	char vendor[DEVICE_TEXT_BYTES], model[DEVICE_TEXT_BYTES], serial[DEVICE_TEXT_BYTES];
};

/* What is not known is "": all of it where no udev runs, or in a build without libudev. */
void device_udev_read(struct device_udev *udev, dev_t number);

#endif

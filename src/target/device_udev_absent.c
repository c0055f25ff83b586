/* SPDX-License-Identifier: MIT */
#include "target/device_udev.h"

void device_udev_read(struct device_udev *udev, dev_t number)
{
	(void)number;
	udev->vendor[0] = udev->model[0] = udev->serial[0] = '\0';
}

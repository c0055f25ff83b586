/* SPDX-License-Identifier: MIT */
#include "target/device_udev.h"

#include <libudev.h>
#include <string.h>

/* The first of these properties that says something. coded: with "\x20" for a space. */
static void read_first(struct udev_device *device, const char *const *names, bool coded,
		       char text[DEVICE_TEXT_BYTES])
{
	for (; *names; names++) {
		const char *value = udev_device_get_property_value(device, *names);
		size_t len = value ? strnlen(value, DEVICE_TEXT_BYTES - 1) : 0;

		memcpy(text, value ? value : "", len);
		text[len] = '\0';
		if (coded ? device_text_decode(text) : device_text_clean(text, len))
			return;
	}
}

void device_udev_read(struct device_udev *udev, dev_t number)
{
	static const char *const vendors[] = { "ID_VENDOR_ENC", NULL };
	static const char *const models[] = { "ID_MODEL_ENC", NULL };
	/* SERIAL_SHORT of a SCSI disk is its world-wide name. */
	static const char *const serials[] = { "ID_SCSI_SERIAL", "ID_SERIAL_SHORT", NULL };
	struct udev *context = udev_new();
	struct udev_device *device =
		context ? udev_device_new_from_devnum(context, 'b', number) : NULL;

	udev->vendor[0] = udev->model[0] = udev->serial[0] = '\0';
	if (device) {
		read_first(device, vendors, true, udev->vendor);
		read_first(device, models, true, udev->model);
		read_first(device, serials, false, udev->serial);
		udev_device_unref(device);
	}
	if (context)
		udev_unref(context);
}

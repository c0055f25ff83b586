/* SPDX-License-Identifier: MIT */
/* target/devices.h - facts about block devices: <bmap/device.h> for the layers above. */
#ifndef TARGET_DEVICES_H
#define TARGET_DEVICES_H

#include <bmap/device.h>
#include <sys/types.h>

/* Where the system says what it knows; tests have folders of their own. */
struct device_places {
	const char *sys; /* "/sys" */
	const char *dev; /* "/dev" */
	const char *mountinfo;
	bool udev; /* libudev may be asked: it knows only the system's own */
};
extern const struct device_places device_places_system;

/* What the device is; not what is on it, where it is mounted, or whether it may be written: parts,
 * content, label, mounted_at and refusal stay empty. Reads nothing from the device itself. */
bool device_facts_read(const struct device_places *places, dev_t number, struct bmap_device *device,
		       struct bmap_error *err);
/* The whole disks that have a name of that kind which matches; NULL: all. Facts only. */
bool device_facts_list(const struct device_places *places, enum bmap_device_name kind,
		       const char *pattern, struct bmap_device_list *list, struct bmap_error *err);

#endif

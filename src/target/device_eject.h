/* SPDX-License-Identifier: MIT */
/* target/device_eject.h - how a device is made safe to unplug. */
#ifndef TARGET_DEVICE_EJECT_H
#define TARGET_DEVICE_EJECT_H

#include "target/device_internal.h"

struct eject_plan {
	char disk[PATH_MAX]; /* the whole disk's node */
	dev_t number; /* of it */
	bool has_medium; /* the drive can let its medium go */
	char usb_folder[PATH_MAX]; /* of the USB device that can be switched off; "": none */
	char usb_path[NAME_MAX + 1];
};

/* What could be done with the disk that number is, or is a partition of. Nothing is changed. */
bool eject_plan_make(struct eject_plan *plan, const struct device_places *places, dev_t number,
		     struct bmap_error *err);
/* Would switching it off take another disk with a medium away, as in a card reader? */
bool eject_refuse_if_shared(const struct eject_plan *plan, const struct device_places *places,
			    const char *name, struct bmap_error *err);
bool eject_power_off(const struct eject_plan *plan, const char *name, struct bmap_error *err);

#endif

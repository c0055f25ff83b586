/* SPDX-License-Identifier: MIT */
#include "target/device_eject.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "target/device_text.h"
#include "target/safety.h"
#include "target/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/cdrom.h>
#include <scsi/scsi_ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static bool claim(int *fd, const struct eject_plan *plan, const char *name, struct bmap_error *err);
static bool eject_medium(int fd);

bool bmap_device_eject(const char *path, const struct bmap_log *log, struct bmap_error *err)
{
	CLEANUP_CLOSE int fd = -1;
	struct eject_plan plan;
	struct stat st;

	if (stat(path, &st))
		return bmap_error_errno(err, "%s: cannot eject", path);
	if (!S_ISBLK(st.st_mode))
		return bmap_error_set(err, BMAP_ERR_NOT_FOUND, "%s: is no block device", path);
	if (!eject_plan_make(&plan, &device_places_system, st.st_rdev, err) ||
	    !claim(&fd, &plan, path, err))
		return false;
	if (fsync(fd))
		return bmap_error_errno(err, "%s: cannot flush before ejecting", path);
	if (plan.has_medium && eject_medium(fd)) {
		log_info(log, "%s: ejected", path);
		return true;
	}
	if (plan.has_medium && !plan.usb_folder[0])
		return bmap_error_errno(err,
					"%s: cannot eject the medium (all of it is written: take "
					"it out by hand)",
					path);
	if (!plan.usb_folder[0]) {
		log_info(log, "%s: this kind of device is not ejected: it is flushed", path);
		return true;
	}
	if (!eject_refuse_if_shared(&plan, &device_places_system, path, err))
		return false;
	/* Parks the heads; what has none says that it does not know the command. */
	(void)ioctl(fd, SCSI_IOCTL_STOP_UNIT);
	close(take_fd(&fd));
	if (!eject_power_off(&plan, path, err))
		return false;
	log_info(log, "%s: switched off (USB device %s): plug it in again to use it", path,
		 plan.usb_path);
	return true;
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; text && *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

bool eject_plan_make(struct eject_plan *plan, const struct device_places *places, dev_t number,
		     struct bmap_error *err)
{
	static const char *const scsi[] = { "usb", "scsi", "ata", NULL };
	struct device_chain chain;
	struct device_view view;
	char name[NAME_MAX + 1], text[DEVICE_TEXT_BYTES];

	*plan = (struct eject_plan){ 0 };
	if (!device_view_open(&view, places, number) ||
	    !device_text_read(view.disk_folder, "dev", text) ||
	    !sysfs_parse_device(text, &plan->number))
		return bmap_error_set(err, BMAP_ERR_IO, "%s does not know the device: is it gone?",
				      places->sys);
	device_chain_read(&chain, places, view.disk_folder);
	device_view_name(view.disk_folder, name);
	if (snprintf(plan->disk, sizeof(plan->disk), "%s/%s", places->dev, name) >=
	    (int)sizeof(plan->disk))
		return bmap_error_errnum(err, ENAMETOOLONG, "%s", name);
	plan->has_medium = is_one_of(chain.transport, scsi) &&
			   device_number_read(view.disk_folder, "removable") == 1;
	if (chain.transport && !strcmp(chain.transport, "usb")) {
		memcpy(plan->usb_folder, chain.usb_folder, sizeof(plan->usb_folder));
		memcpy(plan->usb_path, chain.usb_port, sizeof(plan->usb_path));
	}
	return true;
}

static bool claim(int *fd, const struct eject_plan *plan, const char *name, struct bmap_error *err)
{
	CLEANUP_CLOSE int lock = -1;
	bool taken;

	if (!refuse_if_in_use(plan->number, name, err))
		return false;
	lock = disk_lock_shared(plan->number, &taken);
	if (taken)
		return refuse_locked(name, err);
	*fd = open_claim(plan->number, plan->disk, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return *fd >= 0 || explain_open_failure(plan->number, name, errno, err);
}

/* The kernel locks the door of a drive while it is open, by us too. */
static bool eject_medium(int fd)
{
	(void)ioctl(fd, SCSI_IOCTL_DOORUNLOCK);
	return !ioctl(fd, CDROMEJECT);
}

bool eject_refuse_if_shared(const struct eject_plan *plan, const struct device_places *places,
			    const char *name, struct bmap_error *err)
{
	struct bmap_device_list list;
	bool good = true;

	if (!device_facts_list(places, BMAP_DEVICE_USB_PATH, plan->usb_path, &list, err))
		return false;
	for (size_t i = 0; good && i < list.count; i++)
		if (list.devices[i].size_bytes && strcmp(list.devices[i].path, plan->disk) != 0)
			good = bmap_error_set(err, BMAP_ERR_REFUSED,
					      "%s: cannot be switched off: %s is the same USB "
					      "device (%s): all is written, unplug it when both "
					      "are done",
					      name, list.devices[i].path, plan->usb_path);
	bmap_device_list_free(&list);
	return good;
}

bool eject_power_off(const struct eject_plan *plan, const char *name, struct bmap_error *err)
{
	char path[PATH_MAX + 16];
	CLEANUP_CLOSE int fd = -1;

	snprintf(path, sizeof(path), "%s/remove", plan->usb_folder);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		return bmap_error_errno(err,
					"%s: cannot switch off USB device %s (all is written: "
					"unplug it; to switch off be root)",
					name, plan->usb_path);
	return true;
}

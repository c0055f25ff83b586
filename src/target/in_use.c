/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "target/mounts.h"
#include "target/safety.h"
#include "target/sysfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What was found so far: a list for a message, "sdb1 on /boot, sdb2 on /". */
struct findings {
	dev_t device;
	size_t count;
	char text[512];
};
#define MAX_NAMED 4u

static bool related(dev_t target, dev_t other);
static void findings_add(struct findings *found, const char *what);
static bool refuse_if_held(dev_t device, const char *name, struct bmap_error *err);

bool refuse_if_in_use(dev_t device, const char *name, struct bmap_error *err)
{
	return refuse_if_mounted(MOUNTINFO, device, name, err) &&
	       refuse_if_swap("/proc/swaps", device, name, err) &&
	       refuse_if_held(device, name, err);
}

static bool add_mount(void *user, dev_t mounted, const char *mount_point)
{
	struct findings *found = user;
	char what[384], kernel_name[SYSFS_NAME_BYTES];

	if (!related(found->device, mounted))
		return true;
	sysfs_name_or_number(mounted, kernel_name);
	snprintf(what, sizeof(what), "%.100s on %.256s", kernel_name, mount_point);
	findings_add(found, what);
	return true;
}

bool refuse_if_mounted(const char *mountinfo, dev_t device, const char *name,
		       struct bmap_error *err)
{
	struct findings found = { .device = device };

	mounts_each(mountinfo, add_mount, &found);
	return !found.count || bmap_error_set(err, BMAP_ERR_REFUSED,
					      "%s: refused: it is mounted (%s): unmount it first",
					      name, found.text);
}

bool refuse_if_swap(const char *swaps, dev_t device, const char *name, struct bmap_error *err)
{
	struct findings found = { .device = device };
	FILE *file = fopen(swaps, "re");
	CLEANUP_FREE char *line = NULL;
	size_t size = 0;

	if (!file)
		return true;
	while (getline(&line, &size, file) > 0) {
		char kernel_name[SYSFS_NAME_BYTES];
		struct stat st;

		line[strcspn(line, " \t\n")] = '\0';
		mounts_unescape(line, false);
		/* A file used as swap space holds its file system's mount, which is seen above. */
		if (line[0] != '/' || stat(line, &st) || !S_ISBLK(st.st_mode) ||
		    !related(device, st.st_rdev))
			continue;
		sysfs_name_or_number(st.st_rdev, kernel_name);
		findings_add(&found, kernel_name);
	}
	fclose(file);
	return !found.count ||
	       bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: it is in use as swap space (%s): turn that off first "
			      "(swapoff)",
			      name, found.text);
}

static bool add_holder(void *user, dev_t device)
{
	char kernel_name[SYSFS_NAME_BYTES], mapped_name[SYSFS_NAME_BYTES], what[384];

	sysfs_name_or_number(device, kernel_name);
	if (sysfs_read_text(device, "dm/name", mapped_name, sizeof(mapped_name)))
		snprintf(what, sizeof(what), "%.100s \"%.256s\"", kernel_name, mapped_name);
	else
		snprintf(what, sizeof(what), "%.100s", kernel_name);
	findings_add(user, what);
	return true;
}

static bool add_holders_of(void *user, dev_t device)
{
	sysfs_each(device, "holders", add_holder, user);
	return true;
}

static bool refuse_if_held(dev_t device, const char *name, struct bmap_error *err)
{
	struct findings found = { .device = device };
	dev_t disk = sysfs_whole_disk(device);

	add_holders_of(&found, device);
	if (disk != device)
		add_holders_of(&found, disk);
	else
		sysfs_each(device, "", add_holders_of, &found);
	return !found.count ||
	       bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: it is held by %s: deactivate that first (vgchange "
			      "-an, mdadm --stop, cryptsetup close, dmsetup remove)",
			      name, found.text);
}

/* Would writing to target change other? The same, a partition of it, or the disk it is part of;
 * another partition of the same disk would not. */
static bool related(dev_t target, dev_t other)
{
	return other == target || sysfs_whole_disk(other) == target ||
	       sysfs_whole_disk(target) == other;
}

static void findings_add(struct findings *found, const char *what)
{
	size_t len = strlen(found->text);

	if (found->count++ >= MAX_NAMED) {
		if (found->count == MAX_NAMED + 1)
			snprintf(found->text + len, sizeof(found->text) - len, ", ...");
		return;
	}
	/* Each a part of its own, so that "..." always fits. */
	snprintf(found->text + len, sizeof(found->text) - len, "%s%.*s", len ? ", " : "",
		 (int)(sizeof(found->text) / MAX_NAMED) - 6, what);
}

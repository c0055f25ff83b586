/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "target/safety.h"
#include "target/sysfs.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* What was found so far: a list for a message, "sdb1 on /boot, sdb2 on /". */
struct findings {
	dev_t device;
	size_t count;
	char text[512];
};
#define MAX_NAMED 4u

static bool related(dev_t target, dev_t other);
static void findings_add(struct findings *found, const char *what);
static bool mount_device(char *line, dev_t *device, char **mount_point);
static void unescape(char *text, bool spaces_only);
static bool refuse_if_held(dev_t device, const char *name, struct bmap_error *err);

bool refuse_if_in_use(dev_t device, const char *name, struct bmap_error *err)
{
	return refuse_if_mounted("/proc/self/mountinfo", device, name, err) &&
	       refuse_if_swap("/proc/swaps", device, name, err) &&
	       refuse_if_held(device, name, err);
}

bool refuse_if_mounted(const char *mountinfo, dev_t device, const char *name,
		       struct bmap_error *err)
{
	struct findings found = { .device = device };
	FILE *file = fopen(mountinfo, "re");
	CLEANUP_FREE char *line = NULL;
	size_t size = 0;

	if (!file) /* no /proc: what is left is the kernel's own O_EXCL */
		return true;
	while (getline(&line, &size, file) > 0) {
		char what[384], kernel_name[SYSFS_NAME_BYTES], *mount_point;
		dev_t mounted;

		if (!mount_device(line, &mounted, &mount_point) || !related(device, mounted))
			continue;
		unescape(mount_point, true);
		sysfs_name_or_number(mounted, kernel_name);
		snprintf(what, sizeof(what), "%.100s on %.256s", kernel_name, mount_point);
		findings_add(&found, what);
	}
	fclose(file);
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
		unescape(line, false);
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

/* "36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw": proc_pid_mountinfo(5).
 * Changes line; *mount_point is a part of it, still escaped. */
static bool mount_device(char *line, dev_t *device, char **mount_point)
{
	char *save, *field, *source;
	struct stat st;

	source = strstr(line, " - ");
	if (!source)
		return false;
	*source = '\0';
	source += 3;
	source += strcspn(source, " ");
	source += *source == ' ';
	source[strcspn(source, " \n")] = '\0';
	if (!strtok_r(line, " ", &save) || !strtok_r(NULL, " ", &save))
		return false;
	field = strtok_r(NULL, " ", &save);
	if (!field || !sysfs_parse_device(field, device) || !strtok_r(NULL, " ", &save))
		return false;
	*mount_point = strtok_r(NULL, " ", &save);
	if (!*mount_point)
		return false;
	if (major(*device))
		return true;
	/* btrfs has a number that is no device's: its source says which. Only names below /dev,
	 * where asking cannot hang (a source can be any text). */
	unescape(source, false);
	if (strncmp(source, "/dev/", 5) || stat(source, &st) || !S_ISBLK(st.st_mode))
		return false;
	*device = st.st_rdev;
	return true;
}

/* "\040" to the character. spaces_only: others stay as they are, so that no newline or escape
 * sequence in a name reaches a terminal. */
static void unescape(char *text, bool spaces_only)
{
	char *out = text;

	while (*text) {
		int value = 0, digits = 0;

		if (*text == '\\')
			while (digits < 3 && text[digits + 1] >= '0' && text[digits + 1] <= '7')
				value = value * 8 + (text[++digits] - '0');
		if (digits == 3 && value && value < 256 && (!spaces_only || value == ' ')) {
			*out++ = (char)value;
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

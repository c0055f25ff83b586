/* SPDX-License-Identifier: MIT */
#include "target/mounts.h"
#include "base/cleanup.h"
#include "target/sysfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static bool mount_device(char *line, dev_t *device, char **mount_point);

void mounts_each(const char *mountinfo, mounts_visit *visit, void *user)
{
	FILE *file = fopen(mountinfo, "re");
	CLEANUP_FREE char *line = NULL;
	bool more = true;
	size_t size = 0;

	if (!file) /* no /proc: what is left is the kernel's own O_EXCL */
		return;
	while (more && getline(&line, &size, file) > 0) {
		char *mount_point;
		dev_t device;

		if (!mount_device(line, &device, &mount_point))
			continue;
		mounts_unescape(mount_point, true);
		more = visit(user, device, mount_point);
	}
	fclose(file);
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
	mounts_unescape(source, false);
	if (strncmp(source, "/dev/", 5) || stat(source, &st) || !S_ISBLK(st.st_mode))
		return false;
	*device = st.st_rdev;
	return true;
}

void mounts_unescape(char *text, bool spaces_only)
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

/* SPDX-License-Identifier: MIT */
#include "target/safety.h"
#include "target/sysfs.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool refuse_if_source(const struct footprint *target, const char *name,
		      const struct target_rules *rules, struct bmap_error *err)
{
	for (size_t i = 0; i < rules->source_count; i++) {
		const char *path = rules->sources[i];
		struct footprint source = { 0 };

		if (!path)
			continue;
		footprint_add_path(&source, path);
		if (source.incomplete || target->incomplete)
			return bmap_error_set(err, BMAP_ERR_REFUSED,
					      "%s: refused: cannot find out whether it shares a "
					      "disk with %s: too many devices below them",
					      name, path);
		if (footprints_share(&source, target))
			return bmap_error_set(err, BMAP_ERR_REFUSED,
					      "%s: refused: it is, or lies on the same disk or "
					      "file as, what is to be read (%s): writing would "
					      "destroy it; name another destination",
					      name, path);
	}
	return true;
}

bool refuse_if_in_dev(const char *directory, const char *name, struct bmap_error *err)
{
	struct stat dir, dev, root;
	char real[PATH_MAX];
	bool below;

	if (stat(directory, &dir) || stat("/dev", &dev) || dir.st_dev != dev.st_dev)
		return true;
	/* Where /dev is no file system of its own (a simple container) the name decides. */
	below = !stat("/", &root) && root.st_dev != dev.st_dev;
	if (!below && realpath(directory, real))
		below = !strncmp(real, "/dev", 4) && (real[4] == '/' || !real[4]);
	if (!below)
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: it lies in /dev but is not a device: a mistyped name? "
			      "To write a regular file there use --allow-dev-files",
			      name);
}

bool refuse_if_not_removable(const char *name, const struct target_rules *rules,
			     struct bmap_error *err)
{
	if (!rules->removable_only)
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: not a removable block device, and only those are "
			      "allowed by --removable-device",
			      name);
}

bool refuse_if_not_removable_device(dev_t device, const char *name,
				    const struct target_rules *rules, struct bmap_error *err)
{
	char kernel_name[SYSFS_NAME_BYTES];
	uint64_t removable;

	if (!rules->removable_only)
		return true;
	if (sysfs_read_number(sysfs_whole_disk(device), "removable", &removable) && removable == 1)
		return true;
	sysfs_name_or_number(device, kernel_name);
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: %s is not a removable device (so says its file "
			      "\"removable\" in /sys/block), and only those are allowed by "
			      "--removable-device",
			      name, kernel_name);
}

static const char *human_size(uint64_t bytes, char text[32])
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(text, 32, "%u B", (unsigned)bytes);
		return text;
	}
	for (value /= 1024; value >= 1024 && units[unit + 1]; value /= 1024)
		unit++;
	snprintf(text, 32, "%.1f %ciB", value, units[unit]);
	return text;
}

bool refuse_too_small(const char *name, uint64_t image_bytes, uint64_t device_bytes,
		      struct bmap_error *err)
{
	char image[32], device[32];

	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: too small: the image needs %" PRIu64 " bytes (%s), the "
			      "device has %" PRIu64 " bytes (%s)",
			      name, image_bytes, human_size(image_bytes, image), device_bytes,
			      human_size(device_bytes, device));
}

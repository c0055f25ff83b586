/* SPDX-License-Identifier: MIT */
#include "target/safety.h"
#include "base/units.h"
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

bool refuse_too_small(const char *name, uint64_t image_bytes, uint64_t device_bytes,
		      struct bmap_error *err)
{
	char image[SIZE_TEXT_BYTES], device[SIZE_TEXT_BYTES];

	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: too small: the image needs %" PRIu64 " bytes (%s), the "
			      "device has %" PRIu64 " bytes (%s)",
			      name, image_bytes, size_text(image_bytes, image), device_bytes,
			      size_text(device_bytes, device));
}

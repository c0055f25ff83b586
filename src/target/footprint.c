/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "target/safety.h"
#include "target/sysfs.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static bool add_slave(void *user, dev_t device);
static void add_loop_backing(struct footprint *footprint, dev_t disk);

/* Ends for every graph of devices: each disk is entered once, and there is room for so many. */
void footprint_add_device(struct footprint *footprint, dev_t device)
{
	dev_t disk = sysfs_whole_disk(device);

	for (size_t i = 0; i < footprint->disk_count; i++)
		if (footprint->disks[i] == disk)
			return;
	if (footprint->disk_count == FOOTPRINT_MAX) {
		footprint->incomplete = true;
		return;
	}
	footprint->disks[footprint->disk_count++] = disk;
	if (!sysfs_each(disk, "slaves", add_slave, footprint))
		footprint->incomplete = true;
	if (sysfs_has(disk, "loop"))
		add_loop_backing(footprint, disk);
}

void footprint_add_file(struct footprint *footprint, dev_t device, ino_t inode)
{
	if (footprint->file_count == FOOTPRINT_MAX) {
		footprint->incomplete = true;
		return;
	}
	footprint->files[footprint->file_count].device = device;
	footprint->files[footprint->file_count++].inode = inode;
}

void footprint_add_path(struct footprint *footprint, const char *path)
{
	struct stat st;

	if (strcmp(path, "-") ? stat(path, &st) : fstat(STDIN_FILENO, &st))
		return;
	if (S_ISREG(st.st_mode))
		footprint_add_file(footprint, st.st_dev, st.st_ino);
	else if (S_ISBLK(st.st_mode))
		footprint_add_device(footprint, st.st_rdev);
}

bool footprints_share(const struct footprint *a, const struct footprint *b)
{
	for (size_t i = 0; i < a->disk_count; i++)
		for (size_t j = 0; j < b->disk_count; j++)
			if (a->disks[i] == b->disks[j])
				return true;
	for (size_t i = 0; i < a->file_count; i++)
		for (size_t j = 0; j < b->file_count; j++)
			if (a->files[i].device == b->files[j].device &&
			    a->files[i].inode == b->files[j].inode)
				return true;
	return false;
}

static bool add_slave(void *user, dev_t device)
{
	footprint_add_device(user, device);
	return true;
}

/* Two ways, each blind where the other sees: the numbers need access to the node, the name in
 * sysfs may mean nothing in this mount namespace or be cut off. */
static void add_loop_backing(struct footprint *footprint, dev_t disk)
{
	char path[PATH_MAX];

	if (sysfs_node(disk, path, sizeof(path))) {
		CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		struct loop_info64 info;

		/* lo_device has the kernel's 32-bit form, which is dev_t's where it fits. */
		if (fd >= 0 && !ioctl(fd, LOOP_GET_STATUS64, &info))
			footprint_add_file(footprint, (dev_t)info.lo_device, (ino_t)info.lo_inode);
	}
	if (sysfs_read_text(disk, "loop/backing_file", path, sizeof(path)) && path[0] == '/')
		footprint_add_path(footprint, path);
}

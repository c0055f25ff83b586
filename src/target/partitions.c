/* SPDX-License-Identifier: MIT */
#include "target/partitions.h"
#include "base/clock.h"
#include "target/sysfs.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RETRY_NS (5 * NS_PER_S) /* udev's probes and automounters let go well before */
#define RETRY_STEP_US 100000u

void partitions_reread(int fd, dev_t device, const char *name, const struct bmap_log *log)
{
	uint64_t end_ns = clock_now_ns() + RETRY_NS;
	int errnum = 0;

	if (sysfs_is_partition(device))
		return;
	while (ioctl(fd, BLKRRPART)) {
		errnum = errno;
		if ((errnum != EBUSY && errnum != EINTR) || clock_now_ns() >= end_ns)
			break;
		errnum = 0;
		usleep(RETRY_STEP_US);
	}
	if (errnum == EINVAL || errnum == ENOTTY) /* a device that can have no partitions */
		log_debug(log, "%s: has no partition table to be read again", name);
	else if (errnum)
		log_info(log,
			 "%s: the kernel still shows the old partitions (reading the table again: "
			 "%s): unplug it and plug it in again, or run \"blockdev --rereadpt\"",
			 name, strerror(errnum));
}

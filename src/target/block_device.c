/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/clock.h"
#include "target/partitions.h"
#include "target/safety.h"
#include "target/sysfs.h"
#include "target/target_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LOCK_WAIT_NS (3 * NS_PER_S) /* udev holds the lock, shared, while it probes a device */
#define LOCK_STEP_US 50000u

static bool open_exclusively(struct target *target, const struct bmap_log *log,
			     struct bmap_error *err);
static bool refuse_if_read_only(const struct target *target, struct bmap_error *err);
static bool measure(struct target *target, const struct bmap_log *log, struct bmap_error *err);
static void read_queue_limits(struct target *target);

bool block_device_open(struct target *target, const struct target_rules *rules,
		       const struct bmap_log *log, struct bmap_error *err)
{
	struct footprint footprint = { 0 };

	if (!refuse_if_not_removable_device(target->device, target->name, rules, err))
		return false;
	footprint_add_device(&footprint, target->device);
	if (!refuse_if_source(&footprint, target->name, rules, err) ||
	    !open_exclusively(target, log, err))
		return false;
	/* A whole disk can be opened with O_EXCL on some kernels while a partition is mounted.
	 * Looked at now that nothing new can be mounted. */
	if (!refuse_if_in_use(target->device, target->name, err) ||
	    !refuse_if_read_only(target, err) || !measure(target, log, err))
		return false;
	if (rules->image_size_bytes != UINT64_MAX && rules->image_size_bytes > target->size_bytes)
		return refuse_too_small(target->name, rules->image_size_bytes, target->size_bytes,
					err);
	return true;
}

/* Holds the disk's flock while it is written, which keeps udev's probes away from a half-written
 * device: systemd's BLOCK_DEVICE_LOCKING. The lock belongs to the node in /dev of the whole disk,
 * which an ordinary user with access to a partition may not be able to open. */
bool block_device_begin(struct target *target, const struct bmap_log *log, struct bmap_error *err)
{
	uint64_t end_ns = clock_now_ns() + LOCK_WAIT_NS;
	char node[SYSFS_NAME_BYTES + 8];
	int lock_fd = target->fd;

	if (sysfs_node(target->whole_disk, node, sizeof(node)))
		target->whole_disk_fd = open(node, O_RDONLY | O_CLOEXEC);
	if (target->whole_disk_fd >= 0)
		lock_fd = target->whole_disk_fd;
	else if (target->whole_disk != target->device) {
		log_debug(log, "%s: cannot lock its whole disk: goes on without", target->name);
		return true;
	}
	while (flock(lock_fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			log_debug(log, "%s: cannot lock the device (%s): goes on without",
				  target->name, strerror(errno));
			return true;
		}
		if (clock_now_ns() >= end_ns)
			return bmap_error_set(err, BMAP_ERR_REFUSED,
					      "%s: refused: another program (udev, a partitioning "
					      "tool) keeps the disk locked with flock(2): end it, "
					      "then try again",
					      target->name);
		usleep(LOCK_STEP_US);
	}
	return true;
}

/* Whoever read the device while a direct write was on its way (udev, blkid, a desktop) has put old
 * bytes into the page cache, where they stay as long as anybody has the device open: the kernel
 * drops them before such a write, but after it only if the writer waits in the call
 * (blkdev_direct_write() in block/fops.c). */
static void forget_cached(const struct target *target, const struct bmap_log *log)
{
	int errnum = posix_fadvise(target->fd, 0, 0, POSIX_FADV_DONTNEED);

	if (errnum)
		log_debug(log, "%s: cannot drop its page cache: %s", target->name,
			  strerror(errnum));
}

void block_device_end(struct target *target, bool good, const struct bmap_log *log)
{
	forget_cached(target, log);
	if (good)
		partitions_reread(target->fd, target->device, target->name, log);
}

static bool open_exclusively(struct target *target, const struct bmap_log *log,
			     struct bmap_error *err)
{
	/* Without O_CREAT, O_EXCL on a block device fails if the kernel holds it: open(2). */
	const int flags = O_RDWR | O_EXCL | O_CLOEXEC | O_NOCTTY;
	struct stat st;

	target->direct = true;
	target->fd = open_claim(target->device, target->name, flags | O_DIRECT);
	if (target->fd < 0 && errno == EINVAL) {
		target->direct = false;
		target->fd = open_claim(target->device, target->name, flags);
		if (target->fd >= 0)
			log_info(log,
				 "%s: the device does not take O_DIRECT: writing through the page "
				 "cache",
				 target->name);
	}
	if (target->fd < 0)
		return explain_open_failure(target->device, target->name, errno, err);
	if (fstat(target->fd, &st) || !S_ISBLK(st.st_mode) || st.st_rdev != target->device)
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: refused: the name means another file than a moment "
				      "ago: try again",
				      target->name);
	return true;
}

/* Some drivers (loop) open a read-only device for writing and refuse only the writes. */
static bool refuse_if_read_only(const struct target *target, struct bmap_error *err)
{
	int read_only = 0;

	return ioctl(target->fd, BLKROGET, &read_only) || !read_only ||
	       refuse_read_only(target->name, err);
}

static bool measure(struct target *target, const struct bmap_log *log, struct bmap_error *err)
{
	int block_bytes = 0;

	if (ioctl(target->fd, BLKGETSIZE64, &target->size_bytes))
		return bmap_error_errno(err, "%s: cannot find out the size of the device",
					target->name);
	if (!target->size_bytes)
		return refuse_empty(target->name, err);
	target->has_size = true;
	target->withhold_head = true;
	target->needs_flush = true;
	if (ioctl(target->fd, BLKSSZGET, &block_bytes))
		return bmap_error_errno(err, "%s: cannot find out the size of its blocks",
					target->name);
	if (target->direct && !target_align_usable((uint32_t)block_bytes)) {
		if (fcntl(target->fd, F_SETFL, fcntl(target->fd, F_GETFL) & ~O_DIRECT))
			return bmap_error_errno(err, "%s: cannot leave O_DIRECT", target->name);
		target->direct = false;
		log_info(log, "%s: has blocks of %d bytes: writing through the page cache",
			 target->name, block_bytes);
	}
	/* Memory too: before Linux 6.0 it had to be aligned to logical blocks. */
	target->align_bytes = target->direct ? (size_t)block_bytes : 1;
	target->memory_align_bytes = target->align_bytes;
	read_queue_limits(target);
	return true;
}

static void read_queue_limits(struct target *target)
{
	dev_t disk = target->whole_disk; /* a partition has no queue of its own */
	uint64_t number;

	target->rotational = sysfs_read_number(disk, "queue/rotational", &number) && number == 1;
	target->removable = sysfs_read_number(disk, "removable", &number) && number == 1;
	if (sysfs_read_number(disk, "queue/nr_requests", &number) && number)
		target->queue_tags = (unsigned)min_u64(number, TARGET_NO_QUEUE_TAGS);
	/* max_segments is left alone: with huge pages a request has few segments. */
	if (sysfs_read_number(disk, "queue/max_sectors_kb", &number) && number &&
	    number <= UINT32_MAX) {
		uint64_t max_bytes = number * KIB;

		target->tag_bytes = (size_t)min_u64(max_bytes, SIZE_MAX / 2);
		max_bytes = align_down(min_u64(max_bytes, TARGET_MAX_REQUEST_BYTES),
				       target->align_bytes);
		target->max_request_bytes = (size_t)max_u64(max_bytes, target->align_bytes);
	}
}

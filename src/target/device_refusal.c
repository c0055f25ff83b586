/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "target/safety.h"
#include "target/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define CLAIM_TRIES 10
#define CLAIM_STEP_US 20000u
/* Not to wait for a drive that closes its tray or spins up. */
#define LOOK_FLAGS (O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

static bool refuse_if_claimed(dev_t device, const char *node, struct bmap_error *err);

bool refuse_unless_writable(dev_t device, const char *node, uint64_t size_bytes, bool read_only,
			    struct bmap_error *err)
{
	if (!size_bytes)
		return refuse_empty(node, err);
	if (read_only)
		return refuse_read_only(node, err);
	if (!refuse_if_in_use(device, node, err))
		return false;
	if (faccessat(AT_FDCWD, node, R_OK | W_OK, AT_EACCESS))
		return explain_open_failure(device, node, errno, err);
	return refuse_if_claimed(device, node, err);
}

/* What holds a device without showing in sysfs (ZFS, the further disks of btrfs, another copy) is
 * found only by claiming it oneself: for reading, which changes nothing and wakes nobody. Who
 * claims it in these few microseconds is turned away; a copy tries again, and looks with flock(2)
 * come first, as that is what it holds for all its time. */
static bool refuse_if_claimed(dev_t device, const char *node, struct bmap_error *err)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP_CLOSE int claim = -1;
	CLEANUP_CLOSE int lock = -1;
	bool taken;

	lock = disk_lock_shared(device, &taken);
	if (taken)
		return refuse_locked(node, err);
	fd = open(node, LOOK_FLAGS); /* the slow part, before the claim */
	if (fd < 0)
		return explain_open_failure(device, node, errno, err);
	claim = open(node, LOOK_FLAGS | O_EXCL);
	return claim >= 0 || explain_open_failure(device, node, errno, err);
}

int open_claim(dev_t device, const char *node, int flags)
{
	int fd = open(node, flags | O_EXCL);

	for (int tries = 0; fd < 0 && errno == EBUSY && tries < CLAIM_TRIES; tries++) {
		if (!refuse_if_in_use(device, node, NULL)) {
			errno = EBUSY;
			break;
		}
		usleep(CLAIM_STEP_US);
		fd = open(node, flags | O_EXCL);
	}
	return fd;
}

int disk_lock_shared(dev_t device, bool *taken)
{
	char node[SYSFS_NAME_BYTES + 8];
	CLEANUP_CLOSE int fd = -1;

	*taken = false;
	if (!sysfs_node(sysfs_whole_disk(device), node, sizeof(node)))
		return -1;
	fd = open(node, LOOK_FLAGS);
	if (fd < 0)
		return -1;
	if (!flock(fd, LOCK_SH | LOCK_NB))
		return take_fd(&fd);
	*taken = errno == EWOULDBLOCK;
	return -1;
}

bool refuse_locked(const char *name, struct bmap_error *err)
{
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: another program keeps the disk locked with flock(2), "
			      "as bmaptool does while it writes",
			      name);
}

bool refuse_read_only(const char *name, struct bmap_error *err)
{
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: the device is read-only: look for a write-protect "
			      "switch, or run \"blockdev --setrw\"",
			      name);
}

bool refuse_empty(const char *name, struct bmap_error *err)
{
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: the device is empty (0 bytes): is a medium in it?",
			      name);
}

bool explain_open_failure(dev_t device, const char *name, int errnum, struct bmap_error *err)
{
	uint64_t read_only;

	switch (errnum) {
	case EBUSY:
		if (!refuse_if_in_use(device, name, err))
			return false;
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: refused: another program holds it: end that first (lsof "
				      "and fuser show which)",
				      name);
	case EROFS:
	case EACCES:
	case EPERM:
		if (sysfs_read_number(device, "ro", &read_only) && read_only)
			return refuse_read_only(name, err);
		return bmap_error_errnum(err, errnum,
					 "%s: cannot open for writing (be root, or get access to "
					 "the device)",
					 name);
	case ENOMEDIUM:
	case ENXIO:
	case ENODEV:
		return bmap_error_errnum(err, errnum,
					 "%s: cannot open for writing (is a medium in it?)", name);
	default:
		return bmap_error_errnum(err, errnum, "%s: cannot open for writing", name);
	}
}

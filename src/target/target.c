/* SPDX-License-Identifier: MIT */
#include "target/target.h"
#include "base/cleanup.h"
#include "target/safety.h"
#include "target/sysfs.h"
#include "target/target_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool open_by_kind(struct target *target, const struct target_rules *rules,
			 const struct bmap_log *log, struct bmap_error *err);
static bool close_all(struct target *target, struct bmap_error *err);
static void forget(struct target *target);

bool target_open(struct target *target, const char *path, const struct target_rules *rules,
		 const struct bmap_log *log, struct bmap_error *err)
{
	*target = (struct target){
		.name = strdup(path),
		.fd = -1,
		.buffered_fd = -1,
		.whole_disk_fd = -1,
		.align_bytes = 1,
		.memory_align_bytes = 1,
		.max_request_bytes = TARGET_MAX_REQUEST_BYTES,
		.tag_bytes = TARGET_MAX_REQUEST_BYTES,
		.queue_tags = TARGET_NO_QUEUE_TAGS,
	};
	if (!target->name)
		return bmap_error_memory(err, path);
	if (open_by_kind(target, rules, log, err))
		return true;
	close_all(target, NULL);
	return false;
}

bool target_begin(struct target *target, uint64_t image_size_bytes, const struct bmap_log *log,
		  struct bmap_error *err)
{
	target->begun = true;
	switch (target->kind) {
	case TARGET_BLOCK_DEVICE:
		return block_device_begin(target, log, err);
	case TARGET_REGULAR_FILE:
		return regular_file_begin(target, image_size_bytes, log, err);
	case TARGET_CHARACTER_DEVICE:
		break;
	}
	return true;
}

bool target_end(struct target *target, bool good, uint64_t size_bytes, const struct bmap_log *log,
		struct bmap_error *err)
{
	bool ok = true;

	if (!target->name) /* ended before */
		return true;
	if (target->begun && target->kind == TARGET_BLOCK_DEVICE)
		block_device_end(target, good, log);
	else if (target->begun && target->kind == TARGET_REGULAR_FILE)
		ok = regular_file_end(target, good, size_bytes, err);
	/* Not good: the first error is the one that counts, and it was reported. */
	if (!close_all(target, ok && good ? err : NULL))
		ok = false;
	return ok || !good;
}

void target_abandon(struct target *target)
{
	forget(target);
}

static void footprint_of(const struct target *target, struct footprint *footprint)
{
	struct stat st;

	if (target->kind == TARGET_BLOCK_DEVICE)
		footprint_add_device(footprint, target->device);
	else if (target->kind == TARGET_REGULAR_FILE && !fstat(target->fd, &st))
		footprint_add_file(footprint, st.st_dev, st.st_ino);
}

bool target_same_device(const struct target *a, const struct target *b)
{
	struct footprint first = { 0 }, second = { 0 };

	if (a->fd < 0 && b->fd < 0 && a->real_path && b->real_path) /* both not created yet */
		return !strcmp(a->real_path, b->real_path);
	footprint_of(a, &first);
	footprint_of(b, &second);
	return first.incomplete || second.incomplete || footprints_share(&first, &second);
}

bool target_align_usable(uint32_t align_bytes)
{
	return align_bytes && align_bytes <= TARGET_MAX_ALIGN_BYTES &&
	       !(align_bytes & (align_bytes - 1));
}

static bool open_by_kind(struct target *target, const struct target_rules *rules,
			 const struct bmap_log *log, struct bmap_error *err)
{
	struct stat st;

	if (stat(target->name, &st)) {
		if (errno == ENOENT && target->name[0])
			return regular_file_open(target, NULL, rules, log, err);
		return bmap_error_errno(err, "%s: cannot open for writing", target->name);
	}
	switch (st.st_mode & S_IFMT) {
	case S_IFBLK:
		target->kind = TARGET_BLOCK_DEVICE;
		target->device = st.st_rdev;
		target->whole_disk = sysfs_whole_disk(st.st_rdev);
		return block_device_open(target, rules, log, err);
	case S_IFREG:
		return regular_file_open(target, &st, rules, log, err);
	case S_IFCHR:
		return refuse_if_not_removable(target->name, rules, err) &&
		       character_device_open(target, err);
	case S_IFDIR:
		return bmap_error_errnum(err, EISDIR, "%s: cannot be written as an image",
					 target->name);
	default:
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: refused: a pipe or socket: only devices and regular "
				      "files can be written",
				      target->name);
	}
}

/* The lock goes last, so that udev looks at the device once, when all is done. */
static bool close_all(struct target *target, struct bmap_error *err)
{
	bool ok = true;

	/* A file system may report only here that data did not arrive (NFS: close(2)). */
	if (target->fd >= 0 && close(target->fd))
		ok = bmap_error_errno(err, "%s: cannot close", target->name);
	if (target->buffered_fd >= 0 && close(target->buffered_fd) && ok)
		ok = bmap_error_errno(err, "%s: cannot close", target->name);
	if (target->whole_disk_fd >= 0)
		close(target->whole_disk_fd);
	forget(target);
	return ok;
}

static void forget(struct target *target)
{
	free(target->name);
	free(target->real_path);
	*target = (struct target){ .fd = -1, .buffered_fd = -1, .whole_disk_fd = -1 };
}

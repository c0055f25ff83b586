/* SPDX-License-Identifier: MIT */
#include "job/bench_internal.h"
#include "base/checked.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DEFAULT_BYTES ((uint64_t)1024 * MIB)
#define LEAST_BYTES ((uint64_t)16 * MIB)
#define DIRECT_ALIGN_BYTES 4096u /* no file system of today wants more */

static int open_nameless(const char *folder, int flags);
static bool choose_size(struct bench_target *target, uint64_t size_bytes, struct bmap_error *err);

bool bench_scratch_open(struct bench_target *target, const char *folder, uint64_t size_bytes,
			struct bmap_error *err)
{
	target->kind = BMAP_BENCH_SCRATCH;
	target->direct = true;
	target->align_bytes = DIRECT_ALIGN_BYTES;
	target->fd = open_nameless(folder, O_DIRECT);
	if (target->fd < 0 && errno == EINVAL) {
		target->direct = false;
		target->fd = open_nameless(folder, 0);
	}
	if (target->fd < 0)
		return bmap_error_errno(err, "%s: cannot create a scratch file", folder);
	if (choose_size(target, size_bytes, err))
		return true;
	close(take_fd(&target->fd));
	return false;
}

/* A file that goes with its descriptor, whatever ends the program. Not all file systems can make
 * one without a name: open(2), O_TMPFILE. */
static int open_nameless(const char *folder, int flags)
{
	CLEANUP_FREE char *path = NULL;
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	if (asprintf(&path, "%s/.bmaptool-bench-XXXXXX", folder) < 0) {
		path = NULL;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC | flags);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static bool choose_size(struct bench_target *target, uint64_t size_bytes, struct bmap_error *err)
{
	struct statvfs fs;
	uint64_t free_bytes;

	if (fstatvfs(target->fd, &fs))
		return bmap_error_errno(err, "%s: cannot find out how much is free", target->name);
	if (!checked_mul(fs.f_bavail, fs.f_frsize, &free_bytes))
		free_bytes = UINT64_MAX;
	target->size_bytes = size_bytes ? size_bytes : min_u64(DEFAULT_BYTES, free_bytes / 2);
	target->size_bytes = align_down(target->size_bytes, MIB);
	if (size_bytes && size_bytes < LEAST_BYTES)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: a scratch file of %" PRIu64
				      " bytes is too small: at least 16 MiB",
				      target->name, size_bytes);
	if (target->size_bytes < LEAST_BYTES || target->size_bytes > free_bytes)
		return bmap_error_errnum(err, ENOSPC,
					 "%s: %" PRIu64 " bytes are free, too few for a scratch "
					 "file of %" PRIu64,
					 target->name, free_bytes,
					 max_u64(target->size_bytes, LEAST_BYTES));
	return true;
}

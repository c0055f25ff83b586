/* SPDX-License-Identifier: MIT */
#include "job/bench_internal.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIAL_BYTES 4096u

static bool check_kind(const struct stat *st, const char *name, struct bmap_error *err);
static bool open_for_reading(struct bench_target *target, const struct stat *st,
			     struct bmap_error *err);
static bool measure(struct bench_target *target, const struct stat *st, struct bmap_error *err);
static bool direct_reads_work(const struct bench_target *target);
static bool leave_direct(struct bench_target *target, const struct bmap_log *log,
			 struct bmap_error *err);

bool bench_target_open(struct bench_target *target, const struct bmap_bench_options *options,
		       struct bmap_error *err)
{
	struct stat st;

	*target = (struct bench_target){ .name = options->target, .fd = -1, .align_bytes = 1 };
	/* Before it is opened: a pipe would wait for a writer, and some devices act on it. */
	if (stat(target->name, &st))
		return bmap_error_errno(err, "%s: cannot open for reading", target->name);
	if (check_kind(&st, target->name, err) && open_for_reading(target, &st, err) &&
	    measure(target, &st, err) &&
	    ((target->direct && direct_reads_work(target)) ||
	     leave_direct(target, options->log, err)))
		return true;
	bench_target_close(target);
	return false;
}

void bench_target_close(struct bench_target *target)
{
	if (target->fd >= 0)
		close(target->fd);
	target->fd = -1;
}

static bool check_kind(const struct stat *st, const char *name, struct bmap_error *err)
{
	if (S_ISBLK(st->st_mode) || S_ISREG(st->st_mode))
		return true;
	return bmap_error_set(err, BMAP_ERR_USAGE,
			      "%s is %s: name a block device or a regular file", name,
			      S_ISDIR(st->st_mode)    ? "a directory"
			      : S_ISCHR(st->st_mode)  ? "a character device"
			      : S_ISFIFO(st->st_mode) ? "a pipe"
						      : "a socket");
}

static bool open_for_reading(struct bench_target *target, const struct stat *st,
			     struct bmap_error *err)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat opened;

	target->direct = true;
	target->fd = open(target->name, flags | O_DIRECT);
	if (target->fd < 0 && errno == EINVAL) {
		target->direct = false;
		target->fd = open(target->name, flags);
	}
	if (target->fd < 0)
		return bmap_error_errno(err, "%s: cannot open for reading", target->name);
	if (fstat(target->fd, &opened) || (opened.st_mode & S_IFMT) != (st->st_mode & S_IFMT) ||
	    opened.st_rdev != st->st_rdev)
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: refused: the name means another file than a moment "
				      "ago: try again",
				      target->name);
	/* io_uring takes it for the wish to get -EAGAIN instead of a wait. */
	if (fcntl(target->fd, F_SETFL, fcntl(target->fd, F_GETFL) & ~O_NONBLOCK))
		return bmap_error_errno(err, "%s: cannot change how it is read", target->name);
	return true;
}

static bool measure(struct bench_target *target, const struct stat *st, struct bmap_error *err)
{
	int block_bytes = 0;

	target->kind = S_ISBLK(st->st_mode) ? BMAP_BENCH_DEVICE : BMAP_BENCH_FILE;
	target->size_bytes = (uint64_t)st->st_size;
	if (target->kind == BMAP_BENCH_DEVICE) {
		if (ioctl(target->fd, BLKGETSIZE64, &target->size_bytes) ||
		    ioctl(target->fd, BLKSSZGET, &block_bytes))
			return bmap_error_errno(err, "%s: cannot find out the size of the device",
						target->name);
		target->align_bytes = (size_t)block_bytes;
	}
	if (!target->size_bytes)
		return bmap_error_set(err, BMAP_ERR_USAGE, "%s: %s: there is nothing to be read",
				      target->name,
				      target->kind == BMAP_BENCH_DEVICE ? "no medium is in it"
									: "the file is empty");
	return true;
}

/* Some file systems let a file be opened for direct reads and then refuse each of them. */
static bool direct_reads_work(const struct bench_target *target)
{
	CLEANUP_FREE void *buffer = NULL;
	size_t len = target->align_bytes > TRIAL_BYTES ? target->align_bytes : TRIAL_BYTES;

	if (posix_memalign(&buffer, len, len))
		return true; /* who has no memory will be told so soon */
	return pread(target->fd, buffer, len, 0) >= 0 || errno != EINVAL;
}

static bool leave_direct(struct bench_target *target, const struct bmap_log *log,
			 struct bmap_error *err)
{
	if (target->direct && fcntl(target->fd, F_SETFL, fcntl(target->fd, F_GETFL) & ~O_DIRECT))
		return bmap_error_errno(err, "%s: cannot leave O_DIRECT", target->name);
	target->direct = false;
	target->align_bytes = 1;
	log_warning(log, "%s: does not take O_DIRECT: what is measured is the page cache as well",
		    target->name);
	return true;
}

/* SPDX-License-Identifier: MIT */
#include "job/bench_internal.h"
#include "base/checked.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIAL_BYTES 4096u
#define HEAD_BYTES MIB

static bool check_kind(const struct stat *st, const char *name, struct bmap_error *err);
static bool open_scratch(struct bench_target *target, const struct stat *st,
			 const struct bmap_bench_options *options, struct bmap_error *err);
static bool open_for_writing(struct bench_target *target, const struct bmap_bench_options *options,
			     struct bmap_error *err);
static bool refuse_useless(const struct bmap_bench_options *options, struct bmap_error *err);
static bool open_for_reading(struct bench_target *target, const struct stat *st,
			     struct bmap_error *err);
static bool measure(struct bench_target *target, const struct stat *st, struct bmap_error *err);
static bool direct_works(const struct bench_target *target);
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
	if (!check_kind(&st, target->name, err))
		return false;
	if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && options->write))
		return open_scratch(target, &st, options, err);
	if (!refuse_useless(options, err))
		return false;
	if (options->write)
		return open_for_writing(target, options, err);
	if (open_for_reading(target, &st, err) && measure(target, &st, err) &&
	    bench_target_settle_direct(target, options->log, err))
		return true;
	bench_target_close(target);
	return false;
}

bool bench_target_begin(struct bench_target *target, const struct bmap_bench_options *options,
			struct bmap_error *err)
{
	size_t len = (size_t)align_down(min_u64(HEAD_BYTES, target->size_bytes), 4096);
	CLEANUP_FREE void *zeros = NULL;
	ssize_t n;

	if (!target->has_device)
		return true;
	if (!target_begin(&target->device, UINT64_MAX, options->log, err))
		return false;
	if (!len)
		return true;
	if (posix_memalign(&zeros, 4096, len))
		return bmap_error_memory(err, target->name);
	memset(zeros, 0, len);
	n = pwrite(target->fd, zeros, len, 0);
	if (n < 0)
		return bmap_error_errno(err, "%s: cannot write %zu bytes at offset 0", target->name,
					len);
	if ((size_t)n < len)
		return bmap_error_errnum(err, EIO, "%s: wrote %zd of %zu bytes at offset 0",
					 target->name, n, len);
	return !fdatasync(target->fd) ||
	       bmap_error_errno(err, "%s: cannot flush the device", target->name);
}

void bench_target_close(struct bench_target *target)
{
	/* "Good" so that the kernel looks for partitions: those it knows of are gone. */
	if (target->has_device)
		target_end(&target->device, target->device.begun, 0, NULL, NULL);
	else if (target->fd >= 0)
		close(target->fd);
	target->has_device = false;
	target->fd = -1;
}

static bool refuse_useless(const struct bmap_bench_options *options, struct bmap_error *err)
{
	if (options->scratch_bytes)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: no scratch file is made here, so it can have no size",
				      options->target);
	if (options->pattern != BMAP_BENCH_INCOMPRESSIBLE && !options->write)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: nothing is written, so there is no pattern",
				      options->target);
	return true;
}

static bool open_scratch(struct bench_target *target, const struct stat *st,
			 const struct bmap_bench_options *options, struct bmap_error *err)
{
	CLEANUP_FREE char *copy = strdup(target->name);

	if (!copy)
		return bmap_error_memory(err, target->name);
	if (!bench_scratch_open(target, S_ISDIR(st->st_mode) ? copy : dirname(copy),
				options->scratch_bytes, err))
		return false;
	if (bench_target_settle_direct(target, options->log, err))
		return true;
	bench_target_close(target);
	return false;
}

static bool open_for_writing(struct bench_target *target, const struct bmap_bench_options *options,
			     struct bmap_error *err)
{
	const struct target_rules rules = { .image_size_bytes = UINT64_MAX };

	if (!target_open(&target->device, target->name, &rules, options->log, err))
		return false;
	target->has_device = true;
	target->kind = BMAP_BENCH_DEVICE;
	target->fd = target->device.fd;
	target->direct = target->device.direct;
	target->align_bytes = target->device.align_bytes;
	target->size_bytes = target->device.size_bytes;
	if (target->device.kind == TARGET_BLOCK_DEVICE)
		return true;
	bench_target_close(target);
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: the name means another file than a moment ago: try "
			      "again",
			      target->name);
}

static bool check_kind(const struct stat *st, const char *name, struct bmap_error *err)
{
	if (S_ISBLK(st->st_mode) || S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
		return true;
	return bmap_error_set(err, BMAP_ERR_USAGE,
			      "%s is %s: name a block device, a regular file or a folder", name,
			      S_ISCHR(st->st_mode)    ? "a character device"
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

/* Some file systems let a file be opened for direct requests and then refuse each of them. */
static bool direct_works(const struct bench_target *target)
{
	CLEANUP_FREE void *buffer = NULL;
	size_t len = target->align_bytes > TRIAL_BYTES ? target->align_bytes : TRIAL_BYTES;

	if (posix_memalign(&buffer, len, len))
		return true; /* who has no memory will be told so soon */
	memset(buffer, 0, len);
	if (target->kind == BMAP_BENCH_SCRATCH)
		return pwrite(target->fd, buffer, len, 0) >= 0 || errno != EINVAL;
	return pread(target->fd, buffer, len, 0) >= 0 || errno != EINVAL;
}

bool bench_target_settle_direct(struct bench_target *target, const struct bmap_log *log,
				struct bmap_error *err)
{
	return (target->direct && direct_works(target)) || leave_direct(target, log, err);
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

/* SPDX-License-Identifier: MIT */
#include "job/image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool check_kind(const struct stat *st, const char *path, struct bmap_error *err)
{
	const char *kind = S_ISDIR(st->st_mode)    ? "a directory"
			   : S_ISBLK(st->st_mode)  ? "a block device"
			   : S_ISCHR(st->st_mode)  ? "a character device"
			   : S_ISFIFO(st->st_mode) ? "a pipe"
			   : S_ISSOCK(st->st_mode) ? "a socket"
						   : "not a file";

	if (!S_ISREG(st->st_mode))
		return bmap_error_set(
			err, BMAP_ERR_USAGE,
			"%s is %s: only regular files have the holes that a map tells "
			"of: name the image file",
			path, kind);
	if (st->st_size == 0)
		return bmap_error_set(err, BMAP_ERR_DATA,
				      "%s is empty: there is nothing to make a map of", path);
	return true;
}

int image_file_open(const char *path, struct stat *st, struct bmap_error *err)
{
	int fd;

	/* Before it is opened: a pipe would wait for a writer, and some devices act on it. */
	if (stat(path, st)) {
		bmap_error_errno(err, "%s: cannot open the image", path);
		return -1;
	}
	if (!check_kind(st, path, err))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		bmap_error_errno(err, "%s: cannot open the image", path);
		return -1;
	}
	if (fstat(fd, st))
		bmap_error_errno(err, "%s: cannot examine the image", path);
	else if (check_kind(st, path, err))
		return fd;
	close(fd);
	return -1;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool image_file_unchanged(int fd, const char *path, const struct stat *before,
			  const char *meanwhile, struct bmap_error *err)
{
	struct stat now;

	if (fstat(fd, &now))
		return bmap_error_errno(err, "%s: cannot examine the image", path);
	if (now.st_size != before->st_size || !same_time(now.st_mtim, before->st_mtim) ||
	    !same_time(now.st_ctim, before->st_ctim))
		return bmap_error_set(err, BMAP_ERR_DATA,
				      "%s was changed while %s: the two would not fit each other: "
				      "try again when nobody writes to it",
				      path, meanwhile);
	return true;
}

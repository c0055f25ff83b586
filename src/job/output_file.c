/* SPDX-License-Identifier: MIT */
#include "job/output_file.h"

#include "base/checked.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINKS 40 /* as the kernel follows: path_resolution(7) */

static bool open_by_kind(struct output_file *out, const char *path, struct bmap_error *err);
static bool is_standard_output(const struct stat *st);
static char *follow_links(const struct output_file *out, const char *path, struct bmap_error *err);
static bool open_beside(struct output_file *out, struct bmap_error *err);
static bool wait_for_reader(const struct output_file *out, struct bmap_error *err);
static void sync_folder(const char *path);

static bool cannot_write(const struct output_file *out, struct bmap_error *err)
{
	return bmap_error_errno(err, "%s: cannot write %s", out->name, out->what);
}

bool output_file_open(struct output_file *out, const char *path, const char *what,
		      const struct bmap_stop *stop, struct bmap_error *err)
{
	*out = (struct output_file){
		.name = path ? path : "standard output", .what = what, .stop = stop, .fd = -1
	};
	if (!path) {
		out->fd = STDOUT_FILENO;
		out->is_stdout = true;
		return true;
	}
	if (open_by_kind(out, path, err))
		return true;
	output_file_discard(out);
	return false;
}

bool output_file_check(const char *path, const char *what, struct bmap_error *err)
{
	struct output_file out;
	struct stat st;

	if (!path || (stat(path, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))))
		return true;
	if (!output_file_open(&out, path, what, NULL, err))
		return false;
	output_file_discard(&out);
	return true;
}

static bool open_by_kind(struct output_file *out, const char *path, struct bmap_error *err)
{
	struct stat st;
	bool exists = stat(path, &st) == 0;

	if (!exists && errno != ENOENT)
		return cannot_write(out, err);
	if (exists && S_ISDIR(st.st_mode))
		return bmap_error_errnum(err, EISDIR, "%s: cannot write %s", path, out->what);
	if (exists && S_ISBLK(st.st_mode))
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: a block device: %s is not written over it; name a file",
				      path, out->what);
	/* /dev/stdout, also where that is a regular file: what was opened is what is written. */
	if (exists && is_standard_output(&st)) {
		out->fd = STDOUT_FILENO;
		out->is_stdout = true;
		return true;
	}
	if (exists && !S_ISREG(st.st_mode)) {
		out->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return out->fd >= 0 || cannot_write(out, err);
	}
	out->path = follow_links(out, path, err);
	if (!out->path)
		return false;
	if (exists && faccessat(AT_FDCWD, out->path, W_OK, AT_EACCESS) < 0)
		return cannot_write(out, err);
	out->keep_mode = exists;
	out->mode = exists ? st.st_mode & 07777 : 0;
	return open_beside(out, err);
}

static bool is_standard_output(const struct stat *st)
{
	struct stat out;

	return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == st->st_dev &&
	       out.st_ino == st->st_ino;
}

/* The path of the file that path's own links lead to, whether it exists or not: the link stays. */
static char *follow_links(const struct output_file *out, const char *path, struct bmap_error *err)
{
	char *at = strdup(path);

	for (int links = 0; at && links < MAX_LINKS; links++) {
		char target[PATH_MAX], *next = NULL;
		ssize_t len = readlink(at, target, sizeof(target) - 1);
		const char *slash = strrchr(at, '/');
		int folder_len = slash ? (int)(slash + 1 - at) : 0;

		if (len < 0)
			return at; /* no link */
		target[len] = '\0';
		if (asprintf(&next, "%.*s%s", target[0] == '/' ? 0 : folder_len, at, target) < 0)
			next = NULL;
		free(at);
		at = next;
	}
	if (at)
		bmap_error_errnum(err, ELOOP, "%s: cannot write %s", path, out->what);
	else
		bmap_error_memory(err, path);
	free(at);
	return NULL;
}

/* Opens a new file beside path under a name that nobody can guess or has. */
static bool open_beside(struct output_file *out, struct bmap_error *err)
{
	const char *slash = strrchr(out->path, '/');
	char *name = NULL;
	uint64_t random;

	do {
		free(name);
		if (getrandom(&random, sizeof(random), 0) != sizeof(random) ||
		    asprintf(&name, "%.*s.bmaptool-%016llx.tmp",
			     slash ? (int)(slash + 1 - out->path) : 0, out->path,
			     (unsigned long long)random) < 0)
			return bmap_error_memory(err, out->name);
		out->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	} while (out->fd < 0 && errno == EEXIST);
	if (out->fd < 0)
		bmap_error_errno(err, "%s: cannot write %s: no file can be made in its folder",
				 out->path, out->what);
	else
		out->temporary = take_ptr(name);
	free(name);
	return out->fd >= 0;
}

bool output_file_write(struct output_file *out, const void *data, size_t len,
		       struct bmap_error *err)
{
	const uint8_t *at = data;

	while (len) {
		size_t most = len;
		ssize_t n;

		if (!out->path && out->stop) {
			/* A pipe that can be written to takes so much without a wait: pipe(7). */
			most = (size_t)min_u64(len, PIPE_BUF);
			if (!wait_for_reader(out, err))
				return false;
		}
		n = write(out->fd, at, most);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cannot_write(out, err);
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool wait_for_reader(const struct output_file *out, struct bmap_error *err)
{
	struct pollfd fds[2] = {
		{ .fd = out->fd, .events = POLLOUT },
		{ .fd = stop_fd(out->stop), .events = POLLIN },
	};

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return cannot_write(out, err);
	if (bmap_stop_requested(out->stop))
		return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
				      "%s: interrupted: %s is incomplete", out->name, out->what);
	return true;
}

bool output_file_finish(struct output_file *out, struct bmap_error *err)
{
	bool good = true;

	if (out->is_stdout || out->fd < 0)
		return true;
	if (out->keep_mode && fchmod(out->fd, out->mode) < 0)
		return bmap_error_errno(err, "%s: cannot keep the permissions", out->path);
	good = !out->path || fsync(out->fd) == 0;
	if (!good)
		cannot_write(out, err);
	if (close(take_fd(&out->fd)) < 0 && good)
		good = cannot_write(out, err);
	return good;
}

bool output_file_commit(struct output_file *out, struct bmap_error *err)
{
	if (!output_file_finish(out, err))
		return false;
	if (!out->temporary)
		return true;
	if (rename(out->temporary, out->path) < 0)
		return cannot_write(out, err);
	free(take_ptr(out->temporary));
	sync_folder(out->path);
	return true;
}

/* So that the new name survives a crash too. Not every file system can: then it does without. */
static void sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *folder = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".");
	CLEANUP_CLOSE int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0)
		fsync(fd);
}

void output_file_discard(struct output_file *out)
{
	if (out->temporary)
		unlink(out->temporary);
	if (out->fd >= 0 && !out->is_stdout)
		close(out->fd);
	free(out->temporary);
	free(out->path);
	*out = (struct output_file){ .fd = -1 };
}

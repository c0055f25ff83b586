/* SPDX-License-Identifier: MIT */
/* A map becomes a file: whole or not at all where it is a regular file, by a temporary file beside
 * it that is renamed when it is complete and on the disk. What cannot be renamed (standard output,
 * pipes, character devices) is written as it comes. */
#include <bmap/map.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "encode/encoder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINKS 40 /* as the kernel follows: path_resolution(7) */

struct output {
	const char *name; /* for messages */
	int fd;
};

struct content {
	const char *text;
	size_t len;
	const struct encoder_ops *encoder; /* NULL: plain */
};

static bool save_to_path(const struct content *content, const char *path, struct bmap_error *err);
static bool write_content(int fd, const char *name, const struct content *content,
			  struct bmap_error *err);
static bool is_standard_output(const struct stat *st);
static bool write_through(const struct content *content, const char *path, struct bmap_error *err);
static char *follow_links(const char *path, struct bmap_error *err);
static bool replace(const struct content *content, const char *path, const struct stat *old,
		    struct bmap_error *err);

bool bmap_map_save(const struct bmap_map *map, const char *path, struct bmap_error *err)
{
	CLEANUP_FREE char *text = NULL;
	struct content content = { 0 };

	if (!bmap_map_format(map, &text, &content.len, err))
		return false;
	content.text = text;
	if (!path)
		return write_content(STDOUT_FILENO, "standard output", &content, err);
	content.encoder = encoder_for_name(path);
	return save_to_path(&content, path, err);
}

static bool save_to_path(const struct content *content, const char *path, struct bmap_error *err)
{
	CLEANUP_FREE char *file = NULL;
	struct stat st;
	bool exists = stat(path, &st) == 0;

	if (!exists && errno != ENOENT)
		return bmap_error_errno(err, "%s: cannot write the bmap", path);
	if (exists && S_ISDIR(st.st_mode))
		return bmap_error_errnum(err, EISDIR, "%s: cannot write the bmap", path);
	if (exists && S_ISBLK(st.st_mode))
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: a block device: a bmap is not written over it; name a "
				      "file",
				      path);
	/* /dev/stdout, also where that is a regular file: what was opened is what is written. */
	if (exists && is_standard_output(&st))
		return write_content(STDOUT_FILENO, path, content, err);
	if (exists && !S_ISREG(st.st_mode))
		return write_through(content, path, err);
	file = follow_links(path, err);
	return file && replace(content, file, exists ? &st : NULL, err);
}

static bool is_standard_output(const struct stat *st)
{
	struct stat out;

	return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == st->st_dev &&
	       out.st_ino == st->st_ino;
}

static bool write_through(const struct content *content, const char *path, struct bmap_error *err)
{
	CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return bmap_error_errno(err, "%s: cannot write the bmap", path);
	if (!write_content(fd, path, content, err))
		return false;
	if (close(take_fd(&fd)) < 0)
		return bmap_error_errno(err, "%s: cannot write the bmap", path);
	return true;
}

/* ---- the bytes ---- */

static bool write_all(void *user, const uint8_t *data, size_t len, struct bmap_error *err)
{
	const struct output *output = user;

	while (len) {
		ssize_t n = write(output->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bmap_error_errno(err, "%s: cannot write the bmap", output->name);
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool write_content(int fd, const char *name, const struct content *content,
			  struct bmap_error *err)
{
	struct output output = { name, fd };
	const struct encode_sink sink = { write_all, &output };
	const uint8_t *text = (const uint8_t *)content->text;

	if (content->encoder)
		return content->encoder->encode(text, content->len, &sink, err);
	return write_all(&output, text, content->len, err);
}

/* ---- a regular file ---- */

/* The path of the file that path's own links lead to, whether it exists or not: the link stays. */
static char *follow_links(const char *path, struct bmap_error *err)
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
		bmap_error_errnum(err, ELOOP, "%s: cannot write the bmap", path);
	else
		bmap_error_memory(err, path);
	free(at);
	return NULL;
}

/* Opens a new file beside path under a name that nobody can guess or has. */
static int open_beside(const char *path, char **name, struct bmap_error *err)
{
	const char *slash = strrchr(path, '/');
	uint64_t random;
	int fd;

	*name = NULL;
	do {
		free(*name);
		if (getrandom(&random, sizeof(random), 0) != sizeof(random) ||
		    asprintf(name, "%.*s.bmaptool-%016llx.tmp", slash ? (int)(slash + 1 - path) : 0,
			     path, (unsigned long long)random) < 0) {
			*name = NULL;
			bmap_error_memory(err, path);
			return -1;
		}
		fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	} while (fd < 0 && errno == EEXIST);
	if (fd < 0)
		bmap_error_errno(
			err, "%s: cannot write the bmap: no file can be made in its folder", path);
	return fd;
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

static bool fill_and_rename(int fd, const char *name, const struct content *content,
			    const char *path, const struct stat *old, struct bmap_error *err)
{
	CLEANUP_CLOSE int owned = fd;

	if (!write_content(owned, path, content, err))
		return false;
	/* A file that is replaced keeps its permissions. */
	if (old && fchmod(owned, old->st_mode & 07777) < 0)
		return bmap_error_errno(err, "%s: cannot keep the permissions", path);
	if (fsync(owned) < 0 || close(take_fd(&owned)) < 0 || rename(name, path) < 0)
		return bmap_error_errno(err, "%s: cannot write the bmap", path);
	sync_folder(path);
	return true;
}

static bool replace(const struct content *content, const char *path, const struct stat *old,
		    struct bmap_error *err)
{
	CLEANUP_FREE char *name = NULL;
	int fd;

	if (old && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
		return bmap_error_errno(err, "%s: cannot write the bmap", path);
	fd = open_beside(path, &name, err);
	if (fd < 0)
		return false;
	if (fill_and_rename(fd, name, content, path, old, err))
		return true;
	unlink(name);
	return false;
}

/* SPDX-License-Identifier: MIT */
#include "source/source.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "source/source_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A server that is busy or restarts is back within a minute. The stall is long: a server may have
 * to fetch the file itself first. */
static const struct http_limits usual_limits = {
	.connect_ms = 30 * 1000,
	.stall_ms = 60 * 1000,
	.first_pause_ms = 500,
	.longest_pause_ms = 15 * 1000,
	.opening_retries = 2,
	.retries = 8,
};

static struct source *open_local(const char *path, const struct bmap_stop *stop,
				 struct bmap_error *err);
static struct source *open_url(const char *text, const struct bmap_stop *stop,
			       const struct bmap_log *log, struct bmap_error *err);
static struct source *open_scheme(const struct url_request *request, struct bmap_error *err);
static bool open_stdin(int *out, struct stat *st, bool *from_start, struct bmap_error *err);
static bool open_path(int *out, const char *path, struct stat *st, struct bmap_error *err);
static bool read_head(struct source *source, struct bmap_error *err);
static bool fill_head(struct source *source, size_t len, struct bmap_error *err);

struct source *source_open(const char *path, const struct bmap_stop *stop, struct bmap_error *err)
{
	return source_open_logged(path, stop, NULL, err);
}

struct source *source_open_logged(const char *path, const struct bmap_stop *stop,
				  const struct bmap_log *log, struct bmap_error *err)
{
	CLEANUP_FREE char *local = NULL;
	struct source *source;

	if (url_is_remote(path)) {
		source = open_url(path, stop, log, err);
	} else {
		local = url_to_local(path, err);
		source = local ? open_local(local, stop, err) : NULL;
	}
	if (source)
		source->log = log;
	if (source && !read_head(source, err)) {
		source_close(source);
		return NULL;
	}
	return source;
}

static struct source *open_local(const char *path, const struct bmap_stop *stop,
				 struct bmap_error *err)
{
	bool is_stdin = !strcmp(path, "-"), from_start = true;
	struct stat st;
	char *name;
	int fd = -1;

	if (is_stdin ? !open_stdin(&fd, &st, &from_start, err) : !open_path(&fd, path, &st, err))
		return NULL;
	name = strdup(is_stdin ? "standard input" : path);
	if (!name) {
		close(fd);
		bmap_error_memory(err, path);
		return NULL;
	}
	/* A file on standard input that was read from already goes on from there: a stream. */
	if ((S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) && from_start)
		return file_source_open(fd, name, &st, err);
	return pipe_source_open(fd, name, stop, err);
}

static struct source *open_url(const char *text, const struct bmap_stop *stop,
			       const struct bmap_log *log, struct bmap_error *err)
{
	CLEANUP_FREE char *name = url_display(text);
	struct source *source;
	struct url url;
	const struct url_request request = {
		.text = text, .name = name, .url = &url, .stop = stop, .log = log
	};

	if (!name) {
		bmap_error_memory(err, "URL");
		return NULL;
	}
	if (!url_parse(&url, text, err))
		return NULL;
	source = open_scheme(&request, err);
	if (source) /* no memory for it: the name says no format */
		source->file_name = strndup(name, strlen(name) - url.tail.len);
	return source;
}

static struct source *open_scheme(const struct url_request *request, struct bmap_error *err)
{
	switch (request->url->scheme) {
	case URL_HTTP:
	case URL_HTTPS:
	case URL_FTP:
		return http_source_open(request, &usual_limits, err);
	case URL_SSH:
		return ssh_source_open(request, err);
	default:
		bmap_error_set(
			err, BMAP_ERR_UNSUPPORTED,
			"%s: unknown kind of URL: http, https, ftp, ssh and file can be read",
			request->name);
		return NULL;
	}
}

bool source_grow_head(struct source *source, size_t len, struct bmap_error *err)
{
	uint8_t *grown;

	assert(!source->head_used);
	if (len <= source->head_len)
		return true;
	grown = realloc(source->head, len);
	if (!grown)
		return bmap_error_memory(err, source->name);
	source->head = grown;
	return fill_head(source, len, err);
}

/* Megabytes that nobody needs any more. */
static void drop_grown_head(struct source *source)
{
	if (source->head_len <= SOURCE_HEAD_BYTES)
		return;
	free(source->head);
	source->head = NULL;
	source->head_len = source->head_used = 0;
}

static void tell_tap(const struct source *source, const void *data, ssize_t n)
{
	const struct source_tap *tap = source->tap;

	if (tap && n > 0)
		tap->bytes(tap->arg, data, (size_t)n);
	else if (tap && !n)
		tap->end(tap->arg, !source->skipped);
}

static ssize_t read_next(struct source *source, void *data, size_t len, struct bmap_error *err)
{
	size_t left = source->head_len - source->head_used;

	if (!left) {
		drop_grown_head(source);
		return source->ops->read(source, data, len, err);
	}
	if (len > left)
		len = left;
	memcpy(data, source->head + source->head_used, len);
	source->head_used += len;
	return (ssize_t)len;
}

ssize_t source_read(struct source *source, void *data, size_t len, struct bmap_error *err)
{
	ssize_t n = read_next(source, data, len, err);

	tell_tap(source, data, n);
	return n;
}

bool source_skip(struct source *source, uint64_t len, struct bmap_error *err)
{
	size_t left = source->head_len - source->head_used;

	source->skipped |= len > 0;
	if (len <= left) {
		source->head_used += (size_t)len;
		return true;
	}
	if (!source->ops->skip) {
		if (err)
			*err = (struct bmap_error){ .code = BMAP_ERR_NONE };
		return false;
	}
	if (!source->ops->skip(source, len - left, err))
		return false;
	source->head_used = source->head_len;
	return true;
}

bool source_read_at(struct source *source, uint64_t offset, void *data, size_t len,
		    struct bmap_error *err)
{
	uint64_t end;

	if (source->ops->read_at && source->has_size && checked_add(offset, len, &end) &&
	    end <= source->size_bytes)
		return source->ops->read_at(source, offset, data, len, err);
	if (err)
		*err = (struct bmap_error){ .code = BMAP_ERR_NONE };
	return false;
}

void source_expect(struct source *source, uint64_t len)
{
	size_t left = source->head_len - source->head_used;

	if (source->ops->expect && len > left)
		source->ops->expect(source, len - left);
}

void source_close(struct source *source)
{
	uint8_t *head;
	char *name, *file_name;

	if (!source)
		return;
	head = source->head;
	name = source->name;
	file_name = source->file_name;
	source->ops->close(source);
	free(head);
	free(name);
	free(file_name);
}

static bool open_stdin(int *out, struct stat *st, bool *from_start, struct bmap_error *err)
{
	int flags = fcntl(STDIN_FILENO, F_GETFL);

	/* O_PATH and write-only: what a program may have put in place of a closed one. */
	if (flags < 0 || flags & O_PATH)
		return bmap_error_errnum(err, EBADF,
					 "standard input is closed: cannot read from it");
	if ((flags & O_ACCMODE) == O_WRONLY)
		return bmap_error_errnum(err, EBADF, "standard input is not open for reading");
	if (fstat(STDIN_FILENO, st))
		return bmap_error_errno(err, "standard input: cannot be examined");
	if (S_ISDIR(st->st_mode))
		return bmap_error_errnum(err, EISDIR, "standard input: cannot be read as a file");
	*from_start = lseek(STDIN_FILENO, 0, SEEK_CUR) == 0;
	/* Of our own, so that closing a source never closes the program's standard input. */
	*out = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	return *out >= 0 || bmap_error_errno(err, "standard input: cannot be opened");
}

static bool open_path(int *out, const char *path, struct stat *st, struct bmap_error *err)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY;
	CLEANUP_CLOSE int fd = -1;

	if (stat(path, st))
		return bmap_error_errno(err, "%s: cannot open for reading", path);
	if (S_ISDIR(st->st_mode))
		return bmap_error_errnum(err, EISDIR, "%s: cannot be read as a file", path);
	/* A fifo without a writer would hold the open up where no stop reaches: fifo(7). Not for
	 * block devices, where the flag means to open a drive without a medium. */
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		flags |= O_NONBLOCK;
	fd = open(path, flags);
	if (fd < 0)
		return bmap_error_errno(err, "%s: cannot open for reading", path);
	if (fstat(fd, st)) /* again: the name may mean something else by now */
		return bmap_error_errno(err, "%s: cannot be examined", path);
	*out = take_fd(&fd);
	return true;
}

static bool read_head(struct source *source, struct bmap_error *err)
{
	source->head = malloc(SOURCE_HEAD_BYTES);
	if (!source->head)
		return bmap_error_memory(err, source->name);
	return fill_head(source, SOURCE_HEAD_BYTES, err);
}

static bool fill_head(struct source *source, size_t len, struct bmap_error *err)
{
	while (source->head_len < len) {
		ssize_t n = source->ops->read(source, source->head + source->head_len,
					      len - source->head_len, err);

		if (n < 0)
			return false;
		if (!n)
			break;
		source->head_len += (size_t)n;
	}
	return true;
}

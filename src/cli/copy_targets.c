/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILE_MAX_BYTES (8u << 20) /* COPY_MAX_TARGETS names of PATH_MAX, and as many comments */
#define FILE_STEP_BYTES (64u << 10)
#define STOP_CHECK_MS 100
#define FDS_PER_TARGET 8u /* it needs about half of them */
#define FDS_BESIDE 256u

static bool read_names(struct copy_targets *targets, const char *path, const struct bmap_stop *stop,
		       struct bmap_error *err);
static bool take_lines(struct copy_targets *targets, const char *path, size_t len,
		       struct bmap_error *err);
static bool match(struct copy_targets *targets, const char *kind, const char *pattern,
		  struct bmap_error *err);

__attribute__((format(printf, 3, 4))) static bool
failure(struct bmap_error *err, enum bmap_error_code code, const char *fmt, ...)
{
	va_list args;

	*err = (struct bmap_error){ .code = code };
	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return false;
}

static bool add(struct copy_targets *targets, const char *name, struct bmap_error *err)
{
	const char **names;

	if (targets->count == COPY_MAX_TARGETS)
		return failure(err, BMAP_ERR_USAGE, "%.300s: more than %u targets", name,
			       COPY_MAX_TARGETS);
	names = reallocarray(targets->names, targets->count + 1, sizeof(*names));
	if (!names)
		return failure(err, BMAP_ERR_MEMORY, "no memory for the names of the targets");
	targets->names = names;
	targets->names[targets->count++] = name;
	return true;
}

/* The usual limit of 1024 is for programs that call select(2), and may be raised. What it does not
 * give is missed where a target is opened. */
static void allow_descriptors(size_t target_count)
{
	rlim_t wanted = FDS_BESIDE + FDS_PER_TARGET * (rlim_t)target_count;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

bool copy_targets_collect(struct copy_targets *targets, const struct copy_args *args,
			  const struct bmap_stop *stop, struct bmap_error *err)
{
	*targets = (struct copy_targets){ 0 };
	for (size_t i = 0; i < args->dests.count; i++)
		if (!add(targets, args->dests.texts[i], err))
			return false;
	if (args->targets_from && !read_names(targets, args->targets_from, stop, err))
		return false;
	for (size_t i = 0; i + 1 < args->targets_by.count; i += 2)
		if (!match(targets, args->targets_by.texts[i], args->targets_by.texts[i + 1], err))
			return false;
	allow_descriptors(targets->count);
	return true;
}

void copy_targets_free(struct copy_targets *targets)
{
	for (size_t i = 0; i < targets->matched_count; i++)
		free(targets->matched[i]);
	free(targets->matched);
	free(targets->names);
	free(targets->text);
	*targets = (struct copy_targets){ 0 };
}

/* Waits for bytes, or for the end; in steps, so that a pipe that stays silent can be interrupted.
 */
static bool wait_for_bytes(int fd, const char *path, const struct bmap_stop *stop,
			   struct bmap_error *err)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	while (!bmap_stop_requested(stop))
		if (poll(&pfd, 1, STOP_CHECK_MS) > 0)
			return true;
	return failure(err, BMAP_ERR_INTERRUPTED,
		       "%.300s: interrupted while the list of targets was read", path);
}

/* The whole file to targets->text, with a 0 behind it; *len without that. */
static bool read_text(struct copy_targets *targets, int fd, const char *path,
		      const struct bmap_stop *stop, size_t *len, struct bmap_error *err)
{
	size_t room = 0;
	ssize_t n;

	for (*len = 0;;) {
		if (room - *len < 2) {
			char *text = realloc(targets->text, room + FILE_STEP_BYTES);

			if (!text)
				return failure(err, BMAP_ERR_MEMORY,
					       "%.300s: no memory for the list of targets", path);
			targets->text = text;
			room += FILE_STEP_BYTES;
		}
		if (!wait_for_bytes(fd, path, stop, err))
			return false;
		n = read(fd, targets->text + *len, room - *len - 1);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return failure(err, BMAP_ERR_IO, "%.300s: cannot read the targets: %s",
				       path, strerror(errno));
		if (!n)
			break;
		*len += (size_t)n;
		if (*len > FILE_MAX_BYTES)
			return failure(err, BMAP_ERR_REFUSED,
				       "%.300s: longer than %u MiB: this is no list of targets",
				       path, FILE_MAX_BYTES >> 20);
	}
	targets->text[*len] = '\0';
	return true;
}

static bool read_names(struct copy_targets *targets, const char *path, const struct bmap_stop *stop,
		       struct bmap_error *err)
{
	bool standard = !strcmp(path, "-");
	/* O_NONBLOCK: a fifo without a writer is waited for by poll(2), not in open(2). */
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	size_t len = 0;
	bool ok;

	if (fd < 0)
		return failure(err, errno == ENOENT ? BMAP_ERR_NOT_FOUND : BMAP_ERR_IO,
			       "%.300s: cannot open the list of targets: %s", path,
			       strerror(errno));
	if (standard)
		path = "standard input";
	ok = read_text(targets, fd, path, stop, &len, err) && take_lines(targets, path, len, err);
	if (!standard)
		close(fd);
	if (ok && !targets->count)
		return failure(err, BMAP_ERR_USAGE, "%.300s: names no target", path);
	return ok;
}

static bool take_line(struct copy_targets *targets, char *line, size_t len, const char *path,
		      unsigned number, struct bmap_error *err)
{
	static const char blank[] = " \t\r";

	if (memchr(line, '\0', len))
		return failure(err, BMAP_ERR_REFUSED,
			       "%.300s: line %u has a NUL byte: this is no list of targets", path,
			       number);
	line[len] = '\0';
	while (len && strchr(blank, line[len - 1]))
		line[--len] = '\0';
	line += strspn(line, blank);
	if (!*line || *line == '#')
		return true;
	if (strlen(line) >= PATH_MAX)
		return failure(err, BMAP_ERR_REFUSED,
			       "%.300s: line %u is longer than a path can be (%d bytes)", path,
			       number, PATH_MAX - 1);
	return add(targets, line, err);
}

static bool take_lines(struct copy_targets *targets, const char *path, size_t len,
		       struct bmap_error *err)
{
	char *line = targets->text, *end = targets->text + len;
	unsigned number = 1;

	while (line < end) {
		char *next = memchr(line, '\n', (size_t)(end - line));

		if (!next)
			next = end;
		if (!take_line(targets, line, (size_t)(next - line), path, number++, err))
			return false;
		line = next + 1;
	}
	return true;
}

bool copy_target_kind(const char *kind, enum bmap_device_name *name)
{
	static const char *const kinds[] = {
		[BMAP_DEVICE_BY_ID] = "by-id",
		[BMAP_DEVICE_BY_PATH] = "by-path",
		[BMAP_DEVICE_USB_PATH] = "usb-path",
	};

	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if (strcmp(kind, kinds[i]) != 0)
			continue;
		*name = (enum bmap_device_name)i;
		return true;
	}
	return false;
}

static bool add_matched(struct copy_targets *targets, const char *path, struct bmap_error *err)
{
	char **matched =
		reallocarray(targets->matched, targets->matched_count + 1, sizeof(*matched));
	char *copy = matched ? strdup(path) : NULL;

	if (matched)
		targets->matched = matched;
	if (!copy)
		return failure(err, BMAP_ERR_MEMORY, "no memory for the names of the targets");
	targets->matched[targets->matched_count++] = copy;
	return add(targets, copy, err);
}

static bool match(struct copy_targets *targets, const char *kind, const char *pattern,
		  struct bmap_error *err)
{
	enum bmap_device_name name = BMAP_DEVICE_BY_ID;
	struct bmap_device_list list;
	bool ok;

	/* Known: the command line was checked. */
	if (!copy_target_kind(kind, &name) || !bmap_device_list_match(name, pattern, &list, err))
		return false;
	ok = list.count ||
	     failure(err, BMAP_ERR_NOT_FOUND, "no disk has a %s name like '%.300s'", kind, pattern);
	for (size_t i = 0; ok && i < list.count; i++)
		ok = add_matched(targets, list.devices[i].path, err);
	bmap_device_list_free(&list);
	return ok;
}

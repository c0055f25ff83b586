/* SPDX-License-Identifier: MIT */
#include "cli/psplash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK without a reader is ENXIO, fifo(7): it may come later. */
static int open_fifo(const char *path)
{
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

void psplash_open(struct psplash *psplash, const char *path, struct output *out)
{
	struct stat st;

	*psplash = (struct psplash){ .path = path, .fd = -1, .last_percent = 101 };
	/* Looked at before it is opened: opening a device can do things. */
	if (stat(path, &st)) {
		output_warning(out, "%s: no psplash progress: %s", path, strerror(errno));
		psplash->path = NULL;
	} else if (!S_ISFIFO(st.st_mode)) {
		output_warning(out, "%s: no psplash progress: it is not a named pipe", path);
		psplash->path = NULL;
	} else {
		psplash->fd = open_fifo(path);
		if (psplash->fd < 0)
			output_debug(out, "%s: psplash does not read at the moment: %s", path,
				     strerror(errno));
	}
}

void psplash_send(struct psplash *psplash, unsigned percent)
{
	char line[32];
	int len;

	if (!psplash->path || percent == psplash->last_percent)
		return;
	if (psplash->fd < 0)
		psplash->fd = open_fifo(psplash->path);
	if (psplash->fd < 0)
		return;
	len = snprintf(line, sizeof(line), "PROGRESS %u\n", percent);
	/* Less than PIPE_BUF: all of it or nothing, pipe(7). */
	if (write(psplash->fd, line, (size_t)len) == len) {
		psplash->last_percent = percent;
	} else if (errno != EAGAIN) {
		close(psplash->fd);
		psplash->fd = -1;
	}
}

void psplash_close(struct psplash *psplash)
{
	if (psplash->path && psplash->fd >= 0)
		close(psplash->fd);
	psplash->path = NULL;
}

/* SPDX-License-Identifier: MIT */
#include "source/source_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct pipe_source {
	struct source source; /* first: the two are converted into each other */
	int fd; /* not in source: nobody may read it at an offset */
	uint64_t read_bytes; /* so far */
};

static ssize_t pipe_read(struct source *source, void *data, size_t len, struct bmap_error *err);
static bool wait_readable(struct pipe_source *pipe, struct bmap_error *err);
static void pipe_close(struct source *source);

static const struct source_ops pipe_ops = {
	.read = pipe_read,
	.close = pipe_close,
};

struct source *pipe_source_open(int fd, char *name, const struct bmap_stop *stop,
				struct bmap_error *err)
{
	struct pipe_source *pipe = calloc(1, sizeof(*pipe));

	if (!pipe) {
		bmap_error_memory(err, name);
		free(name);
		close(fd);
		return NULL;
	}
	pipe->source = (struct source){ .ops = &pipe_ops, .name = name, .fd = -1, .stop = stop };
	pipe->fd = fd;
	return &pipe->source;
}

static ssize_t pipe_read(struct source *source, void *data, size_t len, struct bmap_error *err)
{
	struct pipe_source *pipe = (struct pipe_source *)source;
	ssize_t n;

	do {
		/* Always before a read: a fifo that no writer has opened yet reads as its end. */
		if (!wait_readable(pipe, err))
			return -1;
		n = read(pipe->fd, data, len);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0) {
		bmap_error_errno(err, "%s: cannot read after %" PRIu64 " bytes", source->name,
				 pipe->read_bytes);
		return -1;
	}
	pipe->read_bytes += (uint64_t)n;
	return n;
}

/* Waits until a read does not wait (data, the end, or an error for it to find) or until the stop
 * was requested, which goes first: a fast writer must not be able to hold it up. */
static bool wait_readable(struct pipe_source *pipe, struct bmap_error *err)
{
	struct pollfd fds[2] = {
		{ .fd = stop_fd(pipe->source.stop), .events = POLLIN },
		{ .fd = pipe->fd, .events = POLLIN },
	};

	while (poll(fds, 2, -1) < 0) {
		if (errno != EINTR && errno != EAGAIN)
			return bmap_error_errno(err, "%s: cannot wait for data", pipe->source.name);
		if (bmap_stop_requested(pipe->source.stop))
			break;
	}
	if (bmap_stop_requested(pipe->source.stop))
		return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
				      "%s: interrupted after %" PRIu64 " bytes were read",
				      pipe->source.name, pipe->read_bytes);
	return true;
}

static void pipe_close(struct source *source)
{
	struct pipe_source *pipe = (struct pipe_source *)source;

	close(pipe->fd);
	free(pipe);
}

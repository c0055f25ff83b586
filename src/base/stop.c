/* SPDX-License-Identifier: MIT */
#include "base/stop.h"
#include "base/error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct bmap_stop {
	atomic_bool requested; /* any thread, signal handlers */
	int fd; /* constant */
};

struct bmap_stop *bmap_stop_new(struct bmap_error *err)
{
	struct bmap_stop *stop = calloc(1, sizeof(*stop));

	if (!stop) {
		bmap_error_memory(err, "stop");
		return NULL;
	}
	stop->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop->fd < 0) {
		bmap_error_errno(err, "cannot create an event descriptor");
		free(stop);
		return NULL;
	}
	atomic_init(&stop->requested, false);
	return stop;
}

void bmap_stop_request(struct bmap_stop *stop)
{
	static const uint64_t one = 1;
	int saved = errno;

	atomic_store(&stop->requested, true);
	/* Fails only when the counter is full: then it is readable anyway. */
	ssize_t ignored = write(stop->fd, &one, sizeof(one));
	(void)ignored;
	errno = saved;
}

bool bmap_stop_requested(const struct bmap_stop *stop)
{
	return stop && atomic_load(&stop->requested);
}

int stop_fd(const struct bmap_stop *stop)
{
	return stop ? stop->fd : -1;
}

void bmap_stop_free(struct bmap_stop *stop)
{
	if (!stop)
		return;
	close(stop->fd);
	free(stop);
}

/* SPDX-License-Identifier: MIT */
/* Moves nothing and says that it did: what is left is the cost of everything else. */
#include "io/engine_internal.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct null_engine {
	struct io_engine engine; /* first: the vtable casts */
	struct request_list queued;
	int wake_fd; /* constant; written by any thread */
};

static bool null_queue(struct io_engine *engine, struct io_request *req)
{
	struct null_engine *null = (struct null_engine *)engine;

	if (!engine_admit(engine, req))
		return false;
	request_list_add(&null->queued, req);
	return true;
}

static int null_wait(struct io_engine *engine, struct io_request **done, int max, int timeout_ms)
{
	struct null_engine *null = (struct null_engine *)engine;
	struct pollfd wake = { .fd = null->wake_fd, .events = POLLIN };
	uint64_t drained;
	ssize_t ignored;
	int n = 0;

	while (n < max && null->queued.first) {
		struct io_request *req = request_list_take(&null->queued);

		req->moved_bytes = req->op == IO_DATASYNC ? 0 : req->len_bytes;
		req->result = (ssize_t)req->moved_bytes;
		done[n++] = req;
	}
	engine->in_flight -= (unsigned)n;
	engine->counters.requests += (unsigned)n;
	if (n)
		return n;
	engine->counters.waits += timeout_ms != 0;
	poll(&wake, 1, timeout_ms);
	ignored = read(null->wake_fd, &drained, sizeof(drained));
	(void)ignored;
	return 0;
}

static void null_wake(struct io_engine *engine)
{
	static const uint64_t one = 1;
	ssize_t ignored = write(((struct null_engine *)engine)->wake_fd, &one, sizeof(one));

	(void)ignored;
}

static bool null_register_buffer(struct io_engine *engine, void *base, size_t len)
{
	(void)engine, (void)base, (void)len;
	return false;
}

static void null_close(struct io_engine *engine)
{
	struct null_engine *null = (struct null_engine *)engine;

	close(null->wake_fd);
	free(null);
}

static const struct io_engine_ops null_ops = {
	.name = "null",
	.queue = null_queue,
	.wait = null_wait,
	.wake = null_wake,
	.register_buffer = null_register_buffer,
	.close = null_close,
};

struct io_engine *null_open(unsigned depth, struct bmap_error *err)
{
	struct null_engine *null = calloc(1, sizeof(*null));

	if (!null) {
		bmap_error_memory(err, "null engine");
		return NULL;
	}
	null->engine = (struct io_engine){ .ops = &null_ops, .depth = depth ? depth : 1 };
	null->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (null->wake_fd < 0) {
		bmap_error_errno(err, "cannot create an event descriptor");
		free(null);
		return NULL;
	}
	return &null->engine;
}

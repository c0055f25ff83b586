/* SPDX-License-Identifier: MIT */
#include "io/engine_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct io_engine *engine_open(unsigned depth, const struct bmap_log *log, struct bmap_error *err)
{
	struct bmap_error refused = { 0 };
	struct io_engine *engine = uring_open(depth, &refused);

	if (engine)
		return engine;
	if (refused.code != BMAP_ERR_UNSUPPORTED) {
		if (err)
			*err = refused;
		return NULL;
	}
	log_info(log, "%s: reading and writing with worker threads instead", refused.text);
	return psync_open(depth, err);
}

struct io_engine *engine_make(const struct engine_factory *factory, unsigned depth,
			      const struct bmap_log *log, struct bmap_error *err)
{
	if (factory && factory->open)
		return factory->open(factory->arg, depth, log, err);
	return engine_open(depth, log, err);
}

bool engine_admit(struct io_engine *engine, struct io_request *req)
{
	if (engine->in_flight >= engine->depth)
		return false;
	engine->in_flight++;
	req->moved_bytes = 0;
	req->result = 0;
	req->retries = 0;
	req->resubmitted = 0;
	return true;
}

static enum io_verdict complete(struct io_request *req, ssize_t result)
{
	req->result = result;
	return IO_COMPLETE;
}

static enum io_verdict judge(struct io_request *req, ssize_t result)
{
	if (req->op == IO_DATASYNC && result >= 0)
		return complete(req, 0);
	if (result == -EAGAIN || result == -EINTR)
		return ++req->retries < IO_MAX_RETRIES ? IO_AGAIN : complete(req, result);
	/* O_DIRECT takes no unaligned offsets, some file systems not even behind the end of the
	 * file. Only the end of a file cuts a direct read off inside a sector. */
	if (result == -EINVAL && req->op == IO_READ && req->moved_bytes % 512)
		return complete(req, (ssize_t)req->moved_bytes);
	if (result < 0)
		return complete(req, result);
	req->moved_bytes += (size_t)result;
	if (req->moved_bytes >= req->len_bytes || (result == 0 && req->op == IO_READ))
		return complete(req, (ssize_t)req->moved_bytes);
	if (result == 0) /* a write that moves nothing twice in a row will not move any more */
		return req->retries++ ? complete(req, -EIO) : IO_CONTINUE;
	req->retries = 0;
	return IO_CONTINUE;
}

enum io_verdict request_take_result(struct io_request *req, ssize_t result)
{
	enum io_verdict verdict = judge(req, result);

	if (verdict != IO_COMPLETE)
		req->resubmitted++;
	return verdict;
}

void uring_refusal(char *text, size_t len, int errnum, int disabled)
{
	if (errnum == EPERM && disabled > 0)
		snprintf(text, len, "io_uring is disabled by kernel.io_uring_disabled=%d%s",
			 disabled, disabled == 1 ? " for all but kernel.io_uring_group" : "");
	else if (errnum == EPERM)
		snprintf(text, len,
			 "io_uring is not permitted here (by a seccomp filter, as in containers)");
	else if (errnum == ENOSYS)
		snprintf(text, len, "this kernel has no io_uring, or a seccomp filter hides it");
	else
		snprintf(text, len, "io_uring cannot be set up: %s", strerror(errnum));
}

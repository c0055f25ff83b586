/* SPDX-License-Identifier: MIT */
/* The fallback where there is no io_uring: a few threads with pread(2), pwrite(2), fdatasync(2).
 * Threads are started when a request finds none idle, up to min(depth, MAX_THREADS): a job that
 * never has more than two requests in flight has two. */
#include "io/engine_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/threads.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_THREADS 8u /* more would help only devices that io_uring serves anyway */
#define MAX_CALL_BYTES ((size_t)1 << 30) /* as in uring.c; read(2) moves at most 2 GiB a call */
#define NOT_READY_MS 10 /* how long a descriptor that said EAGAIN is waited for */

struct psync {
	struct io_engine engine; /* first: the vtable casts. Owner's thread only */
	struct request_list queued; /* owner's thread only */
	unsigned threads; /* owner's thread only */
	pthread_t thread[MAX_THREADS];
	pthread_mutex_t lock; /* all below */
	pthread_cond_t work; /* pending got longer, or ending */
	pthread_cond_t moved; /* done got longer, or woken */
	struct request_list pending, done;
	unsigned pending_count, idle;
	uint64_t resubmitted;
	bool woken, ending;
};

static bool psync_queue(struct io_engine *engine, struct io_request *req);
static int psync_wait(struct io_engine *engine, struct io_request **done, int max, int timeout_ms);
static void psync_wake(struct io_engine *engine);
static bool psync_register_buffer(struct io_engine *engine, void *base, size_t len);
static void psync_close(struct io_engine *engine);
static void *worker_run(void *arg);

static const struct io_engine_ops psync_ops = {
	.name = "psync",
	.queue = psync_queue,
	.wait = psync_wait,
	.wake = psync_wake,
	.register_buffer = psync_register_buffer,
	.close = psync_close,
};

static bool add_thread(struct psync *psync, struct bmap_error *err)
{
	if (!thread_start(&psync->thread[psync->threads], "io", worker_run, psync, err))
		return false;
	psync->threads++;
	return true;
}

struct io_engine *psync_open(unsigned depth, struct bmap_error *err)
{
	struct psync *psync = calloc(1, sizeof(*psync));
	pthread_condattr_t monotonic;

	if (!psync) {
		bmap_error_memory(err, "worker threads for reading and writing");
		return NULL;
	}
	psync->engine = (struct io_engine){ .ops = &psync_ops, .depth = depth ? depth : 1 };
	pthread_mutex_init(&psync->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&psync->work, NULL);
	pthread_cond_init(&psync->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
	/* The first one now: then a request can always be served, whatever fails later. */
	if (!add_thread(psync, err)) {
		psync_close(&psync->engine);
		return NULL;
	}
	return &psync->engine;
}

static ssize_t call_once(const struct io_request *req)
{
	uint8_t *data = req->data + req->moved_bytes;
	size_t len = min_u64(req->len_bytes - req->moved_bytes, MAX_CALL_BYTES);
	off_t offset = (off_t)(req->offset_bytes + req->moved_bytes);
	ssize_t n = -1;

	switch (req->op) {
	case IO_READ:
		n = pread(req->fd, data, len, offset);
		break;
	case IO_WRITE:
		n = pwrite(req->fd, data, len, offset);
		break;
	case IO_DATASYNC:
		n = fdatasync(req->fd);
		break;
	}
	return n < 0 ? -errno : n;
}

/* Returns how often the kernel had to be asked again. */
static uint64_t serve(struct io_request *req)
{
	uint64_t again = 0;

	for (;; again++) {
		ssize_t result = call_once(req);
		enum io_verdict verdict = request_take_result(req, result);

		if (verdict == IO_COMPLETE)
			return again;
		if (result == -EAGAIN) {
			struct pollfd ready = { .fd = req->fd,
						.events = req->op == IO_READ ? POLLIN : POLLOUT };

			poll(&ready, 1, NOT_READY_MS);
		}
	}
}

/* Waits for pending requests, serves them; ends when psync_close() says so (and none is left). */
static void *worker_run(void *arg)
{
	struct psync *psync = arg;
	struct io_request *req;

	pthread_mutex_lock(&psync->lock);
	for (;;) {
		uint64_t again;

		psync->idle++;
		while (!psync->pending.first && !psync->ending)
			pthread_cond_wait(&psync->work, &psync->lock);
		psync->idle--;
		req = request_list_take(&psync->pending);
		if (!req)
			break;
		psync->pending_count--;
		pthread_mutex_unlock(&psync->lock);
		again = serve(req);
		pthread_mutex_lock(&psync->lock);
		psync->resubmitted += again;
		request_list_add(&psync->done, req);
		pthread_cond_signal(&psync->moved);
	}
	pthread_mutex_unlock(&psync->lock);
	return NULL;
}

static bool psync_queue(struct io_engine *engine, struct io_request *req)
{
	struct psync *psync = (struct psync *)engine;

	if (!engine_admit(engine, req))
		return false;
	request_list_add(&psync->queued, req);
	return true;
}

static void submit(struct psync *psync)
{
	unsigned limit = (unsigned)min_u64(psync->engine.depth, MAX_THREADS), missing;
	struct io_request *req;

	if (!psync->queued.first)
		return;
	pthread_mutex_lock(&psync->lock);
	while ((req = request_list_take(&psync->queued)) != NULL) {
		request_list_add(&psync->pending, req);
		psync->pending_count++;
		pthread_cond_signal(&psync->work);
	}
	missing = psync->pending_count > psync->idle ? psync->pending_count - psync->idle : 0;
	pthread_mutex_unlock(&psync->lock);
	/* Fewer threads than wanted are slower, nothing else. */
	while (missing-- && psync->threads < limit && add_thread(psync, NULL))
		;
}

static struct timespec deadline_in(int timeout_ms)
{
	uint64_t ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;

	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S),
				  .tv_nsec = (long)(ns % NS_PER_S) };
}

/* With the lock held: until something is done, woken, or the time is over. */
static void sleep_for_completion(struct psync *psync, int timeout_ms)
{
	struct timespec deadline = deadline_in(timeout_ms < 0 ? 0 : timeout_ms);
	int rc = 0;

	if (psync->done.first || psync->woken || timeout_ms == 0)
		return;
	psync->engine.counters.waits++;
	while (!psync->done.first && !psync->woken && !rc)
		rc = timeout_ms < 0
			     ? pthread_cond_wait(&psync->moved, &psync->lock)
			     : pthread_cond_timedwait(&psync->moved, &psync->lock, &deadline);
}

static int psync_wait(struct io_engine *engine, struct io_request **done, int max, int timeout_ms)
{
	struct psync *psync = (struct psync *)engine;
	int n = 0;

	submit(psync);
	pthread_mutex_lock(&psync->lock);
	sleep_for_completion(psync, timeout_ms);
	psync->woken = false;
	while (n < max && psync->done.first)
		done[n++] = request_list_take(&psync->done);
	engine->counters.resubmitted = psync->resubmitted;
	pthread_mutex_unlock(&psync->lock);
	engine->in_flight -= (unsigned)n;
	engine->counters.requests += (unsigned)n;
	return n;
}

static void psync_wake(struct io_engine *engine)
{
	struct psync *psync = (struct psync *)engine;

	pthread_mutex_lock(&psync->lock);
	psync->woken = true;
	pthread_cond_signal(&psync->moved);
	pthread_mutex_unlock(&psync->lock);
}

static bool psync_register_buffer(struct io_engine *engine, void *base, size_t len)
{
	(void)engine, (void)base, (void)len;
	return false;
}

static void psync_close(struct io_engine *engine)
{
	struct psync *psync = (struct psync *)engine;

	pthread_mutex_lock(&psync->lock);
	psync->ending = true;
	pthread_cond_broadcast(&psync->work);
	pthread_mutex_unlock(&psync->lock);
	for (unsigned i = 0; i < psync->threads; i++)
		pthread_join(psync->thread[i], NULL);
	assert(!psync->pending.first);
	pthread_cond_destroy(&psync->moved);
	pthread_cond_destroy(&psync->work);
	pthread_mutex_destroy(&psync->lock);
	free(psync);
}

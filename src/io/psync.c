/* SPDX-License-Identifier: MIT */
/* The fallback where there is no io_uring: a few threads with pread(2), pwrite(2), fdatasync(2).
 * Threads are started when a request finds none idle, up to min(depth, LANE_THREADS for each
 * descriptor): a job that never has more than two requests in flight has two. A descriptor that
 * does not answer keeps its own threads and no others. */
#include "io/engine_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/threads.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define LANE_THREADS 8u /* more would help only devices that io_uring serves anyway */
#define LANES 32u /* descriptors that have threads of their own; further ones share */
#define MAX_THREADS (LANES * LANE_THREADS)
#define MAX_CALL_BYTES ((size_t)1 << 30) /* as in uring.c; read(2) moves at most 2 GiB a call */
#define NOT_READY_MS 10 /* how long a descriptor that said EAGAIN is waited for */

/* Requests of one descriptor, by its number modulo LANES. */
struct fd_lane {
	struct request_list pending;
	unsigned pending_count;
	unsigned serving; /* threads that are at it */
	bool used;
};

struct psync {
	struct io_engine engine; /* first: the vtable casts. Owner's thread only */
	struct request_list queued; /* owner's thread only */
	unsigned threads; /* owner's thread only */
	pthread_t thread[MAX_THREADS];
	pthread_mutex_t lock; /* all below */
	pthread_cond_t work; /* a lane has something to do, or ending */
	pthread_cond_t moved; /* done got longer, or woken */
	struct fd_lane lanes[LANES];
	unsigned next_lane; /* to be looked at first: each in turn */
	struct request_list done;
	unsigned idle;
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

static struct fd_lane *lane_of(struct psync *psync, const struct io_request *req)
{
	return &psync->lanes[(unsigned)req->fd % LANES];
}

static unsigned servable(const struct fd_lane *lane)
{
	return (unsigned)min_u64(lane->pending_count, LANE_THREADS - lane->serving);
}

/* The next request that a thread may take, or NULL. */
static struct io_request *take_pending(struct psync *psync)
{
	for (unsigned i = 0; i < LANES; i++) {
		struct fd_lane *lane = &psync->lanes[(psync->next_lane + i) % LANES];

		if (!servable(lane))
			continue;
		psync->next_lane = (psync->next_lane + i + 1) % LANES;
		lane->pending_count--;
		lane->serving++;
		return request_list_take(&lane->pending);
	}
	return NULL;
}

/* Waits for pending requests, serves them; ends when psync_close() says so (and none is left). A
 * thread that ends a request may serve the next one of its lane: nobody else has to be woken. */
static void *worker_run(void *arg)
{
	struct psync *psync = arg;
	struct io_request *req;

	pthread_mutex_lock(&psync->lock);
	for (;;) {
		uint64_t again;

		psync->idle++;
		while (!(req = take_pending(psync)) && !psync->ending)
			pthread_cond_wait(&psync->work, &psync->lock);
		psync->idle--;
		if (!req)
			break;
		pthread_mutex_unlock(&psync->lock);
		again = serve(req);
		pthread_mutex_lock(&psync->lock);
		lane_of(psync, req)->serving--;
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
	unsigned limit = (unsigned)min_u64(psync->engine.depth, MAX_THREADS), missing = 0,
		 lanes = 0;
	struct io_request *req;

	if (!psync->queued.first)
		return;
	pthread_mutex_lock(&psync->lock);
	while ((req = request_list_take(&psync->queued)) != NULL) {
		struct fd_lane *lane = lane_of(psync, req);

		request_list_add(&lane->pending, req);
		lane->pending_count++;
		lane->used = true;
		pthread_cond_signal(&psync->work);
	}
	for (unsigned i = 0; i < LANES; i++) {
		missing += servable(&psync->lanes[i]);
		lanes += psync->lanes[i].used;
	}
	missing -= (unsigned)min_u64(missing, psync->idle);
	pthread_mutex_unlock(&psync->lock);
	limit = (unsigned)min_u64(limit, lanes * LANE_THREADS);
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
	for (unsigned i = 0; i < LANES; i++)
		assert(!psync->lanes[i].pending_count);
	pthread_cond_destroy(&psync->moved);
	pthread_cond_destroy(&psync->work);
	pthread_mutex_destroy(&psync->lock);
	free(psync);
}

/* SPDX-License-Identifier: MIT */
#include "model_device.h"
#include "base/checked.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRTY_BYTES 512u
#define MAX_HELD 4096

struct held {
	struct io_request *req;
	uint64_t due_ns; /* UINT64_MAX: never */
	int result; /* 0: serve it */
	uint8_t *taken; /* the data of a write, if the device takes it at once */
};

struct model_engine {
	struct io_engine engine;
	struct model *model;
	struct held held[MAX_HELD];
	unsigned count;
	pthread_mutex_t lock;
	pthread_cond_t woken_cond;
	bool woken; /* lock */
};

/* An assert that stays in every build. */
#define EXPECT(what, req)                                                                          \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "request broke a rule: %s: op %d, %zu bytes at %llu\n",    \
				#what, (req)->op, (req)->len_bytes,                                \
				(unsigned long long)(req)->offset_bytes);                          \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

uint64_t model_random(uint64_t *seed, uint64_t below)
{
	*seed += 0x9e3779b97f4a7c15u; /* splitmix64 */
	uint64_t z = *seed;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % below;
}

void model_device_init(struct model_device *device, uint64_t capacity, size_t align)
{
	*device = (struct model_device){ .size = capacity,
					 .align = align,
					 .capacity = capacity,
					 .fault_request = MODEL_NO_REQUEST };
	device->cache = calloc(1, capacity);
	device->medium = calloc(1, capacity);
	device->dirty = calloc(capacity / DIRTY_BYTES + 1, sizeof(bool));
	if (!device->cache || !device->medium || !device->dirty)
		abort();
}

void model_device_free(struct model_device *device)
{
	free(device->cache);
	free(device->medium);
	free(device->dirty);
}

static struct model_device *device_of(struct model_engine *me, const struct io_request *req,
				      bool *buffered)
{
	int i = req->fd - MODEL_FD;

	EXPECT(i >= 0 && i < 2 * MODEL_MAX, req);
	*buffered = i >= MODEL_MAX;
	return &me->model->device[i % MODEL_MAX];
}

static bool overlaps(const struct io_request *a, const struct io_request *b, size_t align)
{
	uint64_t a_begin = a->offset_bytes / align, b_begin = b->offset_bytes / align;
	uint64_t a_end = div_round_up(a->offset_bytes + a->len_bytes, align);
	uint64_t b_end = div_round_up(b->offset_bytes + b->len_bytes, align);

	return a_begin < b_end && b_begin < a_end;
}

static void check(struct model_engine *me, const struct io_request *req)
{
	bool buffered, other_buffered;
	struct model_device *device = device_of(me, req, &buffered);
	unsigned same = 0;

	for (unsigned i = 0; i < me->count; i++) {
		const struct io_request *other = me->held[i].req;

		if (device_of(me, other, &other_buffered) != device)
			continue;
		same++;
		EXPECT(req->op != IO_DATASYNC, req); /* the stage flushes when all is done */
		EXPECT(!overlaps(req, other, device->align), req);
		EXPECT(!buffered && !other_buffered, req);
	}
	device->most_in_flight = max_u64(device->most_in_flight, same + 1);
	if (req->op == IO_DATASYNC)
		return;
	EXPECT(req->len_bytes > 0, req);
	if (!buffered) {
		EXPECT(req->offset_bytes % device->align == 0, req);
		EXPECT(req->len_bytes % device->align == 0, req);
		EXPECT((uintptr_t)req->data % min_u64(device->align, 4096) == 0, req);
	}
	EXPECT(req->offset_bytes + req->len_bytes <= device->capacity, req);
}

static bool model_queue(struct io_engine *engine, struct io_request *req)
{
	struct model_engine *me = (struct model_engine *)engine;
	struct model *model = me->model;
	bool buffered, faulty;
	struct model_device *device = device_of(me, req, &buffered);
	struct held held = { .req = req };

	if (engine->in_flight >= engine->depth || me->count == MAX_HELD)
		return false;
	check(me, req);
	if (model->queued)
		model->queued(model->arg, device, req);
	held.due_ns = clock_now_ns() + device->delay_ms * NS_PER_MS;
	faulty = device->requests == device->fault_request;
	if (faulty && (device->fault == FAULT_DEAD || device->fault == FAULT_NEVER))
		device->dead = true;
	if (device->fault == FAULT_NEVER && device->dead)
		held.due_ns = UINT64_MAX;
	else if (device->fault != FAULT_NONE && (faulty || device->dead))
		held.result = -device->errnum;
	if (device->takes_at_once && req->op == IO_WRITE) {
		held.taken = malloc(req->len_bytes);
		EXPECT(held.taken, req);
		memcpy(held.taken, req->data, req->len_bytes);
	}
	device->requests++;
	me->held[me->count++] = held;
	engine->in_flight++;
	return true;
}

static void flush(struct model_device *device)
{
	for (uint64_t i = 0; i <= device->capacity / DIRTY_BYTES; i++) {
		uint64_t at = i * DIRTY_BYTES;

		if (device->dirty[i])
			memcpy(device->medium + at, device->cache + at,
			       min_u64(DIRTY_BYTES, device->capacity - at));
		device->dirty[i] = false;
	}
}

static ssize_t serve(struct model_device *device, struct io_request *req, const uint8_t *data)
{
	uint64_t end = req->offset_bytes + req->len_bytes;

	switch (req->op) {
	case IO_DATASYNC:
		device->flushes++;
		flush(device);
		return 0;
	case IO_READ:
		device->reads++;
		if (req->offset_bytes >= device->size)
			return 0;
		end = min_u64(end, device->size);
		memcpy(req->data, device->cache + req->offset_bytes, end - req->offset_bytes);
		return (ssize_t)(end - req->offset_bytes);
	case IO_WRITE:
		break;
	}
	if (end > device->size && !device->is_file)
		return -ENOSPC;
	device->writes++;
	device->largest_write = max_u64(device->largest_write, req->len_bytes);
	device->size = max_u64(device->size, end);
	memcpy(device->cache + req->offset_bytes, data, req->len_bytes);
	for (uint64_t i = req->offset_bytes / DIRTY_BYTES; i * DIRTY_BYTES < end; i++)
		device->dirty[i] = true;
	return (ssize_t)req->len_bytes;
}

static struct io_request *complete(struct model_engine *me, unsigned i)
{
	struct held held = me->held[i];
	bool buffered;
	struct model_device *device = device_of(me, held.req, &buffered);

	me->held[i] = me->held[--me->count];
	held.req->result =
		held.result ? held.result
			    : serve(device, held.req, held.taken ? held.taken : held.req->data);
	free(held.taken);
	me->engine.in_flight--;
	me->engine.counters.requests++;
	if (me->model->completed)
		me->model->completed(me->model->arg, device, held.req);
	return held.req;
}

/* A random share of what is due; *next_ns: when the next one will be. */
static int complete_some(struct model_engine *me, struct io_request **done, int max,
			 uint64_t *next_ns)
{
	uint64_t now = clock_now_ns();
	int n = 0;

	*next_ns = UINT64_MAX;
	for (unsigned i = 0; i < me->count;) {
		if (me->held[i].due_ns > now) {
			*next_ns = min_u64(*next_ns, me->held[i].due_ns);
			i++;
		} else if (n < max && model_random(&me->model->seed, 3)) {
			done[n++] = complete(me, i);
		} else {
			*next_ns = now;
			i++;
		}
	}
	return n;
}

static bool sleep_until(struct model_engine *me, uint64_t until_ns)
{
	struct timespec at = { .tv_sec = (time_t)(until_ns / NS_PER_S),
			       .tv_nsec = (long)(until_ns % NS_PER_S) };
	bool woken;
	int rc = 0;

	pthread_mutex_lock(&me->lock);
	while (!me->woken && !rc)
		rc = until_ns == UINT64_MAX
			     ? pthread_cond_wait(&me->woken_cond, &me->lock)
			     : pthread_cond_timedwait(&me->woken_cond, &me->lock, &at);
	woken = me->woken;
	me->woken = false;
	pthread_mutex_unlock(&me->lock);
	return woken;
}

static int model_wait(struct io_engine *engine, struct io_request **done, int max, int timeout_ms)
{
	struct model_engine *me = (struct model_engine *)engine;
	uint64_t deadline = UINT64_MAX, next;

	if (timeout_ms >= 0)
		deadline = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	if (me->model->break_after && engine->counters.requests >= me->model->break_after)
		return -EBADF;
	for (;;) {
		int n = complete_some(me, done, max, &next);

		if (n > 0 || sleep_until(me, min_u64(next, deadline)))
			return n;
		if (clock_now_ns() >= deadline)
			return 0;
	}
}

static void model_wake(struct io_engine *engine)
{
	struct model_engine *me = (struct model_engine *)engine;

	pthread_mutex_lock(&me->lock);
	me->woken = true;
	pthread_cond_signal(&me->woken_cond);
	pthread_mutex_unlock(&me->lock);
}

static bool model_register_buffer(struct io_engine *engine, void *base, size_t len)
{
	(void)engine, (void)base, (void)len;
	return true;
}

static void model_close(struct io_engine *engine)
{
	struct model_engine *me = (struct model_engine *)engine;

	if (engine->in_flight)
		abort(); /* engine.h: not allowed */
	me->model->engine = NULL;
	pthread_mutex_destroy(&me->lock);
	pthread_cond_destroy(&me->woken_cond);
	free(me);
}

static const struct io_engine_ops model_ops = {
	.name = "model",
	.queue = model_queue,
	.wait = model_wait,
	.wake = model_wake,
	.register_buffer = model_register_buffer,
	.close = model_close,
};

struct io_engine *model_open(void *arg, unsigned depth, const struct bmap_log *log,
			     struct bmap_error *err)
{
	struct model_engine *me = calloc(1, sizeof(*me));
	pthread_condattr_t monotonic;

	(void)log, (void)err;
	if (!me)
		abort();
	me->engine = (struct io_engine){ .ops = &model_ops, .depth = depth };
	me->model = arg;
	me->model->engine = &me->engine;
	pthread_mutex_init(&me->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&me->woken_cond, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return &me->engine;
}

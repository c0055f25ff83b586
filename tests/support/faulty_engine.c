/* SPDX-License-Identifier: MIT */
#include "faulty_engine.h"

#include <stdlib.h>

struct faulty {
	struct io_engine engine; /* first: the vtable casts */
	struct io_engine *inner;
	struct faulty_plan *plan;
	int waits;
};

static void mirror(struct faulty *faulty)
{
	faulty->engine.in_flight = faulty->inner->in_flight;
	faulty->engine.counters = faulty->inner->counters;
}

static bool faulty_queue(struct io_engine *engine, struct io_request *req)
{
	struct faulty *faulty = (struct faulty *)engine;
	bool queued = engine_queue(faulty->inner, req);

	mirror(faulty);
	return queued;
}

static void spoil(struct faulty_plan *plan, struct io_request *req)
{
	uint64_t number = atomic_fetch_add(&plan->completed, 1) + 1;

	if (plan->fail_at &&
	    (number == plan->fail_at || (plan->fail_all_after && number > plan->fail_at)))
		req->result = -plan->errnum;
	if (plan->hook)
		plan->hook(plan->arg, number, req);
}

static int faulty_wait(struct io_engine *engine, struct io_request **done, int max, int timeout_ms)
{
	struct faulty *faulty = (struct faulty *)engine;
	int n = engine_wait(faulty->inner, done, max, timeout_ms);

	if (faulty->plan->break_at && ++faulty->waits >= faulty->plan->break_at)
		return -faulty->plan->errnum; /* what was in done is lost: in_flight keeps it */
	for (int i = 0; i < n; i++)
		spoil(faulty->plan, done[i]);
	mirror(faulty);
	return n;
}

static void faulty_wake(struct io_engine *engine)
{
	engine_wake(((struct faulty *)engine)->inner);
}

static bool faulty_register_buffer(struct io_engine *engine, void *base, size_t len)
{
	return engine_register_buffer(((struct faulty *)engine)->inner, base, len);
}

static void faulty_close(struct io_engine *engine)
{
	engine_free(((struct faulty *)engine)->inner);
	free(engine);
}

static const struct io_engine_ops faulty_ops = {
	.name = "faulty",
	.queue = faulty_queue,
	.wait = faulty_wait,
	.wake = faulty_wake,
	.register_buffer = faulty_register_buffer,
	.close = faulty_close,
};

struct io_engine *faulty_open(void *arg, unsigned depth, const struct bmap_log *log,
			      struct bmap_error *err)
{
	struct faulty_plan *plan = arg;
	struct faulty *faulty = calloc(1, sizeof(*faulty));

	atomic_fetch_add(&plan->opened, 1);
	if (!faulty || plan->fail_open) {
		free(faulty);
		bmap_error_errnum(err, plan->fail_open, "faulty engine");
		return NULL;
	}
	faulty->inner = plan->inner ? plan->inner(depth, err) : engine_open(depth, log, err);
	if (!faulty->inner) {
		free(faulty);
		return NULL;
	}
	faulty->engine = (struct io_engine){ .ops = &faulty_ops, .depth = depth };
	faulty->plan = plan;
	return &faulty->engine;
}

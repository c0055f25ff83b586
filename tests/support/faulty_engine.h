/* SPDX-License-Identifier: MIT */
/* faulty_engine.h - an engine around a real one whose Nth completion goes wrong.
 *
 * Requests are counted over all engines of one plan, in the order in which they complete, from 1.
 * A test adds files('../../support/faulty_engine.c') to its sources and hands out
 *   struct faulty_plan plan = { .fail_at = 3, .errnum = EIO };
 *   struct engine_factory factory = { .open = faulty_open, .arg = &plan };
 * Threads: one plan may serve engines of several threads. */
#ifndef SUPPORT_FAULTY_ENGINE_H
#define SUPPORT_FAULTY_ENGINE_H

#include "io/engine.h"

#include <stdatomic.h>

struct faulty_plan {
	struct io_engine *(*inner)(unsigned depth,
				   struct bmap_error *err); /* NULL: engine_open() */
	uint64_t fail_at; /* this completion gets -errnum; 0: none */
	bool fail_all_after; /* and all that follow */
	int errnum;
	int fail_open; /* opening an engine fails with this errno */
	int break_at; /* this wait() of an engine gives -errnum: the engine is broken; 0: never */
	/* At each completion, before it is handed out; may change req->result. */
	void (*hook)(void *arg, uint64_t number, struct io_request *req);
	void *arg;
	_Atomic uint64_t completed; /* so far */
	_Atomic unsigned opened;
};

/* arg: the plan. */
struct io_engine *faulty_open(void *arg, unsigned depth, const struct bmap_log *log,
			      struct bmap_error *err);

#endif

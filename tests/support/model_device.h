/* SPDX-License-Identifier: MIT */
/* model_device.h - devices that are byte arrays, behind an io engine that checks every request.
 *
 * A device has a medium and a volatile cache over it: a write changes the cache, a flush brings the
 * cache to the medium. After a power cut each unflushed sector is either as on the medium or as in
 * the cache. Checked with asserts, on every request: offset, length and memory are aligned, inside
 * the device; no two requests in flight touch the same sector. Data is copied when a request
 * completes, not when it is queued: memory that was reused too early shows as wrong bytes.
 * Requests complete in random order (seed).
 *
 * Threads: as engine.h. The devices belong to the engine's thread until it has ended. */
#ifndef SUPPORT_MODEL_DEVICE_H
#define SUPPORT_MODEL_DEVICE_H

#include "io/engine.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_FD 100000 /* of device 0; i: MODEL_FD + i; its buffered one: + MODEL_MAX */
#define MODEL_MAX 8
#define MODEL_NO_REQUEST UINT64_MAX

enum model_fault {
	FAULT_NONE,
	FAULT_ERROR, /* this request, errnum */
	FAULT_DEAD, /* this and all later ones, errnum */
	FAULT_NEVER, /* this and all later ones never complete */
};

struct model_device {
	uint64_t size; /* reads end here; writes beyond grow it if it is a file */
	bool is_file;
	size_t align; /* of requests on its first descriptor */
	uint8_t *cache, *medium; /* capacity bytes each */
	uint64_t capacity;
	bool *dirty; /* a sector of DIRTY_BYTES each: cache and medium may differ */
	/* Faults: counted in requests of this device, from 0. */
	enum model_fault fault;
	uint64_t fault_request;
	int errnum;
	unsigned delay_ms; /* each request takes at least so long */
	bool takes_at_once; /* copies what is written when it is queued: for a lane that is
			       detached, as its memory may be overwritten before the request
			       completes */
	/* Seen: */
	uint64_t requests, flushes, reads, writes, largest_write, most_in_flight;
	bool dead;
};

struct model {
	struct model_device device[MODEL_MAX];
	size_t device_count;
	uint64_t seed;
	uint64_t break_after; /* completions: then the engine itself is broken; 0: never */
	/* After each completion, on the engine's thread; may be NULL. */
	void (*completed)(void *arg, struct model_device *device, const struct io_request *req);
	void (*queued)(void *arg, struct model_device *device, const struct io_request *req);
	void *arg;
	struct io_engine *engine; /* the last one that was opened */
};

void model_device_init(struct model_device *device, uint64_t capacity, size_t align);
void model_device_free(struct model_device *device);
/* For struct engine_factory: arg is a struct model. */
struct io_engine *model_open(void *arg, unsigned depth, const struct bmap_log *log,
			     struct bmap_error *err);
uint64_t model_random(uint64_t *seed, uint64_t below);

#endif

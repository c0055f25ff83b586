/* SPDX-License-Identifier: MIT */
/* io/engine.h - requests in flight: reads, writes and flushes of file descriptors.
 *
 * One header for every way to move bytes: io_uring (uring.c), worker threads with pread/pwrite
 * (psync.c: the fallback), nothing at all (null.c: half of every benchmark).
 *
 * Promises, the same for every engine:
 *   - A request completes exactly once, in any order. result is the number of bytes moved, or
 *     -errno. A short result was continued by the engine until all bytes were moved, an error
 *     came, or (reads) the file ended: so a write gives len_bytes or an error (-EIO if the kernel
 *     moves nothing twice in a row), and a read that is short met the end of the file. -EAGAIN and
 *     -EINTR were retried.
 *   - Requests of a descriptor that does not answer do not hold up those of others.
 *   - The memory and the descriptor of a request are used until its completion was returned by
 *     engine_wait(), whatever else happens; only then they may be freed, reused or closed.
 * Threads:   an engine belongs to the thread that created it, but for engine_wake().
 * Lifetime:  engine_free() is allowed only when in_flight is 0. If requests never end (a dead
 *            device), the owner leaks the engine and what its requests point to, and says so. */
#ifndef IO_ENGINE_H
#define IO_ENGINE_H

#include "base/error.h"
#include "base/log.h"

#include <stddef.h>
#include <sys/types.h>

enum io_op {
	IO_READ,
	IO_WRITE,
	IO_DATASYNC, /* fdatasync(2): on a block device, flushes its cache */
};

enum io_flags {
	IO_ASYNC = 1, /* have a kernel worker do it: submission must not block (few tags) */
};

/* Owned by the caller; must not move or change between engine_queue() and its completion. */
struct io_request {
	enum io_op op;
	unsigned flags;
	int fd;
	uint8_t *data; /* inside the registered buffer or not: the engine finds out */
	size_t len_bytes;
	uint64_t offset_bytes;
	void *owner; /* for the caller */
	/* The engine's own: */
	size_t moved_bytes;
	ssize_t result;
	unsigned retries; /* without any progress */
	unsigned resubmitted; /* all in all, also to continue; the owner may read it at the end */
	struct io_request *next;
};

struct io_counters {
	uint64_t requests; /* completed */
	uint64_t resubmitted; /* after short results or -EAGAIN */
	uint64_t fixed; /* requests that used the registered buffer */
	uint64_t waits; /* calls of engine_wait() that slept */
	uint64_t longest_submit_ns;
};

struct io_engine;

struct io_engine_ops {
	const char *name; /* "io_uring": messages, --debug */
	/* Takes the request for the next engine_wait(). False if the engine holds `depth` requests
	 * already: wait first. */
	bool (*queue)(struct io_engine *engine, struct io_request *req);
	/* Submits all queued requests; returns up to max completed ones in done[]. Sleeps until
	 * there is at least one, engine_wake() was called, or timeout_ms went by (0: do not sleep,
	 * -1: no limit). Returns how many, 0 on wake or time-out (or a signal), -errno if the
	 * engine itself is broken (nothing can be expected from it any more). */
	int (*wait)(struct io_engine *engine, struct io_request **done, int max, int timeout_ms);
	/* Makes the current or the next wait() return soon. Any thread; never blocks. */
	void (*wake)(struct io_engine *engine);
	/* Registers memory for faster requests; lasts as long as the engine. False if the system
	 * refuses (RLIMIT_MEMLOCK) or the engine gains nothing by it: all works without. Call once,
	 * before the first request. */
	bool (*register_buffer)(struct io_engine *engine, void *base, size_t len);
	void (*close)(struct io_engine *engine);
};

struct io_engine {
	const struct io_engine_ops *ops;
	unsigned depth; /* most requests held at once */
	unsigned in_flight; /* queued and not yet returned by wait */
	struct io_counters counters;
};

static inline bool engine_queue(struct io_engine *engine, struct io_request *req)
{
	return engine->ops->queue(engine, req);
}
static inline int engine_wait(struct io_engine *engine, struct io_request **done, int max,
			      int timeout_ms)
{
	return engine->ops->wait(engine, done, max, timeout_ms);
}
static inline void engine_wake(struct io_engine *engine)
{
	engine->ops->wake(engine);
}
static inline bool engine_register_buffer(struct io_engine *engine, void *base, size_t len)
{
	return engine->ops->register_buffer(engine, base, len);
}
static inline void engine_free(struct io_engine *engine)
{
	if (engine)
		engine->ops->close(engine);
}

/* The fastest engine that works here: io_uring, else psync, which is said once at info level with
 * the reason ("io_uring is disabled by kernel.io_uring_disabled=2: ..."). NULL on failure. */
struct io_engine *engine_open(unsigned depth, const struct bmap_log *log, struct bmap_error *err);
struct io_engine *uring_open(unsigned depth, struct bmap_error *err); /* code UNSUPPORTED */
struct io_engine *psync_open(unsigned depth, struct bmap_error *err);
struct io_engine *null_open(unsigned depth, struct bmap_error *err);

/* What tests put in the place of engine_open(). */
typedef struct io_engine *(*engine_open_fn)(void *arg, unsigned depth, const struct bmap_log *log,
					    struct bmap_error *err);
struct engine_factory {
	engine_open_fn open; /* NULL: engine_open() */
	void *arg;
};
struct io_engine *engine_make(const struct engine_factory *factory, unsigned depth,
			      const struct bmap_log *log, struct bmap_error *err);

#endif

/* SPDX-License-Identifier: MIT */
/* Why it is fast: reads go on while the hash runs, also from one range to the next; the buffers are
 * few, so that what is read from the page cache is still in the processor's cache when it is
 * hashed, and lie in huge pages, so that a direct read has few segments; nothing is shared between
 * workers but one lock a batch. */
#include "job/range_loop.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/threads.h"
#include "digest/digest.h"
#include "job/range_reads.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_WORKERS 256u
#define WORKER_BYTES MIB /* a worker for less than this costs more than it brings */
#define BUFFERS_BYTES (16u * MIB) /* of all workers */
#define MIN_READ_BYTES (64u * KIB)
#define MAX_READ_BYTES MIB
#define DEFAULT_READS 4u /* in flight a worker */
#define MAX_READS 64u
#define HUGE_PAGE_BYTES (2u * MIB)
#define PROBES 32u
#define PROGRESS_MS 200u

struct slot {
	struct io_request req;
	struct range_read read;
	uint64_t from; /* where the request begins: read.begin, or rounded down */
	bool done;
};

struct run { /* one call of range_loop_run() */
	const struct range_loop *loop; /* constant, as are all up to share */
	int direct_fd; /* -1: none; loop->fd of a device */
	size_t read_bytes;
	unsigned slots; /* a worker */
	struct read_share share;
	atomic_bool
		direct; /* use direct_fd; cleared by the first worker to which it gives EINVAL */
	atomic_bool ending; /* a worker failed: the others begin nothing more */
	atomic_uint_least64_t done_bytes;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t moved; /* working went down */
	unsigned working; /* threads that were started and have not ended */
	struct bmap_error error; /* the first one */
	bool lost; /* an engine broke: the kernel may still write to the buffers */
};

struct worker {
	struct run *run;
	pthread_t thread;
	uint8_t *buffers; /* run->slots of run->read_bytes */
	struct slot *slots; /* a ring: the oldest at first */
	unsigned first, used;
	struct io_engine *engine; /* made by the worker's thread */
	struct hasher *hasher;
	struct read_cursor cursor;
	bool log_fallback; /* one worker tells what its engine is */
};

static bool run_init(struct run *run, const struct range_loop *loop, unsigned *workers,
		     struct bmap_error *err);
static void choose_descriptor(struct run *run);
static bool is_cached(int fd, const struct read_share *share);
static bool workers_run(struct run *run, struct worker *workers, unsigned count,
			struct bmap_error *err);
static void *worker_main(void *arg);

bool range_loop_run(const struct range_loop *loop, uint64_t *hashed_bytes, struct bmap_error *err)
{
	unsigned count;
	struct run *run = calloc(1, sizeof(*run)); /* on the heap: may have to outlive the call */
	struct worker *workers = NULL;
	struct slot *slots = NULL;
	uint8_t *buffers = MAP_FAILED, *aligned;
	size_t buffers_len = 0;
	bool good = false;

	if (hashed_bytes)
		*hashed_bytes = 0;
	if (!run)
		return bmap_error_memory(err, loop->name);
	if (!run_init(run, loop, &count, err)) {
		free(run);
		return false;
	}
	buffers_len = align_up((size_t)count * run->slots * run->read_bytes, HUGE_PAGE_BYTES);
	buffers = mmap(NULL, buffers_len + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	workers = calloc(count, sizeof(*workers));
	slots = calloc((size_t)count * run->slots, sizeof(*slots));
	if (buffers == MAP_FAILED || !workers || !slots) {
		bmap_error_memory(err, loop->name);
		goto end;
	}
	aligned = (uint8_t *)align_up((uintptr_t)buffers, HUGE_PAGE_BYTES);
	madvise(aligned, buffers_len, MADV_HUGEPAGE); /* refused: slower, nothing else */
	for (unsigned i = 0; i < count; i++) {
		workers[i].run = run;
		workers[i].buffers = aligned + (size_t)i * run->slots * run->read_bytes;
		workers[i].slots = slots + (size_t)i * run->slots;
		workers[i].log_fallback = i == 0;
	}
	good = workers_run(run, workers, count, err);
	if (hashed_bytes)
		*hashed_bytes = atomic_load(&run->done_bytes);
end:
	if (run->direct_fd >= 0 && run->direct_fd != loop->fd)
		close(run->direct_fd);
	if (run->lost) /* leaked: design of engine.h, lifetime */
		return false;
	if (buffers != MAP_FAILED)
		munmap(buffers, buffers_len + HUGE_PAGE_BYTES);
	free(slots);
	free(workers);
	read_share_end(&run->share);
	pthread_cond_destroy(&run->moved);
	pthread_mutex_destroy(&run->lock);
	free(run);
	return good;
}

/* How many threads, reads and bytes a read: within memory_bytes if that is possible at all. */
static void choose_sizes(struct run *run, unsigned *workers)
{
	const struct range_loop *loop = run->loop;
	uint64_t memory = BUFFERS_BYTES, a_worker;
	unsigned reads = DEFAULT_READS;

	if (loop->memory_bytes)
		memory = min_u64(memory, loop->memory_bytes);
	*workers = loop->workers ? loop->workers : thread_cpu_count();
	*workers = (unsigned)min_u64(*workers, max_u64(1, memory / (2 * MIN_READ_BYTES)));
	*workers = (unsigned)min_u64(*workers, MAX_WORKERS);
	if (loop->queue_depth)
		reads = (unsigned)min_u64(div_round_up(loop->queue_depth, *workers), MAX_READS);
	a_worker = memory / *workers;
	reads = (unsigned)min_u64(reads, a_worker / MIN_READ_BYTES);
	run->slots = reads < 2 ? 2 : reads;
	run->read_bytes = align_down(a_worker / run->slots, READ_ALIGN_BYTES);
	run->read_bytes = max_u64(min_u64(run->read_bytes, MAX_READ_BYTES), MIN_READ_BYTES);
}

static bool run_init(struct run *run, const struct range_loop *loop, unsigned *workers,
		     struct bmap_error *err)
{
	pthread_condattr_t monotonic;

	*run = (struct run){ .loop = loop, .direct_fd = -1 };
	choose_sizes(run, workers);
	if (!read_share_init(&run->share, loop->map, loop->only_with_digest, *workers, err))
		return false;
	*workers = (unsigned)min_u64(
		*workers, max_u64(1, div_round_up(run->share.total_bytes, WORKER_BYTES)));
	*workers = (unsigned)min_u64(*workers, max_u64(1, loop->map->range_count));
	choose_descriptor(run);
	pthread_mutex_init(&run->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&run->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return true;
}

static void choose_descriptor(struct run *run)
{
	const struct range_loop *loop = run->loop;
	char path[64];

	if (loop->is_device) {
		run->direct_fd = loop->fd;
	} else if (is_cached(loop->fd, &run->share)) {
		log_debug(loop->log, "%s: read from the page cache, which holds most of it",
			  loop->name);
		return;
	} else {
		/* The same file, whatever its name means by now. */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", loop->fd);
		run->direct_fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
		if (run->direct_fd < 0)
			log_info(loop->log, "%s: read through the page cache: no O_DIRECT (%s)",
				 loop->name, strerror(errno));
	}
	atomic_store(&run->direct, run->direct_fd >= 0);
}

/* Is most of what is to be read in the page cache? Asks for single bytes, spread over the ranges,
 * that must not wait for a disk: preadv2(2). False where that cannot be asked. */
static bool is_cached(int fd, const struct read_share *share)
{
	uint64_t passed = 0;
	unsigned asked = 0, cached = 0;

	for (size_t i = 0; i < share->map->range_count && asked < PROBES; i++) {
		uint64_t begin = bmap_range_begin(share->map, i);
		uint64_t len = bmap_range_end(share->map, i) - begin, at;

		while (asked < PROBES &&
		       (at = share->total_bytes / PROBES * asked) < passed + len) {
			uint8_t byte;
			struct iovec v = { .iov_base = &byte, .iov_len = 1 };
			off_t offset = (off_t)(begin + (at > passed ? at - passed : 0));

			cached += preadv2(fd, &v, 1, offset, RWF_NOWAIT) == 1;
			asked++;
		}
		passed += len;
	}
	return asked && cached * 4 > asked * 3;
}

static void run_fail(struct run *run, const struct bmap_error *err)
{
	pthread_mutex_lock(&run->lock);
	if (run->error.code == BMAP_ERR_NONE)
		run->error = *err;
	pthread_mutex_unlock(&run->lock);
	atomic_store(&run->ending, true);
}

static void tell_progress(const struct run *run)
{
	const struct range_loop *loop = run->loop;

	if (loop->progress)
		loop->progress(loop->arg, atomic_load(&run->done_bytes), run->share.total_bytes);
}

/* Until all workers have ended; tells the progress meanwhile, and the last state. */
static void wait_for_workers(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	while (run->working) {
		uint64_t until = clock_now_ns() + PROGRESS_MS * NS_PER_MS;
		struct timespec t = { .tv_sec = (time_t)(until / NS_PER_S),
				      .tv_nsec = (long)(until % NS_PER_S) };
		int rc = 0;

		while (run->working && !rc)
			rc = pthread_cond_timedwait(&run->moved, &run->lock, &t);
		if (!run->working)
			break;
		pthread_mutex_unlock(&run->lock);
		tell_progress(run);
		pthread_mutex_lock(&run->lock);
	}
	pthread_mutex_unlock(&run->lock);
	tell_progress(run);
}

static bool workers_run(struct run *run, struct worker *workers, unsigned count,
			struct bmap_error *err)
{
	unsigned started = 0;
	struct bmap_error failed;

	run->working = count;
	while (started < count && thread_start(&workers[started].thread, "hash", worker_main,
					       &workers[started], &failed))
		started++;
	if (started < count) {
		run_fail(run, &failed);
		pthread_mutex_lock(&run->lock);
		run->working -= count - started;
		pthread_mutex_unlock(&run->lock);
	}
	wait_for_workers(run);
	for (unsigned i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	if (run->error.code != BMAP_ERR_NONE && err)
		*err = run->error;
	return run->error.code == BMAP_ERR_NONE;
}

static struct slot *slot_at(struct worker *worker, unsigned i)
{
	return &worker->slots[(worker->first + i) % worker->run->slots];
}

/* Gives free slots to the next reads, unless the job is ending. */
static void queue_reads(struct worker *worker)
{
	struct run *run = worker->run;

	while (worker->used < run->slots && !atomic_load(&run->ending)) {
		struct slot *slot = slot_at(worker, worker->used);
		bool direct = atomic_load(&run->direct);
		uint64_t until;

		if (!read_cursor_next(&worker->cursor, &slot->read))
			return;
		slot->done = false;
		slot->from =
			direct ? align_down(slot->read.begin, READ_ALIGN_BYTES) : slot->read.begin;
		until = direct ? align_up(slot->read.end, READ_ALIGN_BYTES) : slot->read.end;
		slot->req = (struct io_request){
			.op = IO_READ,
			.fd = direct ? run->direct_fd : run->loop->fd,
			.data = worker->buffers + (size_t)(slot - worker->slots) * run->read_bytes,
			.len_bytes = until - slot->from,
			.offset_bytes = slot->from,
			.owner = slot,
		};
		worker->used++;
		engine_queue(worker->engine, &slot->req); /* depth is the number of slots */
	}
}

/* A file system that refuses direct reads although it let the file be opened for them. */
static bool retry_buffered(struct worker *worker, struct slot *slot)
{
	struct run *run = worker->run;

	if (slot->req.result != -EINVAL || slot->req.fd == run->loop->fd)
		return false;
	if (atomic_exchange(&run->direct, false))
		log_info(run->loop->log,
			 "%s: read through the page cache: this file system refuses O_DIRECT",
			 run->loop->name);
	slot->req.fd = run->loop->fd;
	engine_queue(worker->engine, &slot->req);
	return true;
}

/* Submits what is queued; returns at once if the oldest read is done, else when something is. */
static bool reap(struct worker *worker)
{
	struct run *run = worker->run;
	struct io_request *done[MAX_READS];
	struct bmap_error err;
	int n = engine_wait(worker->engine, done, MAX_READS, slot_at(worker, 0)->done ? 0 : -1);

	if (n < 0) {
		bmap_error_errnum(&err, -n, "%s: the %s engine failed", run->loop->name,
				  worker->engine->ops->name);
		run_fail(run, &err);
		return false;
	}
	for (int i = 0; i < n; i++) {
		struct slot *slot = done[i]->owner;

		slot->done = !retry_buffered(worker, slot);
	}
	return true;
}

static bool check_read(const struct worker *worker, const struct slot *slot, struct bmap_error *err)
{
	const struct range_loop *loop = worker->run->loop;
	ssize_t result = slot->req.result;

	if (result < 0) {
		bmap_error_errnum(err, (int)-result,
				  "%s: cannot read %" PRIu64 " bytes at offset %" PRIu64,
				  loop->name, slot->read.end - slot->read.begin, slot->read.begin);
		err->has_offset = true;
		err->offset_bytes = slot->read.begin;
		return false;
	}
	if ((uint64_t)result < slot->read.end - slot->from)
		return bmap_error_data(err, slot->from + (uint64_t)result,
				       "%s: ends at offset %" PRIu64 ", but was %" PRIu64
				       " bytes long: it was changed while it was read",
				       loop->name, slot->from + (uint64_t)result, loop->size_bytes);
	return true;
}

static void hash_read(struct worker *worker, const struct slot *slot)
{
	struct run *run = worker->run;
	const struct range_loop *loop = run->loop;
	const struct range_read *read = &slot->read;
	const uint8_t *data = slot->req.data;
	uint8_t digest[BMAP_DIGEST_MAX_BYTES];
	uint64_t at = read->begin;

	for (size_t range = read->first_range; at < read->end;) {
		uint64_t end = bmap_range_end(loop->map, range), until = min_u64(end, read->end);

		if (at == bmap_range_begin(loop->map, range))
			hasher_begin(worker->hasher);
		hasher_update(worker->hasher, data + (at - slot->from), until - at);
		atomic_fetch_add(&run->done_bytes, until - at);
		if (until < end)
			return;
		hasher_finish(worker->hasher, digest);
		loop->on_range(loop->arg, range, digest);
		range = read_share_find(&run->share, range + 1, loop->map->range_count,
					read->is_long);
		if (range == loop->map->range_count)
			return;
		at = bmap_range_begin(loop->map, range);
	}
}

static void take_oldest(struct worker *worker)
{
	struct run *run = worker->run;
	struct slot *slot = slot_at(worker, 0);
	struct bmap_error err;

	if (!atomic_load(&run->ending)) {
		if (check_read(worker, slot, &err))
			hash_read(worker, slot);
		else
			run_fail(run, &err);
	}
	worker->first = (worker->first + 1) % run->slots;
	worker->used--;
	if (bmap_stop_requested(run->loop->stop)) {
		bmap_error_set(&err, BMAP_ERR_INTERRUPTED, "%s: stopped while it was read",
			       run->loop->name);
		run_fail(run, &err);
	}
}

/* False only if requests are left in flight for ever. */
static bool worker_loop(struct worker *worker)
{
	struct run *run = worker->run;

	read_cursor_init(&worker->cursor, &run->share, run->read_bytes);
	for (;;) {
		queue_reads(worker);
		if (!worker->used)
			return true;
		if (!reap(worker))
			return worker->engine->in_flight == 0;
		if (slot_at(worker, 0)->done)
			take_oldest(worker);
	}
}

static bool worker_open(struct worker *worker, struct bmap_error *err)
{
	struct run *run = worker->run;
	const struct range_loop *loop = run->loop;

	worker->hasher = hasher_new(loop->map->digest, err);
	if (!worker->hasher)
		return false;
	worker->engine = engine_make(loop->engines, run->slots,
				     worker->log_fallback ? loop->log : NULL, err);
	if (!worker->engine)
		return false;
	if (!engine_register_buffer(worker->engine, worker->buffers, run->slots * run->read_bytes))
		log_debug(loop->log, "%s: read buffers are not registered", loop->name);
	return true;
}

/* Reads and hashes what it claims; waits for its own reads only, and ends when there is nothing
 * left to claim or any worker failed. */
static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct run *run = worker->run;
	struct bmap_error err;
	bool whole = true;

	if (bmap_stop_requested(run->loop->stop)) {
		bmap_error_set(&err, BMAP_ERR_INTERRUPTED, "%s: stopped before it was read",
			       run->loop->name);
		run_fail(run, &err);
	} else if (worker_open(worker, &err))
		whole = worker_loop(worker);
	else
		run_fail(run, &err);
	hasher_free(worker->hasher);
	if (whole)
		engine_free(worker->engine);
	pthread_mutex_lock(&run->lock);
	run->lost |= !whole;
	run->working--;
	pthread_cond_signal(&run->moved);
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/* Why it is fast: reads go on while the hash runs, also from one range to the next; where two
 * streams hashed together are faster than one after the other, a worker has two lanes; the buffers
 * are few, so that what is read from the page cache is still in the processor's cache when it is
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
#define DEFAULT_READS 6u /* in flight a worker; bench: more bring nothing */
#define MAX_READS 64u
#define MAX_LANES 2u
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
	unsigned workers;
	unsigned lanes; /* a worker: 2 if digests come faster in pairs */
	size_t read_bytes;
	unsigned slots; /* a lane */
	struct read_share share;
	atomic_bool
		direct; /* use direct_fd; cleared by the first worker to which it gives EINVAL */
	atomic_bool ending; /* a worker failed: the others begin nothing more */
	atomic_uint began; /* workers whose first lane has claimed */
	atomic_uint_least64_t done_bytes;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t moved; /* working went down */
	unsigned working; /* threads that were started and have not ended */
	struct bmap_error error; /* the first one */
	bool lost; /* an engine broke: the kernel may still write to the buffers */
};

/* One sequence of reads, hashed in their order. */
struct lane {
	struct worker *worker;
	struct hasher *hasher;
	struct read_cursor cursor;
	uint8_t *buffers; /* run->slots of run->read_bytes */
	struct slot *slots; /* a ring: the oldest at first */
	unsigned first, used;
	bool hashing; /* the oldest slot is being hashed: up to at, a byte of range */
	size_t range;
	uint64_t at;
};

struct worker {
	struct run *run;
	pthread_t thread;
	struct lane lanes[MAX_LANES];
	struct io_engine *engine; /* made by the worker's thread */
	bool log_fallback; /* one worker tells what its engine is */
	bool began; /* counted in run->began */
};

static bool run_init(struct run *run, const struct range_loop *loop, struct bmap_error *err);
static void choose_descriptor(struct run *run);
static bool is_cached(int fd, const struct read_share *share);
static void lay_out(struct run *run, struct worker *workers, struct slot *slots, uint8_t *buffers);
static bool workers_run(struct run *run, struct worker *workers, struct bmap_error *err);
static void *worker_main(void *arg);

bool range_loop_run(const struct range_loop *loop, uint64_t *hashed_bytes, struct bmap_error *err)
{
	struct run *run = calloc(1, sizeof(*run)); /* on the heap: may have to outlive the call */
	struct worker *workers = NULL;
	struct slot *slots = NULL;
	uint8_t *buffers = MAP_FAILED;
	size_t slot_count, buffers_len;
	bool good = false;

	if (hashed_bytes)
		*hashed_bytes = 0;
	if (!run)
		return bmap_error_memory(err, loop->name);
	if (!run_init(run, loop, err)) {
		free(run);
		return false;
	}
	slot_count = (size_t)run->workers * run->lanes * run->slots;
	buffers_len = align_up(slot_count * run->read_bytes, HUGE_PAGE_BYTES);
	buffers = mmap(NULL, buffers_len + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	workers = calloc(run->workers, sizeof(*workers));
	slots = calloc(slot_count, sizeof(*slots));
	if (buffers == MAP_FAILED || !workers || !slots) {
		bmap_error_memory(err, loop->name);
	} else {
		uint8_t *aligned = (uint8_t *)align_up((uintptr_t)buffers, HUGE_PAGE_BYTES);

		madvise(aligned, buffers_len, MADV_HUGEPAGE); /* refused: slower, nothing else */
		lay_out(run, workers, slots, aligned);
		good = workers_run(run, workers, err);
	}
	if (hashed_bytes)
		*hashed_bytes = atomic_load(&run->done_bytes);
	if (run->direct_fd >= 0 && run->direct_fd != loop->fd)
		close(run->direct_fd);
	if (run->lost) /* all is leaked: engine.h, lifetime */
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
static void choose_sizes(struct run *run)
{
	const struct range_loop *loop = run->loop;
	uint64_t memory = BUFFERS_BYTES, a_lane;
	unsigned workers = loop->workers ? loop->workers : thread_cpu_count();
	unsigned reads = DEFAULT_READS;

	if (loop->memory_bytes)
		memory = min_u64(memory, loop->memory_bytes);
	workers =
		(unsigned)min_u64(workers, max_u64(1, memory / (2 * MIN_READ_BYTES * run->lanes)));
	workers = (unsigned)min_u64(workers, MAX_WORKERS);
	if (loop->queue_depth)
		reads = (unsigned)min_u64(div_round_up(loop->queue_depth, workers), MAX_READS);
	a_lane = memory / workers / run->lanes;
	reads = (unsigned)min_u64(div_round_up(reads, run->lanes), a_lane / MIN_READ_BYTES);
	run->workers = workers;
	run->slots = reads < 2 ? 2 : reads;
	run->read_bytes = align_down(a_lane / run->slots, READ_ALIGN_BYTES);
	run->read_bytes = max_u64(min_u64(run->read_bytes, MAX_READ_BYTES), MIN_READ_BYTES);
}

/* 2 if digests of this kind are faster in pairs. */
static bool choose_lanes(struct run *run, struct bmap_error *err)
{
	struct hasher *hasher = hasher_new_pairing(run->loop->map->digest, err);

	if (!hasher)
		return false;
	run->lanes = hasher_pairs(hasher) && run->loop->map->range_count > 1 ? 2 : 1;
	hasher_free(hasher);
	return true;
}

static bool run_init(struct run *run, const struct range_loop *loop, struct bmap_error *err)
{
	pthread_condattr_t monotonic;
	uint64_t most;

	*run = (struct run){ .loop = loop, .direct_fd = -1 };
	if (!choose_lanes(run, err))
		return false;
	choose_sizes(run);
	if (!read_share_init(&run->share, loop->map, loop->only_with_digest,
			     run->workers * run->lanes, err))
		return false;
	most = min_u64(div_round_up(run->share.total_bytes, WORKER_BYTES), loop->map->range_count);
	run->workers = (unsigned)min_u64(run->workers, max_u64(1, most));
	choose_descriptor(run);
	pthread_mutex_init(&run->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&run->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return true;
}

/* Gives each lane its part of slots and buffers. */
static void lay_out(struct run *run, struct worker *workers, struct slot *slots, uint8_t *buffers)
{
	for (unsigned i = 0; i < run->workers; i++) {
		workers[i].run = run;
		workers[i].log_fallback = i == 0;
		for (unsigned k = 0; k < run->lanes; k++) {
			struct lane *lane = &workers[i].lanes[k];

			lane->worker = &workers[i];
			lane->slots = slots;
			lane->buffers = buffers;
			read_cursor_init(&lane->cursor, &run->share, run->read_bytes);
			slots += run->slots;
			buffers += run->slots * run->read_bytes;
		}
	}
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

static bool workers_run(struct run *run, struct worker *workers, struct bmap_error *err)
{
	unsigned started = 0;
	struct bmap_error failed;

	run->working = run->workers;
	while (started < run->workers && thread_start(&workers[started].thread, "hash", worker_main,
						      &workers[started], &failed))
		started++;
	if (started < run->workers) {
		run_fail(run, &failed);
		pthread_mutex_lock(&run->lock);
		run->working -= run->workers - started;
		pthread_mutex_unlock(&run->lock);
	}
	wait_for_workers(run);
	for (unsigned i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	if (run->error.code != BMAP_ERR_NONE && err)
		*err = run->error;
	return run->error.code == BMAP_ERR_NONE;
}

static struct slot *oldest(const struct lane *lane)
{
	return &lane->slots[lane->first];
}

static void queue_read(struct lane *lane, struct slot *slot)
{
	struct run *run = lane->worker->run;
	bool direct = atomic_load(&run->direct);
	uint64_t until = slot->read.end;

	slot->done = false;
	slot->from = slot->read.begin;
	if (direct) {
		slot->from = align_down(slot->from, READ_ALIGN_BYTES);
		until = align_up(until, READ_ALIGN_BYTES);
	}
	slot->req = (struct io_request){
		.op = IO_READ,
		.fd = direct ? run->direct_fd : run->loop->fd,
		.data = lane->buffers + (size_t)(slot - lane->slots) * run->read_bytes,
		.len_bytes = until - slot->from,
		.offset_bytes = slot->from,
		.owner = slot,
	};
	engine_queue(lane->worker->engine, &slot->req); /* depth is the number of slots */
}

/* Gives free slots to the next reads, unless the job is ending. */
static void queue_reads(struct lane *lane)
{
	struct run *run = lane->worker->run;

	while (lane->used < run->slots && !atomic_load(&run->ending)) {
		struct slot *slot = &lane->slots[(lane->first + lane->used) % run->slots];

		if (!read_cursor_next(&lane->cursor, &slot->read))
			return;
		queue_read(lane, slot);
		lane->used++;
	}
}

static void queue_all(struct worker *worker)
{
	struct run *run = worker->run;

	queue_reads(&worker->lanes[0]);
	if (!worker->began)
		atomic_fetch_add(&run->began, 1);
	worker->began = true;
	/* Two long ranges are faster on two processors than in two lanes of one. */
	for (unsigned i = 1; i < run->lanes && atomic_load(&run->began) >= run->workers; i++)
		queue_reads(&worker->lanes[i]);
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

/* Submits what is queued and takes what is done; sleeps if nothing is, unless told otherwise. */
static bool reap(struct worker *worker, bool sleep)
{
	struct run *run = worker->run;
	struct io_request *done[MAX_READS];
	struct bmap_error err;
	int n = engine_wait(worker->engine, done, MAX_READS, sleep ? -1 : 0);

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

static bool check_read(const struct run *run, const struct slot *slot, struct bmap_error *err)
{
	const struct range_loop *loop = run->loop;
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

static void begin_range(struct lane *lane, size_t range, uint64_t at)
{
	lane->range = range;
	lane->at = at;
	if (at == bmap_range_begin(lane->worker->run->loop->map, range))
		hasher_begin(lane->hasher);
}

static void release_slot(struct lane *lane)
{
	lane->hashing = false;
	lane->first = (lane->first + 1) % lane->worker->run->slots;
	lane->used--;
}

/* Looks at the oldest read, which is done, before it is hashed. */
static void begin_slot(struct lane *lane)
{
	struct run *run = lane->worker->run;
	const struct slot *slot = oldest(lane);
	struct bmap_error err;

	if (bmap_stop_requested(run->loop->stop)) {
		bmap_error_set(&err, BMAP_ERR_INTERRUPTED, "%s: stopped while it was read",
			       run->loop->name);
		run_fail(run, &err);
	} else if (!check_read(run, slot, &err)) {
		run_fail(run, &err);
	} else {
		lane->hashing = true;
		begin_range(lane, slot->read.first_range, slot->read.begin);
	}
}

/* Bytes from at on that are one range's and read. */
static size_t piece_len(const struct lane *lane)
{
	uint64_t end = bmap_range_end(lane->worker->run->loop->map, lane->range);

	return min_u64(end, oldest(lane)->read.end) - lane->at;
}

static const uint8_t *piece_data(const struct lane *lane)
{
	const struct slot *slot = oldest(lane);

	return slot->req.data + (lane->at - slot->from);
}

/* After len bytes of the piece were hashed: ends the range, the slot, or both. */
static void move_on(struct lane *lane, size_t len)
{
	struct run *run = lane->worker->run;
	const struct range_loop *loop = run->loop;
	const struct range_read *read = &oldest(lane)->read;
	uint8_t digest[BMAP_DIGEST_MAX_BYTES];
	size_t count = loop->map->range_count, next;

	lane->at += len;
	atomic_fetch_add(&run->done_bytes, len);
	if (lane->at < bmap_range_end(loop->map, lane->range)) {
		if (lane->at == read->end)
			release_slot(lane);
		return;
	}
	hasher_finish(lane->hasher, digest);
	loop->on_range(loop->arg, lane->range, digest);
	next = read_share_find(&run->share, lane->range + 1, count, read->is_long);
	if (next == count || bmap_range_begin(loop->map, next) >= read->end)
		release_slot(lane);
	else
		begin_range(lane, next, bmap_range_begin(loop->map, next));
}

/* Hashes until a slot gets free. In each lane the oldest read is being hashed; or none is used. */
static void hash_lanes(struct lane *a, struct lane *b)
{
	if (!a->hashing) { /* the other one is, alone */
		struct lane *swap = a;

		a = b;
		b = swap;
	}
	while (a->hashing && b->hashing) {
		size_t len = min_u64(piece_len(a), piece_len(b));

		hasher_update_pair(a->hasher, piece_data(a), b->hasher, piece_data(b), len);
		move_on(a, len);
		move_on(b, len);
		if (!a->hashing || !b->hashing)
			return;
	}
	while (a->hashing) {
		size_t len = piece_len(a);

		hasher_update(a->hasher, piece_data(a), len);
		move_on(a, len);
	}
}

/* Can the hash go on? In pairs if both lanes have anything: there is more to gain than by hashing
 * one alone while the other waits for its read. */
static bool is_ready(const struct worker *worker)
{
	unsigned ready = 0;

	for (unsigned i = 0; i < worker->run->lanes; i++) {
		if (worker->lanes[i].used && !oldest(&worker->lanes[i])->done)
			return false;
		ready += worker->lanes[i].used > 0;
	}
	return ready > 0;
}

static void hash_ready(struct worker *worker)
{
	struct run *run = worker->run;

	for (unsigned i = 0; i < run->lanes; i++) {
		struct lane *lane = &worker->lanes[i];

		if (lane->used && !lane->hashing && !atomic_load(&run->ending))
			begin_slot(lane);
	}
	if (!atomic_load(&run->ending)) {
		hash_lanes(&worker->lanes[0], &worker->lanes[1]);
		return;
	}
	for (unsigned i = 0; i < run->lanes; i++) {
		if (worker->lanes[i].used)
			release_slot(&worker->lanes[i]);
	}
}

/* False only if requests are left in flight for ever. */
static bool worker_loop(struct worker *worker)
{
	for (;;) {
		queue_all(worker);
		if (!worker->lanes[0].used && !worker->lanes[1].used)
			return true;
		if (!reap(worker, !is_ready(worker)))
			return worker->engine->in_flight == 0;
		if (is_ready(worker))
			hash_ready(worker);
	}
}

static bool worker_open(struct worker *worker, struct bmap_error *err)
{
	struct run *run = worker->run;
	const struct range_loop *loop = run->loop;
	unsigned slots = run->lanes * run->slots;

	for (unsigned i = 0; i < run->lanes; i++) {
		worker->lanes[i].hasher = run->lanes > 1
						  ? hasher_new_pairing(loop->map->digest, err)
						  : hasher_new(loop->map->digest, err);
		if (!worker->lanes[i].hasher)
			return false;
	}
	worker->engine =
		engine_make(loop->engines, slots, worker->log_fallback ? loop->log : NULL, err);
	if (!worker->engine)
		return false;
	if (!engine_register_buffer(worker->engine, worker->lanes[0].buffers,
				    slots * run->read_bytes))
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
	for (unsigned i = 0; i < run->lanes; i++)
		hasher_free(worker->lanes[i].hasher);
	if (whole)
		engine_free(worker->engine);
	pthread_mutex_lock(&run->lock);
	run->lost |= !whole;
	run->working--;
	pthread_cond_signal(&run->moved);
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

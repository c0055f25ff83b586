/* SPDX-License-Identifier: MIT */
#include "job/range_loop_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#define DEFAULT_READS 6u /* in flight a worker: in each lane two, beside the one that is hashed */
#define HUGE_PAGE_BYTES (2u * MIB)
#define PROBES 32u
#define PROGRESS_MS 200u

static bool run_init(struct run *run, const struct range_loop *loop, struct bmap_error *err);
static void choose_descriptor(struct run *run);
static bool is_cached(int fd, const struct read_share *share);
static void lay_out(struct run *run, struct worker *workers, struct slot *slots, uint8_t *buffers);
static bool workers_run(struct run *run, struct worker *workers, struct bmap_error *err);

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

		/* Refused: slower, nothing else. Where there is little memory, a huge page would be
		 * most of it. */
		if (slot_count * run->read_bytes >= HUGE_PAGE_BYTES)
			madvise(aligned, buffers_len, MADV_HUGEPAGE);
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
	run->lanes =
		hasher_pairs(hasher) && run->loop->map->range_count > 1 && !run->loop->no_digests
			? 2
			: 1;
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
			     loop->longest_bytes ? loop->longest_bytes : UINT64_MAX,
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
	} else if (loop->buffered) {
		return;
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

/* Is the byte in the page cache? Must not wait for a disk: preadv2(2). */
static bool is_byte_cached(int fd, uint64_t offset)
{
	uint8_t byte;
	struct iovec v = { .iov_base = &byte, .iov_len = 1 };

	return preadv2(fd, &v, 1, (off_t)offset, RWF_NOWAIT) == 1;
}

/* Is most of what is to be read in the page cache? Asks for one byte in each of PROBES equal parts
 * of the ranges. Another one each time: where a probe misses, the kernel reads ahead, so that the
 * same would hit when it is asked again. False where that cannot be asked. */
static bool is_cached(int fd, const struct read_share *share)
{
	uint64_t part = share->total_bytes / PROBES, passed = 0, random = clock_now_ns(), at;
	unsigned asked = 0, cached = 0;

	at = part ? random % part : 0;
	for (size_t i = 0; i < share->map->range_count && asked < PROBES; i++) {
		uint64_t begin = bmap_range_begin(share->map, i);
		uint64_t len = bmap_range_end(share->map, i) - begin;

		while (asked < PROBES && at < passed + len) {
			cached += is_byte_cached(fd, begin + (at - passed));
			asked++;
			/* Knuth's multiplier; what matters is only that it is another one. */
			random = random * 6364136223846793005u + 1442695040888963407u;
			at = part * asked + (part ? (random >> 32) % part : 0);
			at = max_u64(at, passed);
		}
		passed += len;
	}
	return asked && cached * 4 > asked * 3;
}

void run_fail(struct run *run, const struct bmap_error *err)
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
	log_debug(run->loop->log,
		  "%s: %" PRIu64 " reads of up to %zu KiB by %s%s (%" PRIu64
		  " into registered memory, %" PRIu64 " continued), %u workers with %u lanes",
		  run->loop->name, run->counters.requests, run->read_bytes / KIB,
		  run->engine_name ? run->engine_name : "none",
		  atomic_load(&run->direct) ? " with O_DIRECT" : "", run->counters.fixed,
		  run->counters.resubmitted, run->workers, run->lanes);
	if (run->error.code != BMAP_ERR_NONE && err)
		*err = run->error;
	return run->error.code == BMAP_ERR_NONE;
}

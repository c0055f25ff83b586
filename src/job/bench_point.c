/* SPDX-License-Identifier: MIT */
/* Measures one point. What keeps it honest: buffers are there and filled before the clock starts;
 * one look at the clock per wake-up serves as the end of what is done and the beginning of what
 * follows, so that no time between them is lost; and the time that counts begins and ends with
 * completions, so that no request is counted in part. */
#include "job/bench_internal.h"
#include "base/checked.h"
#include "base/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#define RAMP_MAX_NS (NS_PER_S / 2)
#define RAMP_SHARE 10u
#define TICK_MS 100
#define FILL_NS (10 * NS_PER_S)
#define FILL_DEPTH 8u

struct slot {
	struct io_request req;
	uint64_t issued_ns;
};

enum phase {
	RAMP, /* not counted yet */
	COUNTING,
	ENDING, /* nothing new is issued */
};

struct run {
	struct bench_target *target;
	const struct bmap_bench_point *point;
	const struct bmap_bench_options *options;
	const struct bench_watch *watch;
	struct bench_numbers *numbers;
	struct bench_memory memory;
	struct io_engine *engine;
	struct slot slots[BMAP_BENCH_MAX_DEPTH];
	uint64_t blocks; /* that fit into the target */
	uint64_t next_block; /* in order */
	uint64_t random; /* state of the generator */
	uint64_t stamps; /* buffers that were made different */
	uint64_t fill_least_bytes; /* not 0: a scratch file is filled, nothing measured */
	enum phase phase;
	uint64_t start_ns, ramp_ns, duration_ns;
	uint64_t completed; /* all of them */
	uint64_t told_ns; /* when progress was told */
	uint64_t cpu_begin_ns;
	bool failed; /* err of the run has why */
};

static bool run_point(struct run *run, struct bmap_error *err);
static bool prepare(struct run *run, struct bmap_error *err);
static bool loop(struct run *run, struct bmap_error *err);
static void issue(struct run *run, struct slot *slot, uint64_t now);
static bool check(const struct run *run, const struct io_request *req, struct bmap_error *err);
static void count(struct run *run, const struct slot *slot, uint64_t now);
static void end(struct run *run);
static void move_on(struct run *run, uint64_t now);
static void tell(struct run *run, uint64_t now);
static bool flush(struct run *run, struct bmap_error *err);

bool bench_point_run(struct bench_target *target, const struct bmap_bench_point *point,
		     const struct bmap_bench_options *options, const struct bench_watch *watch,
		     struct bench_numbers *numbers, struct bmap_error *err)
{
	struct run *run = calloc(1, sizeof(*run));
	bool ok;

	*numbers = (struct bench_numbers){ 0 };
	if (!run)
		return bmap_error_memory(err, target->name);
	*run = (struct run){ .target = target,
			     .point = point,
			     .options = options,
			     .watch = watch,
			     .numbers = numbers };
	ok = run_point(run, err);
	if (!ok)
		bench_numbers_free(numbers);
	return ok;
}

struct fill_watch {
	const struct bmap_bench_options *options;
	uint64_t total_bytes;
};

static void tell_filling(void *arg, uint64_t elapsed_ns, uint64_t total_ns, uint64_t bytes)
{
	const struct fill_watch *w = arg;

	(void)elapsed_ns, (void)total_ns;
	if (w->options->filling)
		w->options->filling(w->options->user, bytes, w->total_bytes);
}

bool bench_fill(struct bench_target *target, uint64_t least_bytes,
		const struct bmap_bench_options *options, struct bmap_error *err)
{
	static const struct bmap_bench_point point = { true, false, MIB, FILL_DEPTH, 1 };
	struct fill_watch fill_watch = { options, target->size_bytes };
	const struct bench_watch watch = { tell_filling, &fill_watch };
	struct bench_numbers numbers = { 0 };
	struct run *run = calloc(1, sizeof(*run));
	bool ok;

	if (!run)
		return bmap_error_memory(err, target->name);
	*run = (struct run){ .target = target,
			     .point = &point,
			     .options = options,
			     .watch = &watch,
			     .numbers = &numbers,
			     .fill_least_bytes = least_bytes };
	ok = run_point(run, err);
	bench_numbers_free(&numbers);
	if (!ok)
		return false;
	if (bmap_stop_requested(options->stop))
		return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
				      "%s: stopped while the scratch file was made", target->name);
	target->size_bytes = target->cursor_bytes;
	target->cursor_bytes = 0;
	/* So that reads through the page cache, where there is no other way, begin without it. */
	posix_fadvise(target->fd, 0, 0, POSIX_FADV_DONTNEED);
	return true;
}

/* Frees run, too. */
static bool run_point(struct run *run, struct bmap_error *err)
{
	bool ok = prepare(run, err) && loop(run, err) && flush(run, err);

	/* A broken engine may still use both: then they are left alone. */
	if (!run->engine || !run->engine->in_flight) {
		engine_free(run->engine);
		bench_memory_unmap(&run->memory);
		free(run);
	}
	return ok;
}

void bench_numbers_free(struct bench_numbers *numbers)
{
	free(numbers->latency);
	free(numbers->second_bytes);
	*numbers = (struct bench_numbers){ 0 };
}

static bool prepare(struct run *run, struct bmap_error *err)
{
	const struct bmap_bench_point *point = run->point;
	struct bench_numbers *numbers = run->numbers;

	run->blocks = run->target->size_bytes / point->block_bytes;
	if (!run->blocks)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: has %" PRIu64 " bytes, which is less than one request "
				      "of %" PRIu32,
				      run->target->name, run->target->size_bytes,
				      point->block_bytes);
	if (point->block_bytes % run->target->align_bytes)
		return bmap_error_set(
			err, BMAP_ERR_USAGE,
			"%s: requests of %" PRIu32 " bytes are no multiple of its blocks of %zu",
			run->target->name, point->block_bytes, run->target->align_bytes);
	run->next_block = run->target->cursor_bytes / point->block_bytes;
	if (getrandom(&run->random, sizeof(run->random), 0) != sizeof(run->random))
		run->random = clock_now_ns();
	run->duration_ns = point->duration_ms * NS_PER_MS;
	run->ramp_ns = min_u64(run->duration_ns / RAMP_SHARE, RAMP_MAX_NS);
	numbers->second_room = (size_t)(run->duration_ns / NS_PER_S);
	numbers->second_bytes = calloc(numbers->second_room + 1, sizeof(uint64_t));
	numbers->latency = calloc(1, sizeof(*numbers->latency));
	if (!numbers->second_bytes || !numbers->latency)
		return bmap_error_memory(err, run->target->name);
	if (!bench_memory_map(&run->memory, (size_t)point->block_bytes * point->depth,
			      run->options->pattern, err))
		return false;
	run->engine = engine_make(run->target->engines, point->depth, NULL, err);
	if (!run->engine)
		return false;
	if (!engine_register_buffer(run->engine, run->memory.base, run->memory.len_bytes))
		log_debug(run->options->log, "%s: buffers are not registered", run->target->name);
	return true;
}

static bool loop(struct run *run, struct bmap_error *err)
{
	struct io_request *done[BMAP_BENCH_MAX_DEPTH];
	uint64_t now = clock_now_ns();

	run->start_ns = run->told_ns = now;
	for (unsigned i = 0; i < run->point->depth; i++) {
		run->slots[i].req.data = run->memory.base + (size_t)i * run->point->block_bytes;
		issue(run, &run->slots[i], now);
	}
	while (run->engine->in_flight) {
		int n = engine_wait(run->engine, done, BMAP_BENCH_MAX_DEPTH, TICK_MS);

		if (n < 0)
			return bmap_error_errnum(err, -n, "%s: the %s engine failed",
						 run->target->name, run->engine->ops->name);
		now = clock_now_ns();
		for (int i = 0; i < n; i++) {
			if (!check(run, done[i], run->failed ? NULL : err))
				run->failed = true;
			else
				count(run, done[i]->owner, now);
		}
		if (n)
			move_on(run, now);
		if (run->failed || bmap_stop_requested(run->options->stop))
			end(run);
		for (int i = 0; i < n && run->phase != ENDING; i++)
			issue(run, done[i]->owner, now);
		tell(run, now);
	}
	run->target->cursor_bytes = run->next_block * run->point->block_bytes;
	return !run->failed;
}

/* SplitMix64: each 64-bit number once in a period, and cheap. */
static uint64_t random_next(struct run *run)
{
	uint64_t z = run->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* False: all is filled. */
static bool choose_block(struct run *run, uint64_t *block)
{
	if (run->point->random) {
		*block = random_next(run) % run->blocks;
		return true;
	}
	if (run->fill_least_bytes && run->next_block == run->blocks)
		return false;
	*block = run->next_block < run->blocks ? run->next_block : 0;
	run->next_block = *block + 1;
	return true;
}

static void issue(struct run *run, struct slot *slot, uint64_t now)
{
	const struct bmap_bench_point *point = run->point;
	uint64_t block;

	if (!choose_block(run, &block)) {
		end(run);
		return;
	}
	slot->req = (struct io_request){
		.op = point->write ? IO_WRITE : IO_READ,
		.fd = run->target->fd,
		.data = slot->req.data,
		.len_bytes = point->block_bytes,
		.offset_bytes = block * point->block_bytes,
		.owner = slot,
	};
	if (point->write && run->options->pattern == BMAP_BENCH_INCOMPRESSIBLE)
		bench_memory_stamp(slot->req.data, point->block_bytes, ++run->stamps);
	slot->issued_ns = now;
	engine_queue(run->engine, &slot->req); /* its depth is the number of slots */
}

static bool check(const struct run *run, const struct io_request *req, struct bmap_error *err)
{
	if (req->result == (ssize_t)req->len_bytes)
		return true;
	if (req->result < 0) {
		bmap_error_errnum(err, (int)-req->result,
				  "%s: cannot %s %zu bytes at offset %" PRIu64, run->target->name,
				  req->op == IO_WRITE ? "write" : "read", req->len_bytes,
				  req->offset_bytes);
		if (err) {
			err->has_offset = true;
			err->offset_bytes = req->offset_bytes;
		}
		return false;
	}
	return bmap_error_data(err, req->offset_bytes + (uint64_t)req->result,
			       "%s: ends at offset %" PRIu64 ", but had %" PRIu64
			       " bytes: it was changed while it was read",
			       run->target->name, req->offset_bytes + (uint64_t)req->result,
			       run->target->size_bytes);
}

static void count(struct run *run, const struct slot *slot, uint64_t now)
{
	struct bench_numbers *numbers = run->numbers;
	uint64_t second;

	run->completed++;
	if (run->phase != COUNTING)
		return;
	numbers->bytes += slot->req.len_bytes;
	numbers->requests++;
	numbers->end_ns = now;
	histogram_add(numbers->latency, now - slot->issued_ns);
	second = (now - numbers->begin_ns) / NS_PER_S;
	if (second < numbers->second_room)
		numbers->second_bytes[second] += slot->req.len_bytes;
}

/* Of this process with all its threads: where there is no io_uring, others do the work. */
static uint64_t cpu_now_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

/* The processor time is asked for twice a point, not at each completion: that costs as much as a
 * request. */
static void end(struct run *run)
{
	if (run->phase == COUNTING)
		run->numbers->cpu_ns = cpu_now_ns() - run->cpu_begin_ns;
	run->phase = ENDING;
}

/* At a completion: time may be up for the ramp or for all. */
static void move_on(struct run *run, uint64_t now)
{
	struct bench_numbers *numbers = run->numbers;
	uint64_t done_bytes = run->completed * run->point->block_bytes;

	if (run->fill_least_bytes) {
		if (now - run->start_ns >= FILL_NS && done_bytes >= run->fill_least_bytes)
			end(run);
		return;
	}
	if (run->phase == RAMP && now - run->start_ns >= run->ramp_ns &&
	    run->completed >= run->point->depth) {
		numbers->begin_ns = now;
		run->cpu_begin_ns = cpu_now_ns();
		run->phase = COUNTING;
	} else if (run->phase == COUNTING) {
		numbers->complete = now - numbers->begin_ns >= run->duration_ns;
		if (numbers->complete)
			end(run);
	}
}

static void tell(struct run *run, uint64_t now)
{
	uint64_t bytes = run->fill_least_bytes ? run->completed * run->point->block_bytes
					       : run->numbers->bytes;

	if (now - run->told_ns < TICK_MS * NS_PER_MS || run->phase == ENDING)
		return;
	run->told_ns = now;
	run->watch->progress(run->watch->arg, now - run->start_ns, run->ramp_ns + run->duration_ns,
			     bytes);
}

/* What was written is on the medium, and the next point begins with an empty cache. */
static bool flush(struct run *run, struct bmap_error *err)
{
	uint64_t begin = clock_now_ns();

	if (!run->point->write || bmap_stop_requested(run->options->stop))
		return true;
	if (fdatasync(run->target->fd))
		return bmap_error_errno(err, "%s: cannot flush", run->target->name);
	run->numbers->flush_ns = clock_now_ns() - begin;
	return true;
}

/* SPDX-License-Identifier: MIT */
/* job/range_loop_internal.h - what the two halves of the range loop share: range_loop.c sets it up,
 * range_worker.c is what a worker does. */
#ifndef JOB_RANGE_LOOP_INTERNAL_H
#define JOB_RANGE_LOOP_INTERNAL_H

#include "digest/digest.h"
#include "digest/zero_split.h"
#include "job/range_loop.h"
#include "job/range_reads.h"

#include <pthread.h>
#include <stdatomic.h>

#define MAX_READS 64u /* in flight a worker */
#define MAX_LANES 2u

struct slot {
	struct io_request req;
	struct range_read read;
	uint64_t from; /* where the request begins: read.begin, or rounded down */
	bool done;
	/* Where the whole read ended, if it failed and is done again range by range; else 0. */
	uint64_t split_end;
};

struct run { /* one call of range_loop_run() */
	const struct range_loop *loop; /* constant, as are all up to share */
	int direct_fd; /* -1: none; loop->fd of a device */
	unsigned workers;
	unsigned lanes; /* a worker: 2 if digests come faster in pairs */
	size_t read_bytes;
	unsigned slots; /* a lane */
	struct read_share share;
	atomic_bool direct; /* use direct_fd; cleared when a worker gets EINVAL from it */
	atomic_bool ending; /* a worker failed: the others begin nothing more */
	atomic_uint began; /* workers whose first lane has claimed */
	atomic_uint_least64_t done_bytes;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t moved; /* working went down */
	unsigned working; /* threads that were started and have not ended */
	struct bmap_error error; /* the first one */
	bool lost; /* an engine broke: the kernel may still write to the buffers */
	struct io_counters counters; /* of all engines that were closed */
	const char *engine_name;
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
	struct zero_split split; /* with loop->zero_run_bytes: */
	size_t data_len; /* of the bytes from at on: are to be hashed, before it is asked again */
};

struct worker {
	struct run *run;
	pthread_t thread;
	struct lane lanes[MAX_LANES];
	struct io_engine *engine; /* made by the worker's thread */
	bool log_fallback; /* one worker tells what its engine is */
	bool began; /* counted in run->began */
};

/* Keeps the first error; all workers end. Any thread. */
void run_fail(struct run *run, const struct bmap_error *err);
/* A worker's thread. arg: its struct worker. */
void *worker_main(void *arg);

#endif

/* SPDX-License-Identifier: MIT */
/* job/bench_internal.h - what the files of the benchmark share. */
#ifndef JOB_BENCH_INTERNAL_H
#define JOB_BENCH_INTERNAL_H

#include "base/error.h"
#include "base/histogram.h"
#include "io/engine.h"

#include <bmap/bench.h>

/* What is measured, opened. */
struct bench_target {
	const char *name; /* the options' */
	enum bmap_bench_kind kind;
	int fd;
	bool direct;
	size_t align_bytes; /* of requests; 1 if not direct */
	uint64_t size_bytes;
	uint64_t cursor_bytes; /* where the next point in order begins */
};

/* bench_target.c. False: nothing is left to close. */
bool bench_target_open(struct bench_target *target, const struct bmap_bench_options *options,
		       struct bmap_error *err);
void bench_target_close(struct bench_target *target);

/* Called with numbers as bmap_bench_options.progress, about ten times a second. */
struct bench_watch {
	void (*progress)(void *arg, uint64_t elapsed_ns, uint64_t total_ns, uint64_t bytes);
	void *arg;
};

/* One point in the making. The arrays belong to it; bench_point_free() on it zeroed, too. */
struct bench_numbers {
	uint64_t begin_ns, end_ns; /* 0: not begun, not one request ended in it */
	uint64_t bytes, requests, cpu_ns;
	bool complete;
	struct histogram *latency;
	uint64_t *second_bytes;
	size_t second_room;
};

/* bench_point.c. Runs it to its end, or until it is stopped, which is no failure. */
bool bench_point_run(struct bench_target *target, const struct bmap_bench_point *point,
		     const struct bmap_bench_options *options, const struct bench_watch *watch,
		     struct bench_numbers *numbers, struct bmap_error *err);
void bench_numbers_free(struct bench_numbers *numbers);

/* bench_memory.c: buffers in huge pages where there are some, all of it touched and filled with
 * what no device can compress. */
struct bench_memory {
	uint8_t *base;
	size_t len_bytes;
};
bool bench_memory_map(struct bench_memory *memory, size_t len_bytes, struct bmap_error *err);
void bench_memory_unmap(struct bench_memory *memory);

#endif

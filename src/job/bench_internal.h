/* SPDX-License-Identifier: MIT */
/* job/bench_internal.h - what the files of the benchmark share. */
#ifndef JOB_BENCH_INTERNAL_H
#define JOB_BENCH_INTERNAL_H

#include "base/error.h"
#include "base/histogram.h"
#include "io/engine.h"
#include "target/target.h"

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
	struct target device; /* a block device that is written: fd is its */
	bool has_device;
	const struct engine_factory *engines; /* of tests; NULL: engine_open() */
};

/* bench_target.c. Changes nothing that was there. False: nothing is left to close. */
bool bench_target_open(struct bench_target *target, const struct bmap_bench_options *options,
		       struct bmap_error *err);
/* The first change to a device that will be written; nothing where none will be. */
bool bench_target_begin(struct bench_target *target, const struct bmap_bench_options *options,
			struct bmap_error *err);
/* Whether requests go around the page cache, by trial with one request; else fd is changed and it
 * is said. */
bool bench_target_settle_direct(struct bench_target *target, const struct bmap_log *log,
				struct bmap_error *err);
/* bench_scratch.c: a file without a name in folder, of a size that its file system has room for,
 * empty. False: nothing is left to close. */
bool bench_scratch_open(struct bench_target *target, const char *folder, uint64_t size_bytes,
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
	uint64_t bytes, requests, cpu_ns, flush_ns;
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
/* Fills a scratch file, as far as that goes within 10 s, and makes size_bytes what was filled.
 * least_bytes: what it must have. Code INTERRUPTED if it was stopped. */
bool bench_fill(struct bench_target *target, uint64_t least_bytes,
		const struct bmap_bench_options *options, struct bmap_error *err);

/* bench_memory.c: buffers in huge pages where there are some, all of it touched, and filled with
 * zeros or with what no device can compress. */
struct bench_memory {
	uint8_t *base;
	size_t len_bytes;
};
bool bench_memory_map(struct bench_memory *memory, size_t len_bytes,
		      enum bmap_bench_pattern pattern, struct bmap_error *err);
/* Makes a buffer that is written again differ in each 4 KiB from what it was: devices may store the
 * same only once. count: another one each time. */
void bench_memory_stamp(uint8_t *buffer, size_t len_bytes, uint64_t count);
void bench_memory_unmap(struct bench_memory *memory);

#endif

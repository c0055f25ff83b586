/* SPDX-License-Identifier: MIT */
/* bench.h - how fast a device or file is: throughput, requests a second, latencies.
 *
 * Reads are harmless: a device may be mounted. Points that write overwrite a block device, which
 * is opened by the rules of a flash (flash.h) and whose first MiB is zeroed before all else, so
 * that no half of what it held is taken for whole. Beside a regular file, and in a folder, they use
 * a file without a name, which ends with the call however that ends; reads of a folder do, too. A
 * point is one way of use (reads or writes, in order or not, of one size, so many in flight),
 * measured for a time: the first tenth of it, at most half a second and at least until as many
 * requests have ended as are in flight, is not counted, and the clock starts and stops when
 * requests end. Latency is from handing a request to the kernel to its completion being seen.
 * Requests go through the same engine as those of a flash: io_uring, O_DIRECT and registered
 * buffers where the system has them; what it has not is said in the log.
 * Threads:   bmap_bench() blocks; callbacks run on the calling thread, never two at once. */
#ifndef BMAP_BENCH_H
#define BMAP_BENCH_H

#include <bmap/error.h>
#include <bmap/log.h>
#include <bmap/stop.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BMAP_BENCH_MIN_BLOCK_BYTES 4096u
#define BMAP_BENCH_MAX_BLOCK_BYTES (16u * 1024u * 1024u)
#define BMAP_BENCH_MAX_DEPTH 64u
#define BMAP_BENCH_MAX_MEMORY_BYTES ((uint64_t)1 << 30) /* block_bytes * depth of a point */
#define BMAP_BENCH_MAX_DURATION_MS (24u * 3600u * 1000u)

struct bmap_bench_point {
	bool write;
	bool random; /* else in order, from where the last such point ended, round and round */
	uint32_t block_bytes; /* a multiple of 4096, within the limits above */
	unsigned depth; /* requests in flight, 1 to BMAP_BENCH_MAX_DEPTH */
	uint32_t duration_ms; /* without the part that is not counted; 1 to the limit above */
};

enum bmap_bench_kind {
	BMAP_BENCH_DEVICE, /* a block device */
	BMAP_BENCH_FILE, /* a regular file, which is only read */
	BMAP_BENCH_SCRATCH, /* a file made for this in the folder named or of the file named */
};

enum bmap_bench_pattern {
	BMAP_BENCH_INCOMPRESSIBLE, /* no 4 KiB twice */
	BMAP_BENCH_ZERO,
};

/* What will be measured. */
struct bmap_bench_target {
	enum bmap_bench_kind kind;
	uint64_t size_bytes; /* of the part that is used: all of a device or file */
	bool direct; /* false: through the page cache, whose speed it then is */
	const char *engine; /* "io_uring", "psync": constant */
};

/* Latencies above that of the bucket before, up to upto_ns (within 1 %). */
struct bmap_bench_bucket {
	uint64_t upto_ns, count;
};

struct bmap_bench_result {
	struct bmap_bench_point point;
	bool complete; /* false: stopped before its time was over */
	uint64_t elapsed_ns, bytes, requests; /* of the part that counts; none is 0 */
	uint64_t mean_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns; /* latency, within 1 % */
	uint64_t flush_ns; /* after a complete point that wrote: how long the flush took */
	uint64_t cpu_ns; /* of this process: user, system, and io_uring's workers */
	const uint64_t *second_bytes; /* what was moved in each full second; lent for the call */
	size_t second_count;
	const struct bmap_bench_bucket *buckets; /* those that are not empty; lent for the call */
	size_t bucket_count;
};

struct bmap_bench_options {
	size_t struct_size;
	const char *target; /* path of a block device, regular file or folder */
	bool write; /* points may write: what is on a block device is lost */
	enum bmap_bench_pattern pattern; /* of what is written */
	/* Of the file that is made in a folder: 16 MiB and more; less where filling it takes longer
	 * than 10 s. 0: 1 GiB, at most half of what is free. */
	uint64_t scratch_bytes;
	const struct bmap_bench_point *points;
	size_t point_count; /* at least 1 */
	const struct bmap_log *log;
	struct bmap_stop *stop;
	/* While the file in a folder is made, about ten times a second. */
	void (*filling)(void *user, uint64_t done_bytes, uint64_t total_bytes);
	/* Once, before the first point, and before the first write to a device. */
	void (*opened)(void *user, const struct bmap_bench_target *target);
	/* About ten times a second. bytes: counted so far; of a part of the time that is not
	 * counted it is 0. */
	void (*progress)(void *user, size_t point, uint64_t elapsed_ns, uint64_t total_ns,
			 uint64_t bytes);
	/* The end of each point; of one that was stopped if anything of it was measured. */
	void (*measured)(void *user, size_t point, const struct bmap_bench_result *result);
	void *user; /* of all four */
};
#define BMAP_BENCH_OPTIONS_INIT                                                                    \
	{                                                                                          \
		.struct_size = sizeof(struct bmap_bench_options)                                   \
	}

/* Measures all points in order; the first that fails ends it. Options that make no sense, or that
 * would change nothing for this target: USAGE, before anything is written. */
BMAP_API bool bmap_bench(const struct bmap_bench_options *options, struct bmap_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* cli/bench.h - which points a benchmark measures, and how they look.
 *
 * Threads: the main thread's. Errors: what cannot be written shows in ferror(to). */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <bmap/bmap.h>
#include <jansson.h>
#include <stdio.h>

/* As given on the command line; NULL and 0: not given. */
struct bench_choice {
	const char *ops, *block_sizes, *depths; /* lists: "read,randwrite", "4K,1M", "1,32" */
	unsigned seconds;
	bool full, write;
};

struct bench_plan {
	struct bmap_bench_point *points; /* malloc'ed */
	size_t count;
};

/* Everything that was chosen, each with each; a quick look if nothing was. False, with error
 * (OPTION_ERROR_ROOM bytes) filled and nothing to free, if a choice makes no sense. */
bool bench_plan_make(const struct bench_choice *choice, struct bench_plan *plan, char *error);
void bench_plan_free(struct bench_plan *plan);
uint64_t bench_plan_ns(const struct bench_plan *plan); /* how long it takes, about */

/* "random write". */
const char *bench_op_text(const struct bmap_bench_point *point);
/* "4 KiB", "1 MiB". */
char *bench_block_text(char *out, uint64_t bytes); /* TEXT_ROOM */
/* "870 ns", "82.1 us", "5.12 ms", "1.20 s": three digits or so. */
char *bench_latency_text(char *out, uint64_t ns); /* TEXT_ROOM */

/* What is measured, in a line. device: NULL if it is none. */
void bench_table_title(FILE *to, const char *name, const struct bmap_bench_target *target,
		       const struct bmap_device *device);
/* What a write to the device overwrites, in one line: 'SanDisk Ultra, usb, 29.7 GiB; it holds gpt:
 * /dev/sdb1 vfat "boot"'. malloc'ed; NULL: no memory. */
char *bench_content_text(const struct bmap_device *device);
void bench_table_head(FILE *to);
void bench_table_row(FILE *to, const struct bmap_bench_result *result);

/* Of docs/bench.schema.json; NULL: no memory. device: NULL if it is none. */
json_t *bench_json(const char *name, const struct bmap_bench_target *target,
		   const struct bmap_device *device, bool write);
/* Adds a point to document. */
bool bench_json_point(json_t *document, const struct bmap_bench_result *result);
/* Saves it as path. complete: all points were measured. */
bool bench_json_save(json_t *document, bool complete, const char *path, struct bmap_error *err);

#endif

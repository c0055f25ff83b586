/* SPDX-License-Identifier: MIT */
/* job/pack_loop.h - reads an image, compresses it on all cores, and writes it in order.
 *
 * Workers claim the plan's items in order, read and compress each into a place of its own; the
 * calling thread writes them out in order, and the holes between them. The image is read through
 * the page cache, which a worker asks some frames ahead to fill: compression is slower than any
 * disk that could gain from more, and the pass for the checksums has just read the same.
 *
 * Memory: for each worker one frame, what zstd allocates, and its places; within memory_bytes, with
 *         fewer workers if need be, which is said at info level. The table of frames takes 16 bytes
 *         for each frame of data beside that. */
#ifndef JOB_PACK_LOOP_H
#define JOB_PACK_LOOP_H

#include "base/log.h"
#include "base/stop.h"
#include "job/output_file.h"

#include <bmap/pack.h>

struct pack_loop {
	int fd; /* of the image */
	const char *name; /* for messages */
	const struct bmap_map *map; /* with the image's own size */
	struct output_file *out;
	unsigned level, workers; /* not 0 */
	uint64_t memory_bytes;
	const struct bmap_log *log;
	const struct bmap_stop *stop;
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes); /* or NULL */
	void *arg;
};

bool pack_loop_run(const struct pack_loop *loop, struct bmap_pack_result *result,
		   struct bmap_error *err);

#endif

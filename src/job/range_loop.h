/* SPDX-License-Identifier: MIT */
/* job/range_loop.h - reads the ranges of a file or device and hashes them, on all processors.
 *
 * N workers, each with an io engine and a few buffers of its own, claim batches of consecutive
 * ranges and keep reads ahead of the hashing, over the border of ranges and batches. Where two
 * streams hashed together are faster than one after the other (digest.h), each works on two batches
 * at a time. Ranges less than 64 KiB apart share a read. A range is hashed by one thread: the few
 * that are long against the rest are claimed first, so that the time is about
 * max(all bytes / processors, longest range) / speed of the hash.
 *
 * How it is read: a block device always with O_DIRECT (its page cache may be older than the disk).
 * A regular file with O_DIRECT too, which on a fast disk saves the copy, unless a few probes
 * (preadv2(2) with RWF_NOWAIT) find most of it in the page cache: from there it is read at the
 * speed of memory. Both see bytes that were written but not yet stored: a direct read makes the
 * kernel write them out first. That there is no O_DIRECT is said at info level.
 *
 * With zero_run_bytes it leaves zeros out (digest/zero_split.h): each range is a stretch of its
 * own, whose parts are told instead of the range.
 *
 * Memory: all buffers together are at most 16 MiB (or memory_bytes, if that is less, but 256 KiB).
 * Threads: range_loop_run() blocks. progress is called on its thread, on_range from the workers,
 *          several at once, each range once. */
#ifndef JOB_RANGE_LOOP_H
#define JOB_RANGE_LOOP_H

#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"
#include "io/engine.h"

#include <bmap/map.h>

struct range_loop {
	int fd; /* opened for reading, without O_DIRECT if it is a regular file */
	const char *name; /* for messages */
	bool is_device; /* fd was opened with O_DIRECT; also of a file: no other way is tried */
	bool buffered; /* fd was not, and nothing else is tried */
	uint64_t size_bytes; /* of the file or device */
	/* Is hashed in place of what is read of the first overlay_bytes; NULL: nothing. */
	const uint8_t *overlay;
	uint64_t overlay_bytes;
	const struct bmap_map *map; /* its ranges lie in size_bytes; digest is not NONE */
	bool only_with_digest; /* skip ranges that have no digest in the map */
	uint64_t longest_bytes; /* skip longer ranges; 0: none */
	unsigned workers; /* 0: one per processor */
	unsigned queue_depth; /* reads in flight, 0: default; a worker has at least two */
	uint64_t memory_bytes; /* 0: default */
	const struct engine_factory *engines; /* NULL: engine_open() */
	const struct bmap_log *log;
	struct bmap_stop *stop;
	/* digest: map->digest_bytes long, lent for the call. */
	void (*on_range)(void *arg, size_t range, const uint8_t *digest);
	uint64_t zero_run_bytes; /* 0: zeros are data like any other */
	bool no_digests; /* with zero_run_bytes: only find the parts */
	/* With zero_run_bytes, in place of on_range: digest is NULL with no_digests. */
	void (*on_part)(void *arg, uint64_t begin_bytes, uint64_t end_bytes, const uint8_t *digest);
	void *part_arg; /* on_part's; the others get arg */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes); /* or NULL */
	void *arg;
};

/* False on the first read error (code IO, with the offset), a file that ends early (DATA), or a
 * stop (INTERRUPTED). *hashed_bytes: of the ranges handed to on_range; may be NULL. */
bool range_loop_run(const struct range_loop *loop, uint64_t *hashed_bytes, struct bmap_error *err);

#endif

/* SPDX-License-Identifier: MIT */
/* job/range_reads.h - cuts the ranges of a map into reads and deals them out to workers. No I/O.
 *
 * Threads: a share is used by all workers (it locks), a cursor belongs to one of them. The map must
 *          outlive both. */
#ifndef JOB_RANGE_READS_H
#define JOB_RANGE_READS_H

#include "base/error.h"

#include <bmap/map.h>
#include <pthread.h>

/* Every cut inside a range lies on a multiple of it: direct reads of neighbours do not overlap. */
#define READ_ALIGN_BYTES 4096u

struct read_share {
	const struct bmap_map *map; /* constant, as are all up to the lock */
	bool only_with_digest; /* leave out ranges that have none */
	uint64_t longest_bytes; /* leave out longer ones */
	unsigned workers;
	uint64_t total_bytes; /* of the ranges that are dealt out */
	uint64_t long_bytes; /* ranges from this length on are long */
	size_t *long_ranges; /* longest first */
	size_t long_count;
	pthread_mutex_t lock; /* all below */
	size_t next_long;
	size_t next_range; /* of the others, in their order */
	uint64_t left_bytes; /* of the others, not dealt out yet */
};

/* One span of the file, with bytes of one or more ranges: first_range and those that follow it
 * and are dealt out with it, as far as they lie in [begin, end). */
struct range_read {
	uint64_t begin, end; /* begin: inside of or at the start of first_range */
	size_t first_range;
	bool is_long; /* part of a long range, which has all its reads for itself */
};

struct read_cursor {
	struct read_share *share;
	size_t max_bytes; /* of a read that is rounded out to READ_ALIGN_BYTES; a multiple of it */
	size_t range, end_range; /* rest of the batch */
	uint64_t offset; /* in range: first byte that was not given out */
	bool is_long;
};

/* workers >= 1. False only without memory. Ended by read_share_end(). */
bool read_share_init(struct read_share *share, const struct bmap_map *map, bool only_with_digest,
		     uint64_t longest_bytes, unsigned workers, struct bmap_error *err);
void read_share_end(struct read_share *share);

void read_cursor_init(struct read_cursor *cursor, struct read_share *share, size_t max_bytes);
/* The next read of this worker; all reads of a range come one after the other from one cursor.
 * False: nothing is left to deal out. */
bool read_cursor_next(struct read_cursor *cursor, struct range_read *read);

/* The first range from `range` on, below end_range, that belongs to the long or the other ones;
 * end_range if there is none. */
size_t read_share_find(const struct read_share *share, size_t range, size_t end_range,
		       bool is_long);

#endif

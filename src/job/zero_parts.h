/* SPDX-License-Identifier: MIT */
/* job/zero_parts.h - the map of what is not zero.
 *
 * Whoever reads the image looks at it in stretches (zero_split.h), which end on multiples of
 * PART_STRETCH_BYTES so that they can be hashed on all processors, and collects the parts that have
 * data. Of these, of the zeros between them that are fewer than a run, and of zeros that are wanted
 * all the same, the map is made.
 * Memory:  16 bytes and a digest for each part.
 * Threads: zero_parts_add() from any; all others one at a time. */
#ifndef JOB_ZERO_PARTS_H
#define JOB_ZERO_PARTS_H

#include "base/error.h"
#include "job/extents.h"

#include <bmap/map.h>
#include <pthread.h>

#define PART_STRETCH_BYTES (64u * (uint64_t)MIB)

struct zero_parts {
	size_t digest_bytes; /* constant */
	pthread_mutex_t lock; /* all below */
	uint8_t *items; /* begin, end, digest */
	size_t item_bytes, count, room;
	bool lost; /* there was no memory for one */
};

void zero_parts_init(struct zero_parts *parts, enum bmap_digest digest, bool no_digests);
void zero_parts_free(struct zero_parts *parts);
/* arg: the zero_parts. Fits struct zero_split. */
void zero_parts_add(void *arg, uint64_t begin_bytes, uint64_t end_bytes, const uint8_t *digest);

/* The ranges of map, cut into stretches, without digests. NULL: no memory. */
struct bmap_map *zero_parts_stretches(const struct bmap_map *map, struct bmap_error *err);

/* Replaces the ranges of map, which are what was looked at, by the parts, and by what lies between
 * them in a gap of less than run_bytes (counted across what the ranges leave out). Zeros in blocks
 * of forced, which may be NULL, stay as well. Sets map->digests unless no digests were asked for.
 */
bool zero_parts_map(struct zero_parts *parts, struct bmap_map *map, uint64_t run_bytes,
		    const struct extents *forced, struct bmap_error *err);

/* The multiple of block_bytes on which stretches end. */
uint64_t zero_parts_stretch_bytes(uint64_t block_bytes);

#endif

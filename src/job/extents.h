/* SPDX-License-Identifier: MIT */
/* job/extents.h - which blocks of a file hold data.
 *
 * Asked in this order: FIEMAP with FIEMAP_FLAG_SYNC (unwritten extents are mapped: they must read
 * as zeros on the target), SEEK_DATA/SEEK_HOLE, and at last the whole file is taken as one range,
 * which is said as a warning. The answers of a file system are checked like any outside input. */
#ifndef JOB_EXTENTS_H
#define JOB_EXTENTS_H

#include "base/error.h"
#include "base/log.h"

#include <bmap/map.h>
#include <stddef.h>

struct extents {
	uint64_t block_size_bytes; /* unless asked otherwise, the file system's: FIGETBSZ */
	uint64_t mapped_blocks;
	size_t count, capacity;
	struct bmap_range *ranges; /* rise, do not touch, end with the file; malloc'ed */
};

/* name: for messages. size_bytes > 0: what lies behind is left out. block_bytes 0: the file
 * system's. out is zeroed on failure; else to be ended with extents_free(). The file's offset is
 * moved. */
bool extents_read(struct extents *out, int fd, const char *name, uint64_t size_bytes,
		  uint64_t block_bytes, const struct bmap_log *log, struct bmap_error *err);
void extents_free(struct extents *extents); /* accepts zeroed ones */

/* One by one, for tests. False with code UNSUPPORTED: ask otherwise. */
bool extents_by_fiemap(struct extents *out, int fd, const char *name, uint64_t size_bytes,
		       struct bmap_error *err);
bool extents_by_seek(struct extents *out, int fd, const char *name, uint64_t size_bytes,
		     struct bmap_error *err);
/* Adds the blocks that [begin, end) touches, clipped to size_bytes. False (code IO) if it begins
 * before the last one does, or is empty or turned round. */
bool extents_add(struct extents *extents, const char *name, uint64_t begin, uint64_t end,
		 uint64_t size_bytes, struct bmap_error *err);

#endif

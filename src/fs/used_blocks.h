/* SPDX-License-Identifier: MIT */
/* fs/used_blocks.h - which bytes of a disk, or of an image of one, somebody could want.
 *
 * Partition tables (by libblkid) with all they need: what lies in front of the first partition, the
 * second GPT, what lies between logical partitions, and gaps between partitions where they are
 * small. Inside a partition, or on a disk without any: of ext2, ext3 and ext4 (libext2fs) and of
 * FAT12, FAT16 and FAT32 (fat.c) what they use, and what lies behind them. All else is used as a
 * whole, which is said, with the reason: other file systems, and those that were not unmounted
 * cleanly.
 * Hostile input is expected: sizes and positions are checked against the disk's.
 * Threads: one at a time. */
#ifndef FS_USED_BLOCKS_H
#define FS_USED_BLOCKS_H

#include "base/error.h"
#include "base/log.h"

#include <stddef.h>
#include <stdint.h>

struct used_span {
	uint64_t begin_bytes, end_bytes;
};

struct used_spans {
	struct used_span *items; /* malloc'ed; sorted by their begin, may overlap */
	size_t count, room;
};

/* fd: a file or device without O_DIRECT, opened for reading; size_bytes: of it; name: for messages.
 * On failure spans is empty; else to be ended with used_spans_free(). False: cannot be read, no
 * memory, a build without libblkid (UNSUPPORTED). */
bool used_blocks_find(struct used_spans *spans, int fd, const char *name, uint64_t size_bytes,
		      const struct bmap_log *log, struct bmap_error *err);
void used_spans_free(struct used_spans *spans); /* accepts zeroed ones */

#endif

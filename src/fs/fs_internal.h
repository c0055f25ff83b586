/* SPDX-License-Identifier: MIT */
/* fs/fs_internal.h - what the readers of file systems get, and what they answer. */
#ifndef FS_FS_INTERNAL_H
#define FS_FS_INTERNAL_H

#include "fs/used_blocks.h"

/* Where a file system lies. */
struct fs_volume {
	const char *name; /* for messages: the disk */
	int fd;
	uint64_t begin_bytes, size_bytes;
};

enum fs_verdict {
	FS_FOUND, /* all that is used was added */
	FS_WHOLE, /* why says why it has to be taken whole; what was added does no harm */
	FS_FAILED, /* err: cannot be read, no memory */
};

#define FS_WHY_BYTES 160

/* An answer from one of the readers: why is a text behind "because it". */
typedef enum fs_verdict fs_reader(const struct fs_volume *volume, struct used_spans *spans,
				  char why[FS_WHY_BYTES], struct bmap_error *err);
fs_reader fat_used;
fs_reader ext_used; /* a build without libext2fs: always FS_WHOLE */

/* Says why a volume has to be taken whole. */
enum fs_verdict fs_whole(char why[FS_WHY_BYTES], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Bytes of the volume, all of them or an error. The caller has checked that they lie in it. */
bool fs_read(const struct fs_volume *volume, uint64_t offset_bytes, void *data, size_t len,
	     struct bmap_error *err);
/* Adds bytes of the volume, clipped to it; joined with the last ones where they touch. False: no
 * memory. */
bool fs_add(const struct fs_volume *volume, struct used_spans *spans, uint64_t begin_bytes,
	    uint64_t end_bytes, struct bmap_error *err);

#endif

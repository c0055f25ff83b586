/* SPDX-License-Identifier: MIT */
/* create.h - makes the map of a sparse regular file.
 *
 * Mapped is what FIEMAP reports (after FIEMAP_FLAG_SYNC; unwritten extents are mapped), or where
 * there is no FIEMAP what SEEK_DATA/SEEK_HOLE report; in blocks of the file system (FIGETBSZ).
 * Threads: blocks; progress on the calling thread, log from any. */
#ifndef BMAP_CREATE_H
#define BMAP_CREATE_H

#include <bmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bmap_create_options {
	size_t struct_size;
	const char *image; /* path of a regular file */
	enum bmap_digest digest; /* NONE: sha256 */
	bool no_checksum; /* ranges get no checksums; the file's own is there all the same */
	uint64_t memory_bytes; /* 0: default */
	unsigned queue_depth; /* reads in flight, 0: default */
	unsigned workers; /* hash threads, 0: one per processor */
	const struct bmap_log *log;
	struct bmap_stop *stop;
	void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_user;
};
#define BMAP_CREATE_OPTIONS_INIT                                                                   \
	{                                                                                          \
		.struct_size = sizeof(struct bmap_create_options)                                  \
	}

/* Refused: an empty image; a file that changes while it is read. Warns (log) if no block is
 * unmapped. *out is to be freed with bmap_map_free(), NULL on failure. */
BMAP_API bool bmap_create(const struct bmap_create_options *options, struct bmap_map **out,
			  struct bmap_error *err);

#ifdef __cplusplus
}
#endif
#endif

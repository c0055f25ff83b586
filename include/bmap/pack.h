/* SPDX-License-Identifier: MIT */
/* pack.h - compresses a sparse image into the form that is flashed fastest.
 *
 * The result is a plain .zst file, which every zstd unpacks to the whole image: frames of at most
 * 4 MiB that each say their size and have a checksum, cut where mapped ranges begin and end, and at
 * last a seek table (zstd's seekable format). Holes are frames of their own, some 140 bytes for
 * 4 MiB: with the bmap they are neither decoded nor written. The map is made, or checked against
 * the image, before.
 * Threads: blocks; progress on the calling thread, log from any. */
#ifndef BMAP_PACK_H
#define BMAP_PACK_H

#include <bmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BMAP_PACK_MAX_LEVEL 19

enum bmap_pack_phase {
	BMAP_PACK_MAP, /* the mapped ranges are read and their checksums computed */
	BMAP_PACK_COMPRESS,
};

struct bmap_pack_options {
	size_t struct_size;
	const char *image; /* path of a regular file */
	/* Path of the result; it appears whole or not at all. "-": standard output, unless that is
	 * a terminal. */
	const char *output;
	/* Path of the image's map: checked against the image (no signature is looked at); what it
	 * does not map is packed as zeros. NULL: made from the image's holes. */
	const char *bmap;
	/* Write no map. Else it goes beside the output, where it is looked for: disk.img.bmap for
	 * disk.img.zst, replacing one that is there, unless it is the one that was named; none for
	 * standard output. */
	bool no_bmap;
	unsigned level; /* 1..BMAP_PACK_MAX_LEVEL, 0: 3 */
	uint64_t memory_bytes; /* 0: default (256 MiB, at most a quarter of the machine's) */
	unsigned workers; /* 0: one per processor */
	const struct bmap_log *log;
	struct bmap_stop *stop;
	/* done of total mapped bytes in this phase; phases do not come back. */
	void (*progress)(void *user, enum bmap_pack_phase phase, uint64_t done_bytes,
			 uint64_t total_bytes);
	void *progress_user;
};
#define BMAP_PACK_OPTIONS_INIT                                                                     \
	{                                                                                          \
		.struct_size = sizeof(struct bmap_pack_options)                                    \
	}

struct bmap_pack_result {
	uint64_t image_bytes, mapped_bytes;
	uint64_t packed_bytes; /* of the whole output */
	uint64_t frames; /* without the seek table */
	uint64_t hole_frames; /* of these */
};

/* Refused: what bmap_create() refuses; a map that does not fit the image; an output or map that
 * would replace the image; an image that changes meanwhile. On false nothing new is left behind,
 * and result is zeroed. result may be NULL. */
BMAP_API bool bmap_pack(const struct bmap_pack_options *options, struct bmap_pack_result *result,
			struct bmap_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* create.h - makes the map of an image.
 *
 * Of a sparse regular file, mapped is what FIEMAP reports (after FIEMAP_FLAG_SYNC; unwritten
 * extents are mapped), or where there is no FIEMAP what SEEK_DATA/SEEK_HOLE report; in blocks of
 * the file system (FIGETBSZ). With zero_run_bytes, also of an image without holes: a block device,
 * a compressed image (the map is that of the unpacked one), standard input, a URL. What is not
 * mapped is not written: whoever flashes by such a map finds in these blocks whatever was there
 * before, not zeros. Threads: blocks; progress on the calling thread, log from any. */
#ifndef BMAP_CREATE_H
#define BMAP_CREATE_H

#include <bmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bmap_span {
	uint64_t begin_bytes, end_bytes; /* the end is the first byte behind it */
};

struct bmap_create_options {
	size_t struct_size;
	/* Path of a regular file; with zero_run_bytes also "-", a URL, or, as with used_blocks, of
	 * a block device. */
	const char *image;
	enum bmap_digest digest; /* NONE: sha256 */
	bool no_checksum; /* ranges get no checksums; the file's own is there all the same */
	uint64_t memory_bytes; /* 0: default */
	unsigned queue_depth; /* reads in flight, 0: default */
	unsigned workers; /* hash threads, 0: one per processor */
	const struct bmap_log *log;
	struct bmap_stop *stop;
	/* total_bytes is 0 where it is not known. */
	void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_user;
	/* Blocks that are all zero are not mapped where at least so many bytes of them lie in a
	 * row; holes count, and a run may be cut off by the image's begin or end. Ranges end at
	 * multiples of 64 MiB then, so that they can be hashed on all processors: ranges may touch.
	 * 0: zeros are data like any other. */
	uint64_t zero_run_bytes;
	/* Map only what the partition table and the file systems (ext2, ext3, ext4, FAT) use;
	 * others, and those that were not unmounted cleanly, as a whole, which is said with the
	 * reason. Not of compressed images. UNSUPPORTED in a build without libblkid. */
	bool used_blocks;
	/* A power of two, 512 to 1 MiB; mapped is each block that has any data. 0: the file
	 * system's; 4096 where there is none. */
	uint64_t block_size_bytes;
	/* Is mapped whatever there is, zeros and holes too: the blocks that these touch. */
	const struct bmap_span *spans;
	size_t span_count;
	const char *member; /* of an archive, with zero_run_bytes; NULL: its first regular file */
};
#define BMAP_CREATE_OPTIONS_INIT                                                                   \
	{                                                                                          \
		.struct_size = sizeof(struct bmap_create_options)                                  \
	}

/* Refused: an empty image; a file that changes while it is read; spans that are empty or begin
 * behind the image's end. Warns (log) if no block is unmapped, and of a device that is mounted.
 * *out is to be freed with bmap_map_free(), NULL on failure. */
BMAP_API bool bmap_create(const struct bmap_create_options *options, struct bmap_map **out,
			  struct bmap_error *err);

#ifdef __cplusplus
}
#endif
#endif

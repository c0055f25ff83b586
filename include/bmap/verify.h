/* SPDX-License-Identifier: MIT */
/* verify.h - checks an image (compressed too) or a device against its map; never writes.
 *
 * Devices and raw files are read with O_DIRECT where possible, at queue depth, on all cores; a
 * compressed image or standard input goes through the flash pipeline with no targets.
 * Threads: blocks; progress and bad_range on the calling thread or a worker's, one at a time. */
#ifndef BMAP_VERIFY_H
#define BMAP_VERIFY_H

#include <bmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bmap_bad_range {
	uint64_t first_block, last_block;
	uint64_t offset_bytes, len_bytes; /* in the image */
	const uint8_t *expected, *found; /* digest_bytes each, lent for the call */
	size_t digest_bytes;
};

struct bmap_verify_options {
	size_t struct_size;
	const char *input; /* path of an image or device; "-": standard input */
	const char *bmap; /* NULL: discovered beside input */
	/* As in struct bmap_flash_options (flash.h). */
	const char *bmap_signature;
	bool no_signature;
	const char *keyring, *fingerprint;
	const char *member; /* of an archive: full name or base name; NULL: first regular file */
	uint64_t memory_bytes;
	unsigned queue_depth;
	unsigned workers;
	const struct bmap_log *log;
	struct bmap_stop *stop;
	void (*bad_range)(void *user, const struct bmap_bad_range *bad); /* each one, as found */
	void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
	void *user; /* of both */
};
#define BMAP_VERIFY_OPTIONS_INIT                                                                   \
	{                                                                                          \
		.struct_size = sizeof(struct bmap_verify_options)                                  \
	}

struct bmap_verify_result {
	size_t ranges_checked; /* that had a checksum */
	size_t ranges_bad;
	size_t ranges_without_checksum;
	uint64_t checked_bytes;
	uint64_t elapsed_ns;
};

/* True if all that could be checked matched and the input was whole. A map without any range
 * checksum is a true with ranges_checked 0: the caller says so. With bad ranges: false, code
 * DATA, after all others were checked too. */
BMAP_API bool bmap_verify(const struct bmap_verify_options *options,
			  struct bmap_verify_result *result, struct bmap_error *err);

#ifdef __cplusplus
}
#endif
#endif

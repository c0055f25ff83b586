/* SPDX-License-Identifier: MIT */
/* map.h - the model of a bmap: which blocks of an image are mapped, and their checksums.
 *
 * Promises of a map that the library made (bmap_map_parse, bmap_map_load, bmap_create):
 *   1 <= image_size_bytes <= INT64_MAX; block_size_bytes >= 1;
 *   blocks_count == ceil(image_size_bytes / block_size_bytes);
 *   ranges rise, do not overlap and lie inside the image; the sum of their blocks is
 *   mapped_blocks; (last_block + 1) * block_size_bytes does not overflow 64 bits.
 * Ownership: whoever got a map frees it with bmap_map_free(); the arrays belong to it.
 * Threads:   a const map may be read by any number of threads. */
#ifndef BMAP_MAP_H
#define BMAP_MAP_H

#include <bmap/error.h>
#include <bmap/log.h>
#include <bmap/stop.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The checksum types that Python's hashlib knows under these names in lower case. */
enum bmap_digest {
	BMAP_DIGEST_NONE,
	BMAP_DIGEST_MD5,
	BMAP_DIGEST_SHA1,
	BMAP_DIGEST_SHA224,
	BMAP_DIGEST_SHA256,
	BMAP_DIGEST_SHA384,
	BMAP_DIGEST_SHA512,
};
#define BMAP_DIGEST_MAX_BYTES 64

struct bmap_range {
	uint64_t first_block;
	uint64_t last_block; /* inclusive */
};

struct bmap_map {
	unsigned version_major, version_minor;
	uint64_t image_size_bytes;
	uint64_t block_size_bytes;
	uint64_t blocks_count;
	uint64_t mapped_blocks;
	enum bmap_digest digest; /* of ranges and of the file; NONE only in versions before 1.3 */
	size_t digest_bytes; /* length of one, 0 for NONE */
	size_t range_count;
	struct bmap_range *ranges;
	/* range_count * digest_bytes, in the order of ranges; NULL: no range has a checksum. */
	uint8_t *digests;
	/* A bit per range (bit i % 8 of byte i / 8): does it have one? NULL: all have (or none, if
	 * digests is NULL). Only foreign maps mix both. */
	uint8_t *has_digest;
};

/* Byte offset of the first byte of range i, and of the byte behind its last: the end of the last
 * block is the image's end, so a range may be shorter than its blocks. */
BMAP_API uint64_t bmap_range_begin(const struct bmap_map *map, size_t i);
BMAP_API uint64_t bmap_range_end(const struct bmap_map *map, size_t i);
/* The checksum of range i, digest_bytes long, or NULL if it has none. Lent by the map. */
BMAP_API const uint8_t *bmap_range_digest(const struct bmap_map *map, size_t i);
/* Sum of all ranges in bytes (the short last block counted as it is). */
BMAP_API uint64_t bmap_mapped_bytes(const struct bmap_map *map);

BMAP_API const char *bmap_digest_name(enum bmap_digest digest); /* "sha256"; "none" */
/* False if no digest has that name. Letters' case does not matter. */
BMAP_API bool bmap_digest_from_name(const char *name, enum bmap_digest *out);

/* Identifies what a map says the mapped bytes of its image are, however the image is compressed:
 * the SHA-256, in lower-case hex, of this text, each line with its newline: IMAGE_SIZE
 * CHECKSUM_TYPE                  one line: "4194304 sha256" OFFSET LENGTH CHECKSUM one for each
 * range, in order: "0 12288 9f86d0..." Numbers are decimal and bytes, checksums lower-case hex.
 * Maps that cut the same bytes into other ranges, or use another checksum, have other digests.
 * False with code NOT_FOUND if a range has no checksum. */
#define BMAP_CONTENT_DIGEST_ROOM 65
BMAP_API bool bmap_map_content_digest(const struct bmap_map *map,
				      char text[BMAP_CONTENT_DIGEST_ROOM], struct bmap_error *err);

/* Reads the XML of a bmap from memory. name is only for messages. On failure *out is NULL.
 * Checked: everything the promises above say, and the file's own checksum. Hostile input is
 * expected: no external entities, no network, bounded depth and size.
 * Source of the format: the Python tool's versions 1.0 to 2.x. */
BMAP_API bool bmap_map_parse(struct bmap_map **out, const char *text, size_t len, const char *name,
			     struct bmap_error *err);

/* Reads a bmap file, plain, compressed or clearsigned (recognised by content): at most 1 GiB of
 * XML. path may be "-" for standard input, or a URL (http, https, ftp, ssh, file): then it may wait
 * long. No signature is looked at: bmap_flash() and bmap_verify() do that. */
BMAP_API bool bmap_map_load(struct bmap_map **out, const char *path, struct bmap_error *err);

/* The XML of a map, always in version 2.0. *text is malloc'ed (NUL-terminated, not counted). */
BMAP_API bool bmap_map_format(const struct bmap_map *map, char **text, size_t *len,
			      struct bmap_error *err);

/* Writes the map to path, whole or not at all (a temporary file beside it, renamed), compressed
 * if the name ends in .gz, .zst or .xz. path NULL: plain to standard output. */
BMAP_API bool bmap_map_save(const struct bmap_map *map, const char *path, struct bmap_error *err);

/* Would bmap_map_save() get as far as writing? To be asked before the work that makes the map.
 * Makes the temporary file and removes it again; pipes and devices are not tried, nor is what could
 * still fail then (a full disk). */
BMAP_API bool bmap_map_save_check(const char *path, struct bmap_error *err);

/* Looks for the bmap of an image beside it: IMAGE.bmap, then with one extension of the file's
 * name less each time ("disk.img.gz": disk.img.gz.bmap, disk.img.bmap, disk.bmap). For a
 * URL the names stand before the query, and each is tried on the server. *path is malloc'ed, and
 * shows no password (one has to be in ~/.netrc then); false with code NOT_FOUND if there is none.
 */
BMAP_API bool bmap_map_discover(const char *image, char **path, struct bmap_error *err);

BMAP_API void bmap_map_free(struct bmap_map *map); /* accepts NULL */

#ifdef __cplusplus
}
#endif
#endif

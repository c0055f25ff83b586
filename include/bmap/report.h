/* SPDX-License-Identifier: MIT */
/* report.h - what can be said of a bmap, also of a broken one; and what two of them differ in.
 *
 * Threads:   all functions from any; an object belongs to one thread at a time. */
#ifndef BMAP_REPORT_H
#define BMAP_REPORT_H

#include <bmap/device.h>
#include <bmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bmap_check {
	BMAP_CHECK_ABSENT, /* there is none */
	BMAP_CHECK_UNKNOWN, /* there is one that was not, or could not be, checked */
	BMAP_CHECK_GOOD,
	BMAP_CHECK_BAD, /* checked, and not good */
};

/* Of lengths in bytes; all 0 if count is. */
struct bmap_spread {
	size_t count;
	uint64_t total, least, median, most;
};

struct bmap_report_options {
	size_t struct_size;
	const char *input; /* a bmap, or an image whose bmap lies beside it: path or URL, or "-" */
	const char *bmap; /* NULL: input is one, or it is looked for */
	const char *bmap_signature; /* this and the next three as in struct bmap_flash_options */
	bool no_signature;
	const char *keyring, *fingerprint;
	const struct bmap_log *log;
	struct bmap_stop *stop;
};
#define BMAP_REPORT_OPTIONS_INIT                                                                   \
	{                                                                                          \
		.struct_size = sizeof(struct bmap_report_options)                                  \
	}

struct bmap_report {
	char *name; /* of the bmap; a URL without its password; NULL: none was found */
	/* NULL: nothing could be read. Not whole: it breaks the promises of map.h but for those
	 * about ranges: what was not met is 0 or NONE, and the ranges are those that lie before the
	 * first error and inside the image. */
	struct bmap_map *map;
	bool whole;
	uint64_t blocks_count; /* as the file says; map->blocks_count is what its sizes make */
	enum bmap_check own_checksum, signature;
	char *signature_name; /* of a detached one */
	uint64_t mapped_bytes; /* of the ranges in map */
	struct bmap_spread ranges;
	struct bmap_spread gaps; /* unmapped bytes before, between and behind them */
	/* What is in the image: NULL where the input is a bmap, compressed, no local file, or not
	 * of the size that the bmap says. */
	struct bmap_device *image;
};

/* True if the bmap is whole and its signature, if it has one, is good (or was not to be checked).
 * Else false with what is wrong; report holds what can be said all the same. To be freed in both
 * cases. */
BMAP_API bool bmap_report_read(const struct bmap_report_options *options,
			       struct bmap_report *report, struct bmap_error *err);
BMAP_API void bmap_report_free(struct bmap_report *report);

/* Bytes of [begin, end) that the map has ranges for. */
BMAP_API uint64_t bmap_mapped_between(const struct bmap_map *map, uint64_t begin_bytes,
				      uint64_t end_bytes);

/* --- two maps --- */

enum bmap_change {
	BMAP_CHANGE_NONE, /* the same bytes, by the checksum of the same range */
	BMAP_CHANGE_CONTENT, /* the same range, other bytes, or nobody can tell: no checksum */
	BMAP_CHANGE_BORDERS, /* mapped in both, in ranges that begin or end elsewhere */
	BMAP_CHANGE_NEW, /* not mapped in the older one */
	BMAP_CHANGE_GONE, /* mapped in the older one only */
};
#define BMAP_CHANGE_COUNT 5

struct bmap_difference {
	uint64_t bytes[BMAP_CHANGE_COUNT];
	size_t ranges[BMAP_CHANGE_COUNT]; /* of the newer map; of the older one for GONE */
	uint64_t to_write_bytes; /* the newer one's mapped bytes that are not NONE */
	bool comparable; /* both have checksums of one type; else nothing is NONE */
};

/* changed() is called for each range of the newer map, and for each stretch of bytes that only the
 * older one maps, in the order of their offsets; may be NULL. */
BMAP_API void bmap_map_compare(const struct bmap_map *older, const struct bmap_map *newer,
			       void (*changed)(void *user, enum bmap_change change,
					       uint64_t begin_bytes, uint64_t end_bytes),
			       void *user, struct bmap_difference *difference);

#ifdef __cplusplus
}
#endif
#endif

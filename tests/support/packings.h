/* SPDX-License-Identifier: MIT */
/* packings.h - an image in every form that a source can have. Needs the cmocka headers before it.
 */
#ifndef PACKINGS_H
#define PACKINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packing {
	RAW_FILE,
	RAW_PIPE,
	GZIP,
	BGZF,
	ZSTD_ONE_FRAME,
	ZSTD_FRAMES,
	ZSTD_ODD_FRAMES,
	XZ_BLOCKS, /* with sizes in their headers */
	XZ_ONE_BLOCK,
	BZIP2,
	BZIP2_STREAMS,
	ZSTD_SLOW_FIRST_FRAME, /* the others' units pile up behind it */
	ZSTD_EMPTY_FRAMES, /* units without image bytes, before a hole too */
	TAR,
	TAR_GZIP, /* from here on two stages in a row */
	TAR_ZSTD_FRAMES,
	TAR_XZ_BLOCKS,
	PACKINGS
};

extern const char *const packing_names[];

struct bytes {
	uint8_t *data;
	size_t len;
	bool archive; /* inside something else */
};

/* Zeros, a pattern and noise, in stretches of 32 KiB. Free data, as that of all below. */
struct bytes make_image(size_t size, unsigned seed);
/* Builds may leave formats out. */
bool can_unpack(enum packing packing);
struct bytes pack(const struct bytes *image, enum packing packing);

#endif

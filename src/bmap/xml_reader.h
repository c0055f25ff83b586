/* SPDX-License-Identifier: MIT */
/* bmap/xml_reader.h - what the first bytes of a file say, before all of it is read; and what can be
 * said of a map that is broken.
 *
 * Threads: pure functions. */
#ifndef BMAP_XML_READER_H
#define BMAP_XML_READER_H

#include "base/error.h"

#include <bmap/map.h>
#include <stddef.h>

/* As many bytes decide whether a file can be a bmap. */
#define BMAP_HEAD_BYTES 4096u

/* False, code MAP, if a file that begins with these bytes (already decompressed) is no XML; the
 * message says what it is instead where that is easy to see, such as the image itself. */
bool bmap_head_check(const char *head, size_t len, const char *name, struct bmap_error *err);

/* What a report wants to know of a map that bmap_map_parse() would only refuse. */
struct map_findings {
	/* As far as it could be read, to be freed; NULL if the map is good, or nothing was. Its
	 * numbers are 0 where they were not met, its ranges lie inside the image. */
	struct bmap_map *partial;
	uint64_t blocks_count; /* as the file says it */
	bool has_own_checksum, own_checksum_read, own_checksum_good;
};

/* bmap_map_parse(); findings may be NULL. */
bool map_parse(struct bmap_map **out, const char *text, size_t len, const char *name,
	       struct map_findings *findings, struct bmap_error *err);

#endif

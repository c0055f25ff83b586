/* SPDX-License-Identifier: MIT */
/* bmap/reader_internal.h - what the files that read a bmap share. */
#ifndef BMAP_READER_INTERNAL_H
#define BMAP_READER_INTERNAL_H

#include "base/error.h"

#include <bmap/map.h>

#define QUOTE_BYTES 96

/* Copies text from a file for a message: cut where too long, with nothing that a terminal obeys.
 * Returns out, which has QUOTE_BYTES. */
const char *quote_text(char *out, const char *text, size_t len);

/* Longer than a SHA-512 in hexadecimal: the longest text that can be right. */
#define TEXT_BYTES 192

/* The text of an element, which comes in pieces, without the spaces around it and with one space
 * for each run of white space in it. */
struct element_text {
	char bytes[TEXT_BYTES]; /* NUL-terminated */
	size_t len;
	bool space; /* white space came since the last byte */
	bool too_long; /* bytes has its beginning only */
};

void text_begin(struct element_text *text);
void text_add(struct element_text *text, const char *more, size_t len);

/* Reads decimal digits at *p, passing them and the spaces around them. False, with *p unmoved: no
 * digits, or a number of 2^64 or more. */
bool read_number(const char **p, uint64_t *out);

/* Refuses tags that are longer than any bmap needs: the XML parser's time for one tag grows with
 * the square of its attributes. */
bool markup_check(const char *text, size_t len, const char *name, struct bmap_error *err);

/* The checksum of the file itself: digits is what the XML parser found in the child of the root
 * that is called element. */
bool own_checksum_check(const char *text, size_t len, const char *element, const char *digits,
			enum bmap_digest digest, const char *name, struct bmap_error *err);

/* The promises of map.h about sizes and counts; that ranges rise is the caller's. */
bool map_check(const struct bmap_map *map, const char *name, struct bmap_error *err);
/* Of a map that breaks promises: drops the ranges, from the first on, that they do not hold for.
 * Where the sizes are wrong themselves, all of them. */
void map_trim(struct bmap_map *map);

/* Adds a range and its checksum (digest_bytes of it, NULL: it has none) to a map whose arrays have
 * room for *capacity ranges, 0 at first. False: no memory, the map is as it was. */
bool map_append(struct bmap_map *map, size_t *capacity, const struct bmap_range *range,
		const uint8_t *digest);
/* Gives back what was reserved for more. */
void map_shrink(struct bmap_map *map, size_t capacity);

#endif

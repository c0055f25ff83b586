/* SPDX-License-Identifier: MIT */
/* decode/tar_internal.h - tar: POSIX ustar and pax, GNU. tar_decoder.c walks from entry to entry,
 * tar_header.c reads header blocks, tar_pax.c the records of pax headers, tar_sparse.c the maps of
 * sparse files in their four forms.
 *
 * Memory: a pax header of at most 8 MiB, a sparse map of at most 16 MiB; both count against
 *         limits.memory_bytes.
 * Errors of helpers: a reason that decoder_broken() is to give, NULL: good. TAR_NO_MEMORY stands
 *         for itself. */
#ifndef DECODE_TAR_INTERNAL_H
#define DECODE_TAR_INTERNAL_H

#include "decode/archive_member.h"

#define TAR_BLOCK_BYTES 512u

extern const char TAR_NO_MEMORY[];

/* --- tar_header.c --- */
/* Magic and checksum are right. block: TAR_BLOCK_BYTES. */
bool tar_is_header(const uint8_t *block);
bool tar_is_zero(const uint8_t *block);
/* Octal digits, or GNU's base 256, of a field; at most INT64_MAX. */
bool tar_number(const uint8_t *field, size_t len, uint64_t *value);
bool tar_size(const uint8_t *block, uint64_t *value);
char tar_type(const uint8_t *block);
bool tar_is_gnu(const uint8_t *block); /* the fields behind the ustar ones are GNU's */
#define TAR_NAME_BYTES 257u
/* The name in the header itself; returns its length. */
size_t tar_name(const uint8_t *block, char name[TAR_NAME_BYTES]);

/* --- tar_sparse.c --- */
struct tar_extent {
	uint64_t offset_bytes, len_bytes; /* of data, in the file */
};

/* What lies where in a sparse file; a file that is not has one extent. */
struct tar_map {
	struct tar_extent *extents;
	size_t count, room;
	uint64_t end_bytes; /* where the last one ends */
	uint64_t stored_bytes; /* their sum */
	/* Half of the next one: offset and length come as numbers of their own (pax). */
	bool half;
	uint64_t half_offset_bytes;
};

void tar_map_clear(struct tar_map *map); /* keeps the memory */
void tar_map_free(struct tar_map *map);
/* Extents rise and do not overlap. */
const char *tar_map_add(struct tar_map *map, uint64_t offset, uint64_t len, uint64_t memory_bytes);
const char *tar_map_add_number(struct tar_map *map, uint64_t number, uint64_t memory_bytes);
/* Inside the file's size, with as much data as is stored. */
const char *tar_map_check(const struct tar_map *map, uint64_t real_bytes, uint64_t stored_bytes);
/* GNU's own: the entries in a header (first) or extension block. *more: another one follows. */
const char *tar_map_add_gnu(struct tar_map *map, const uint8_t *block, bool first, bool *more,
			    uint64_t memory_bytes);

/* PAX 1.0: decimal numbers, one a line, in front of the data: the count, then the extents. */
struct tar_map_text {
	bool counted;
	uint64_t left; /* numbers, once counted */
	uint64_t number; /* so far */
	unsigned digits;
};
/* A block of it. *complete: the map's last; what is behind the numbers is padding. */
const char *tar_map_add_text(struct tar_map *map, struct tar_map_text *text, const uint8_t *block,
			     bool *complete, uint64_t memory_bytes);

/* --- tar_pax.c --- */
struct tar_pax {
	char *path, *sparse_name; /* malloc()ed, NULL: not given */
	bool has_size, has_real_size, is_sparse;
	uint64_t size_bytes, real_size_bytes;
	uint64_t sparse_major, sparse_minor;
};

void tar_pax_clear(struct tar_pax *pax);
/* Takes the records over into pax and map (formats 0.0 and 0.1). is_global: they are only checked,
 * and refused where they would have to mean something. */
const char *tar_pax_read(struct tar_pax *pax, struct tar_map *map, const uint8_t *records,
			 size_t len, bool is_global, uint64_t memory_bytes);

#endif

/* SPDX-License-Identifier: MIT */
/* job/create_internal.h - the parts of bmap_create(): create.c puts them together. */
#ifndef JOB_CREATE_INTERNAL_H
#define JOB_CREATE_INTERNAL_H

#include "job/extents.h"

#include <bmap/create.h>
#include <sys/stat.h>

#define CREATE_BLOCK_BYTES 4096u /* where no file system says it */

/* --- create_input.c: a file or device that can be read at any offset --- */

struct create_input {
	int fd; /* -1: it can only be read in order: create_stream() */
	bool is_device; /* fd was opened with O_DIRECT */
	uint64_t size_bytes;
	struct stat before; /* of a file: it must not change */
};

/* False: refused or failed, nothing is open. */
bool create_input_open(struct create_input *input, const struct bmap_create_options *options,
		       struct bmap_error *err);
/* What of it is looked at: extents of a file, all of a device, or what is used of them. As
 * extents_read(). */
bool create_input_extents(const struct create_input *input,
			  const struct bmap_create_options *options, struct extents *extents,
			  struct bmap_error *err);

/* --- create_spans.c --- */

/* The blocks that the options' spans touch; forced->block_size_bytes is set. name: of the image. */
bool create_spans(struct extents *forced, const struct bmap_create_options *options,
		  const char *name, uint64_t size_bytes, struct bmap_error *err);
/* Adds to extents what is in forced; both have the same block size. */
bool create_add_spans(struct extents *extents, const struct extents *forced, const char *name,
		      uint64_t size_bytes, struct bmap_error *err);

/* Keeps of extents what is in both. */
bool create_keep(struct extents *extents, const struct extents *other, const char *name,
		 uint64_t size_bytes, struct bmap_error *err);

/* --- create_stream.c: decodes the image, and finds its zeros, while it flows by --- */

bool create_stream(const struct bmap_create_options *options, struct bmap_map **out,
		   struct bmap_error *err);

/* --- create.c --- */

/* A map of that size without digests. Takes the ranges out of extents. NULL: no memory. */
struct bmap_map *create_map(struct extents *extents, uint64_t size_bytes,
			    const struct bmap_create_options *options, struct bmap_error *err);
/* Warns of a map that saves nothing; says what one without zeros is good for. */
void create_say_result(const struct bmap_map *map, const struct bmap_create_options *options,
		       const char *name);

#endif

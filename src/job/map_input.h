/* SPDX-License-Identifier: MIT */
/* job/map_input.h - the bytes of a bmap or of its signature, from wherever they are.
 *
 * Threads:   each object belongs to one.
 * Ownership: an input borrows the source or text that it is made of. */
#ifndef JOB_MAP_INPUT_H
#define JOB_MAP_INPUT_H

#include "source/source.h"

#define MAP_INPUT_BYTES                                                                            \
	(1024u * 1024u) /* a zstd block is 128 KiB, all others take less at once                   \
			 */

/* In reserved address space, of which only what is written takes memory: it never moves. */
struct map_text {
	char *bytes;
	size_t len, room;
	bool head_good; /* its first bytes were looked at */
};

struct map_input {
	const char *path; /* for messages: the source's name */
	struct source *source; /* NULL: all is in bytes */
	uint8_t *bytes;
	size_t at, len; /* not consumed: from at to len */
	bool ended;
};

bool map_text_new(struct map_text *text, const char *path, struct bmap_error *err);
void map_text_free(struct map_text *text);
bool map_text_too_long(const struct map_text *text, const char *path, struct bmap_error *err);

/* of_source has to be closed, of_text has nothing to close. */
bool map_input_of_source(struct map_input *in, struct source *source, struct bmap_error *err);
void map_input_of_text(struct map_input *in, const char *path, struct map_text *text);
/* Reads until MAP_INPUT_BYTES are there or the file ends. */
bool map_input_fill(struct map_input *in, struct bmap_error *err);
/* Appends all that is not consumed, to the end of the file. */
bool map_input_read_all(struct map_input *in, struct map_text *text, struct bmap_error *err);
void map_input_close(struct map_input *in);

#endif

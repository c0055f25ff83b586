/* SPDX-License-Identifier: MIT */
/* source/source_internal.h - what source.c and the kinds of source share. */
#ifndef SOURCE_SOURCE_INTERNAL_H
#define SOURCE_SOURCE_INTERNAL_H

#include "source/source.h"

#include <sys/stat.h>

/* Both take over fd and name, on failure too, and return NULL with err filled then. */

/* A regular file or block device, read from offset 0 whatever the descriptor's own offset is. */
struct source *file_source_open(int fd, char *name, const struct stat *st, struct bmap_error *err);
/* Anything that gives bytes only in order. A fifo or device must be open with O_NONBLOCK if the
 * process may do that to it (not to standard input, which it shares with others). */
struct source *pipe_source_open(int fd, char *name, const struct bmap_stop *stop,
				struct bmap_error *err);

#endif

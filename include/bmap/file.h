/* SPDX-License-Identifier: MIT */
/* file.h - a file that appears whole or not at all: for what a program keeps of its jobs.
 *
 * Threads: any; calls for different files may run at once. */
#ifndef BMAP_FILE_H
#define BMAP_FILE_H

#include <bmap/error.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes len bytes to a temporary file beside path, brings them to the disk and renames it. Links
 * are followed, a file that is replaced keeps its permissions. path is a regular file or not there:
 * all else is REFUSED. what says what it is, for messages: "the report". */
BMAP_API bool bmap_file_save(const char *path, const char *what, const void *data, size_t len,
			     struct bmap_error *err);

/* Would bmap_file_save() get as far as writing? Makes the temporary file and removes it again. What
 * could still fail then is a full disk, or what others do to the folder meanwhile. */
BMAP_API bool bmap_file_save_check(const char *path, const char *what, struct bmap_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* job/image_file.h - a sparse image as a regular file that must not change while it is read. */
#ifndef JOB_IMAGE_FILE_H
#define JOB_IMAGE_FILE_H

#include "base/error.h"

#include <sys/stat.h>

/* Opens it for reading; -1 on failure. Refused: what is not a regular file, an empty one. */
int image_file_open(const char *path, struct stat *st, struct bmap_error *err);
/* meanwhile: "its map was made". False with code DATA if size or times are others than before. */
bool image_file_unchanged(int fd, const char *path, const struct stat *before,
			  const char *meanwhile, struct bmap_error *err);

#endif

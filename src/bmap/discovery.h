/* SPDX-License-Identifier: MIT */
/* bmap/discovery.h - bmap_map_discover() for what is a path, not a URL. */
#ifndef BMAP_DISCOVERY_H
#define BMAP_DISCOVERY_H

#include "base/error.h"

/* As bmap_map_discover(). */
bool discover_local(const char *image, char **path, struct bmap_error *err);
/* Takes the last extension off the file's name: of its own name, never of a folder's; ".name" has
 * none. False: there is none. */
bool discover_drop_extension(char *path);

#endif

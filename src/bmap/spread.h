/* SPDX-License-Identifier: MIT */
/* bmap/spread.h - how long the ranges of a map are, and the gaps between them.
 *
 * Threads: pure functions on a const map. Errors: false, no memory. */
#ifndef BMAP_SPREAD_H
#define BMAP_SPREAD_H

#include <bmap/report.h>

bool spread_of_ranges(const struct bmap_map *map, struct bmap_spread *spread);
bool spread_of_gaps(const struct bmap_map *map, struct bmap_spread *spread);

#endif

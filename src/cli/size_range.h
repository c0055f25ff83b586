/* SPDX-License-Identifier: MIT */
/* cli/size_range.h - a size as it stands on a box, with what it may differ by.
 * Threads: any. */
#ifndef CLI_SIZE_RANGE_H
#define CLI_SIZE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* "32G", "32GB\302\2615%", "31914983424+-0.5": a number with K, M, G, T (of 1024, as everywhere) or
 * KB, MB, GB, TB (of 1000, as vendors count) behind it, and the percent it may be more or less.
 * Without a tolerance both ends are the size itself. False if text is no such thing, or does not
 * fit. */
bool size_range_parse(const char *text, uint64_t *least_bytes, uint64_t *most_bytes);

#endif

/* SPDX-License-Identifier: MIT */
/* base/histogram.h - counts of numbers over many orders of magnitude, each told within 1 %.
 *
 * Up to 2^HISTOGRAM_BITS every number has a bucket of its own; above, each power of two is cut into
 * as many buckets of equal width, as in HdrHistogram. What is too large is counted in the last one;
 * the largest is also kept as it is. Threads: one at a time. A zeroed one is empty. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BITS 7u
#define HISTOGRAM_STEPS (1u << HISTOGRAM_BITS) /* per power of two: a width of at most 1/128 */
#define HISTOGRAM_POWERS 40u /* up to 2^46: 19 hours of nanoseconds */
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * HISTOGRAM_POWERS)

struct histogram {
	uint64_t total; /* how many */
	uint64_t sum, max;
	uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
/* The least number that at least parts of per of all are not above, such as 999 of 1000: the middle
 * of its bucket, at most the largest. 0 of an empty one. 0 < parts <= per. */
uint64_t histogram_percentile(const struct histogram *h, uint64_t parts, uint64_t per);
uint64_t histogram_mean(const struct histogram *h); /* 0 of an empty one */
/* The largest number that belongs into a bucket. */
uint64_t histogram_bucket_upto(size_t bucket);

#endif

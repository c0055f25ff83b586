/* SPDX-License-Identifier: MIT */
#include "base/histogram.h"

static size_t bucket_of(uint64_t value)
{
	unsigned power;

	if (value < HISTOGRAM_STEPS)
		return (size_t)value;
	power = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
	if (power + 1 >= HISTOGRAM_POWERS)
		return HISTOGRAM_BUCKETS - 1;
	/* The highest bit says which power; those behind it, less one power's worth, which step. */
	return (size_t)power * HISTOGRAM_STEPS + (size_t)(value >> power);
}

static uint64_t bucket_from(size_t bucket)
{
	size_t power = bucket / HISTOGRAM_STEPS;

	if (!power)
		return bucket;
	return (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << (power - 1);
}

uint64_t histogram_bucket_upto(size_t bucket)
{
	return bucket_from(bucket + 1) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->total++;
	h->sum += value;
	h->max = value > h->max ? value : h->max;
	h->counts[bucket_of(value)]++;
}

uint64_t histogram_percentile(const struct histogram *h, uint64_t parts, uint64_t per)
{
	/* total * parts may not fit: in two parts. */
	uint64_t rank = h->total / per * parts + (h->total % per * parts + per - 1) / per;
	uint64_t seen = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += h->counts[i];
		if (seen >= rank && h->counts[i]) {
			uint64_t from = bucket_from(i);
			uint64_t middle = from + (histogram_bucket_upto(i) - from) / 2;

			return middle < h->max ? middle : h->max;
		}
	}
	return h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
	return h->total ? h->sum / h->total : 0;
}

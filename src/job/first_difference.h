/* SPDX-License-Identifier: MIT */
/* job/first_difference.h - where exactly a target differs from the image: the image is decoded once
 * more, up to there, beside the one that was written.
 *
 * Costs the memory of another stream, and time: only for a target that is bad anyway. */
#ifndef JOB_FIRST_DIFFERENCE_H
#define JOB_FIRST_DIFFERENCE_H

#include "job/image_stream.h"
#include "job/read_back.h"

struct first_difference {
	uint64_t offset_bytes; /* of the first byte that differs; UINT64_MAX: not known, why: */
	char why[256];
};

/* The first byte in the bad range that differs from the image. beat: called at least every 100 ms
 * while it goes on. */
void first_difference_find(const struct read_back *back, const struct image_stream *stream,
			   const struct read_back_bad *bad, void (*beat)(void *arg), void *arg,
			   struct first_difference *difference);

#endif

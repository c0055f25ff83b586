/* SPDX-License-Identifier: MIT */
/* job/job_internal.h - what the public operations share among themselves. */
#ifndef JOB_JOB_INTERNAL_H
#define JOB_JOB_INTERNAL_H

#include "base/error.h"

#include <bmap/verify.h>

/* bmap_verify() for what can only be read in order (compressed images, pipes): the flash pipeline
 * with no targets. Loads the map itself, as bmap_verify() does. */
bool verify_stream(const struct bmap_verify_options *options, struct bmap_verify_result *result,
		   struct bmap_error *err);

/* The memory limit of a job: options' own, or the default. */
uint64_t job_memory_bytes(uint64_t asked_bytes);

#endif

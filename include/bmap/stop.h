/* SPDX-License-Identifier: MIT */
/* stop.h - asks running jobs to end.
 *
 * A request is never taken back: every job that was given this object, and every later one, ends
 * with BMAP_ERR_INTERRUPTED as soon as what is in flight has ended.
 * Threads:   bmap_stop_request() from any thread and from signal handlers (async-signal-safe).
 * Ownership: the creator frees it after all jobs that were given it have returned. */
#ifndef BMAP_STOP_H
#define BMAP_STOP_H

#include <bmap/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bmap_stop;

/* Returns NULL, with err filled, if the system has no descriptor or memory left. */
BMAP_API struct bmap_stop *bmap_stop_new(struct bmap_error *err);
BMAP_API void bmap_stop_request(struct bmap_stop *stop);
BMAP_API bool bmap_stop_requested(const struct bmap_stop *stop); /* false for NULL */
BMAP_API void bmap_stop_free(struct bmap_stop *stop); /* accepts NULL */

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/* base/stop.h - the inside of struct bmap_stop: a descriptor that stays readable once a stop was
 * requested (nobody drains it), so that any number of threads can poll it beside their own. */
#ifndef BASE_STOP_H
#define BASE_STOP_H

#include <bmap/stop.h>

/* For poll(2) with POLLIN; -1 for NULL, which poll ignores. */
int stop_fd(const struct bmap_stop *stop);

#endif

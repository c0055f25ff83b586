/* SPDX-License-Identifier: MIT */
/* Takes the place of uring.c in a build without liburing. */
#include "io/engine.h"

struct io_engine *uring_open(unsigned depth, struct bmap_error *err)
{
	(void)depth;
	bmap_error_set(err, BMAP_ERR_UNSUPPORTED, "this program was built without io_uring");
	return NULL;
}

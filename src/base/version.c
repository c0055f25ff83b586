/* SPDX-License-Identifier: MIT */
#include <bmap/bmap.h>

const char *bmap_version(void)
{
	return BMAP_VERSION;
}

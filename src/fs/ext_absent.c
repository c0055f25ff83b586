/* SPDX-License-Identifier: MIT */
#include "fs/fs_internal.h"

enum fs_verdict ext_used(const struct fs_volume *volume, struct used_spans *spans,
			 char why[FS_WHY_BYTES], struct bmap_error *err)
{
	(void)volume, (void)spans, (void)err;
	return fs_whole(why, "needs libext2fs, which this build does not have");
}

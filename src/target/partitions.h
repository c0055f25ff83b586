/* SPDX-License-Identifier: MIT */
/* target/partitions.h - tells the kernel that a disk's partition table is a new one. */
#ifndef TARGET_PARTITIONS_H
#define TARGET_PARTITIONS_H

#include "base/log.h"

#include <sys/types.h>

/* BLKRRPART on fd, a whole disk. A partition is left alone. Never a failure: waits up to 5 s while
 * somebody has a partition open, then says at info level that the old ones are still shown. */
void partitions_reread(int fd, dev_t device, const char *name, const struct bmap_log *log);

#endif

/* SPDX-License-Identifier: MIT */
/* target/target_internal.h - the kinds of target. Contracts as in target.h; open functions get a
 * target with name and "no descriptor" filled in, and leave closing after a failure to target.c.
 * st is what stat(2) says of the name. */
#ifndef TARGET_TARGET_INTERNAL_H
#define TARGET_TARGET_INTERNAL_H

#include "target/target.h"

#include <sys/stat.h>

#define TARGET_MAX_REQUEST_BYTES (1024u * 1024u) /* larger ones are split or punted by kernels */
#define TARGET_NO_QUEUE_TAGS 65536u
#define TARGET_MAX_ALIGN_BYTES 4096u /* what positions in the ring are aligned to */

/* Can requests keep to an alignment that the system names? */
bool target_align_usable(uint32_t align_bytes);

bool block_device_open(struct target *target, const struct target_rules *rules,
		       const struct bmap_log *log, struct bmap_error *err);
bool block_device_begin(struct target *target, const struct bmap_log *log, struct bmap_error *err);
void block_device_end(struct target *target, bool good, const struct bmap_log *log);

/* st is NULL: the file does not exist. */
bool regular_file_open(struct target *target, const struct stat *st,
		       const struct target_rules *rules, const struct bmap_log *log,
		       struct bmap_error *err);
bool regular_file_begin(struct target *target, uint64_t image_size_bytes,
			const struct bmap_log *log, struct bmap_error *err);
bool regular_file_end(struct target *target, bool good, uint64_t size_bytes,
		      struct bmap_error *err);

bool character_device_open(struct target *target, struct bmap_error *err);

#endif

/* SPDX-License-Identifier: MIT */
#include "target/target_internal.h"

#include <fcntl.h>

/* /dev/null above all: written plainly, with nothing to flush, to measure or to protect. */
bool character_device_open(struct target *target, struct bmap_error *err)
{
	target->kind = TARGET_CHARACTER_DEVICE;
	target->fd = open(target->name, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	return target->fd >= 0 ||
	       bmap_error_errno(err, "%s: cannot open for writing", target->name);
}

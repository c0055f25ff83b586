/* SPDX-License-Identifier: MIT */
/* target/mounts.h - what is mounted where. Threads: any. */
#ifndef TARGET_MOUNTS_H
#define TARGET_MOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

#define MOUNTINFO "/proc/self/mountinfo"

/* Calls visit for each file system that is mounted from a block device, until it returns false.
 * mount_point is free of control characters, which stay "\012" as the kernel writes them. A file
 * that cannot be read has none. */
typedef bool mounts_visit(void *user, dev_t device, const char *mount_point);
void mounts_each(const char *mountinfo, mounts_visit *visit, void *user);

/* "\040" to the character. spaces_only: others stay as they are, so that no newline or escape
 * sequence in a name reaches a terminal. */
void mounts_unescape(char *text, bool spaces_only);

#endif

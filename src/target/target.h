/* SPDX-License-Identifier: MIT */
/* target/target.h - something to be written: opened, checked against every safety rule, measured.
 *
 * Order: target_open() (checks only, changes nothing) for all targets, then target_begin() (the
 *        first change: truncates a regular file to image_size_bytes, takes the flock), then the
 *        write stage writes through fd, then target_end(), also after a target_begin() that failed.
 * Threads: opened, begun and ended by the job's thread; in between the write stage's. */
#ifndef TARGET_TARGET_H
#define TARGET_TARGET_H

#include "base/error.h"
#include "base/log.h"

#include <stddef.h>
#include <sys/types.h>

enum target_kind { TARGET_BLOCK_DEVICE, TARGET_REGULAR_FILE, TARGET_CHARACTER_DEVICE };

struct target {
	char *name; /* as named by the user */
	enum target_kind kind;
	/* The rest of this part is complete after target_open() for devices; for regular files fd,
	 * buffered_fd, direct and the alignments are set by target_begin(). */
	int fd; /* O_DIRECT if direct; else buffered */
	int buffered_fd; /* a second descriptor without O_DIRECT, for the tail of a regular file
			    that does not end on align_bytes; -1 if not needed */
	bool direct; /* O_DIRECT is in use; else said once at info level, with the reason */
	size_t align_bytes; /* offsets and lengths of requests on fd: logical block size, or the
			       file system's dio offset alignment; 1 if not direct */
	size_t memory_align_bytes; /* of the memory of requests: at most 4096 */
	bool has_size; /* size_bytes is a limit: block devices */
	uint64_t size_bytes;
	bool withhold_head; /* block devices: the head is zeroed first and written last */
	bool needs_flush; /* block devices, regular files */
	size_t max_request_bytes; /* at most 1 MiB: min(1 MiB, max_sectors_kb), multiple of align */
	size_t tag_bytes; /* a request of n bytes costs ceil(n / tag_bytes) tags: max_sectors_kb */
	unsigned queue_tags; /* nr_requests; a large number where there is no queue */
	bool rotational, removable; /* as sysfs says */
	/* The write stage's, from one pass over the image to the next: the head's mapped bytes are
	 * zeros on the medium. */
	bool head_zeroed;
	/* src/target's own: */
	bool created; /* a regular file that this run made: removed on failure */
	bool begun;
	bool size_pending; /* a regular file whose size target_end() sets */
	char *real_path; /* of a regular file that did not exist: free of links; else NULL */
	int whole_disk_fd; /* holds the flock, -1 */
	dev_t device; /* st_rdev of a block device */
	dev_t whole_disk; /* of its whole disk */
};

struct target_rules {
	uint64_t image_size_bytes; /* UINT64_MAX if not known */
	bool removable_only; /* refuse everything but removable block devices */
	bool allow_dev_files; /* regular files under /dev */
	/* Files that must not be written: the image and its bmap (paths; NULL allowed). A target
	 * that is one of them, by any name or through a loop device, partition, dm or md stack, is
	 * refused. */
	const char *const *sources;
	size_t source_count;
};

/* False: refused or failed, the message says why and what to do; nothing was changed (a regular
 * file that did not exist was not created either: creation happens in target_begin()). */
bool target_open(struct target *target, const char *path, const struct target_rules *rules,
		 const struct bmap_log *log, struct bmap_error *err);
/* Truncates a regular file to 0 and then to image_size_bytes (not if UINT64_MAX), creates it if it
 * did not exist; takes flock(LOCK_EX) of a block device's whole disk. */
bool target_begin(struct target *target, uint64_t image_size_bytes, const struct bmap_log *log,
		  struct bmap_error *err);
/* After the last completion. good: the flash is complete; size_bytes is then the final size of a
 * regular file whose size was not known before. Block devices: BLKRRPART (EBUSY retried for 5 s;
 * failing is an info line, not for partitions), lock released. Not good: a created regular file is
 * removed, an existing one truncated to 0. Closes everything. Idempotent; also right after
 * target_open(). False only if good and the last step of a regular file failed. */
bool target_end(struct target *target, bool good, uint64_t size_bytes, const struct bmap_log *log,
		struct bmap_error *err);
/* Instead of target_end() for a target with requests that never ended: closes nothing that the
 * kernel may still use, and touches neither device nor file, which could wait for ever. The disk
 * stays locked until the process ends. */
void target_abandon(struct target *target);
/* Do both write to the same disk or file (by number, whatever the names; partitions of one disk,
 * and what device mapper, RAID or loop devices stand on, included)? */
bool target_same_device(const struct target *a, const struct target *b);

#endif

/* SPDX-License-Identifier: MIT */
/* cli/copy.h - what the files of the copy command share.
 *
 * cmd_copy.c     its options, and the job
 * copy_watch.c   how far it is: terminal, psplash, and what a second signal prints
 * copy_result.c  what is said at its end
 * Threads: the main one. */
#ifndef CLI_COPY_H
#define CLI_COPY_H

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/psplash.h"

struct copy_args {
	struct common_args common;
	const char *image;
	struct text_list dests;
	const char *bmap;
	const char *member;
	bool no_bmap, no_verify, removable_only, allow_dev_files;
	struct signature_args signature;
	const char *psplash_pipe;
	uint64_t memory_bytes;
	unsigned queue_depth, workers, stall_seconds;
};

struct copy_watch {
	struct progress progress;
	struct psplash psplash;
};

/* psplash_pipe: NULL, none. Everything is borrowed until copy_watch_end(). */
void copy_watch_begin(struct copy_watch *watch, struct output *out, const char *psplash_pipe,
		      const char *const *targets, size_t target_count);
/* The progress callback; user is the struct copy_watch. */
void copy_watch_report(void *watch, const struct bmap_flash_progress *report);
void copy_watch_end(struct copy_watch *watch, bool success);

/* err: the job's, NULL: none, it was a success. Returns the exit code. */
int copy_say_result(struct run *run, const struct bmap_flash_result *result,
		    const struct bmap_error *err);

#endif

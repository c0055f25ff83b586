/* SPDX-License-Identifier: MIT */
/* cli/copy.h - what the files of the copy command share.
 *
 * cmd_copy.c     its options, and the job
 * copy_targets.c which targets are meant
 * copy_watch.c   how far it is: terminal, psplash, and what a second signal prints
 * copy_result.c  what is said at its end
 * target_table.c of that, the table of several targets
 * copy_eject.c   lets go of the devices that were written
 * copy_record.c  events and report, for programs
 * Threads: the main one. */
#ifndef CLI_COPY_H
#define CLI_COPY_H

#include "cli/command.h"
#include "cli/copy_record.h"
#include "cli/progress.h"
#include "cli/psplash.h"
#include "cli/speed.h"
#include "cli/tray.h"

struct copy_args {
	struct common_args common;
	const char *image;
	struct text_list dests;
	const char *targets_from;
	struct text_list targets_by; /* kind and pattern in turn */
	const char *expect_size, *expect_model;
	unsigned expect_count;
	const char *bmap;
	const char *member;
	bool no_bmap, no_verify, removable_only, allow_dev_files, eject;
	bool read_back, no_read_back; /* neither: as the library does */
	struct signature_args signature;
	const char *psplash_pipe;
	struct record_args record;
	uint64_t memory_bytes;
	unsigned queue_depth, workers, stall_seconds;
	unsigned straggler; /* an enum bmap_straggler */
};

#define COPY_MAX_TARGETS 1024u

struct copy_targets {
	const char **names; /* point into the arguments, and into what follows */
	size_t count;
	char *text; /* of --targets-from */
	char **matched; /* by --target-by */
	size_t matched_count;
};

/* False: kind is none that --target-by knows. */
bool copy_target_kind(const char *kind, enum bmap_device_name *name);
/* Those of the arguments, of --targets-from and of --target-by, in this order. free them also after
 * a failure. */
bool copy_targets_collect(struct copy_targets *targets, const struct copy_args *args,
			  const struct bmap_stop *stop, struct bmap_error *err);
void copy_targets_free(struct copy_targets *targets);

/* How fast a target is in its step. */
struct target_meter {
	enum bmap_target_state state;
	unsigned pass;
	uint64_t since_ns; /* it is in this state */
	struct speed speed;
	bool said_failed;
};

struct copy_watch {
	struct output *out;
	struct progress progress; /* of several: all as one */
	struct psplash psplash;
	/* Of several, NULL of one: */
	struct tray_view view;
	struct tray_line *lines;
	struct target_meter *meters;
	char *text;
	uint64_t said_ns; /* the last plain line, where there is no terminal */
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

/* Those that are done. One that cannot be ejected is said and makes the exit code a failure's; the
 * others are ejected all the same. *first: the first that failed, code NONE: none. */
int copy_eject(struct run *run, const struct bmap_flash_result *result, int code,
	       struct bmap_error *first);

/* What the target's error says behind its name; NULL: it has none, or one of something else, which
 * does not begin with the name. */
const char *target_own_reason(const struct bmap_target_report *target);
/* A line for each target: verdict, where it failed, time, speed, pass, and why. Those that failed
 * are ERROR lines. One with the text of job_error (may be NULL) leaves its reason to the line
 * after. */
void target_table_print(struct output *out, const struct bmap_flash_result *result,
			const struct bmap_error *job_error);

#endif

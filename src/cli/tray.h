/* SPDX-License-Identifier: MIT */
/* cli/tray.h - how several targets look on a terminal: a line each, and one about all.
 *
 *   /dev/sdb   42% [#######.........]   48.1 MiB/s  writing, 0:21 left
 *   /dev/sdc  100% [################]   51.0 MiB/s  flushing 0:03
 *   bmaptool: info: 71% copied, 1 writing, 1 flushing, 99.1 MiB/s, 0:21 left
 *
 * Pure functions: what is measured comes from copy_watch.c. Threads: any. */
#ifndef CLI_TRAY_H
#define CLI_TRAY_H

#include "cli/output.h"

#include <bmap/flash.h>

#define TRAY_NOT_KNOWN UINT64_MAX
#define TRAY_SUMMARY_ROOM (OUTPUT_MAX_COLUMNS + 1)

struct tray_line {
	const char *name;
	enum bmap_target_state state;
	unsigned pass;
	uint64_t done_bytes; /* of the step it is in: written, or read back */
	uint64_t bytes_per_s; /* of that step, now */
	uint64_t left_s; /* of that step, or TRAY_NOT_KNOWN */
	uint64_t state_ns; /* for how long it has been in this state; of one that is DONE: in all */
	const char *reason; /* of one that failed; may be NULL */
};

struct tray_view {
	const struct tray_line *lines;
	size_t count;
	uint64_t total_bytes; /* of each target; 0: not known */
	unsigned percent; /* of all together, if total_bytes is known */
	uint64_t done_bytes; /* of all together */
	uint64_t bytes_per_s;
};

/* Bytes that tray_render() needs for so many targets. */
size_t tray_room(size_t count);
/* The whole block with newlines between its lines. False if the terminal is too narrow or too low
 * for it: then show the summary alone. */
bool tray_render(char *out, struct output_size size, const struct tray_view *view);
/* The line about all, for so many columns: "bmaptool: info: 42% copied, ...". What matters least
 * goes first. */
void tray_summary(char out[TRAY_SUMMARY_ROOM], unsigned columns, const struct tray_view *view);

#endif

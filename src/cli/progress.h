/* SPDX-License-Identifier: MIT */
/* cli/progress.h - turns what a job reports into the line on the terminal, the numbers for psplash,
 * and the sentence that a second signal prints.
 *
 * Threads: all from the thread that the job's progress callback runs on, one at a time. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/output.h"
#include "cli/psplash.h"
#include "cli/speed.h"

#include <stdint.h>

/* What one line shows. */
struct progress_view {
	const char *verb; /* "copied" */
	uint64_t done_bytes;
	uint64_t total_bytes; /* 0: not known, bytes are shown instead of a percentage */
	uint64_t source_read_bytes, source_total_bytes; /* shown where total_bytes is not known */
	uint64_t now_bytes_per_s, average_bytes_per_s;
	bool finished; /* no time left is shown */
	bool flushing; /* the device empties its cache; all bytes were handed to it */
	uint64_t flushing_ns; /* for how long so far */
	bool reading_back; /* what was written is read and compared: speeds and bar are of that */
	uint64_t read_back_bytes; /* of done_bytes */
};

#define PROGRESS_PREFIX "bmaptool: info: "

/* Writes the line for a terminal of that width (one column stays free: a full line wraps on some)
 * to out, at least OUTPUT_MAX_COLUMNS + 1 bytes. What matters most is first and stays longest:
 * "bmaptool: info: 42% copied", then speed, time left, bar, average. */
void progress_render(char *out, unsigned columns, const struct progress_view *view);

struct progress {
	struct output *out; /* constant, as is verb */
	struct psplash *psplash; /* NULL: none */
	struct progress_view view; /* the last one */
	uint64_t start_ns, flush_start_ns, read_back_start_ns; /* 0: not begun */
	uint64_t written_per_s; /* the average before it was read back */
	bool reported; /* there is something to show at the end */
	struct speed speed;
};

struct progress_facts {
	uint64_t done_bytes, total_bytes; /* total 0: not known */
	uint64_t source_read_bytes, source_total_bytes; /* total 0: not known */
	uint64_t read_back_bytes;
	bool flushing, reading_back;
};

void progress_init(struct progress *p, struct output *out, const char *verb);
/* Optional: the job begins now, and speeds are counted from here. Else from the first report, which
 * is right only for jobs that report before they have done anything. */
void progress_begin(struct progress *p, uint64_t now_ns);
/* A report. now_ns: CLOCK_MONOTONIC. */
void progress_update(struct progress *p, uint64_t now_ns, uint64_t done_bytes,
		     uint64_t total_bytes);
/* The same where there is more to tell than that. */
void progress_show(struct progress *p, uint64_t now_ns, const struct progress_facts *facts);
/* The same, but for drawing: that is the caller's. */
void progress_note(struct progress *p, uint64_t now_ns, const struct progress_facts *facts);
/* All is done, as the view says after it; that too is drawn by the caller. */
void progress_finish(struct progress *p);
/* The job ended. If it was a success the line shows 100 %. */
void progress_end(struct progress *p, bool success);

uint64_t monotonic_ns(void);

#endif

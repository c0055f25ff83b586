/* SPDX-License-Identifier: MIT */
/* cli/psplash.h - tells a boot splash screen how far the copy is: "PROGRESS n\n" lines in a fifo.
 *
 * It is decoration: it never waits, never fails the job, and says at most one line if it cannot.
 * A reader may come and go at any time. SIGPIPE has to be ignored by the program.
 * Threads: one. */
#ifndef CLI_PSPLASH_H
#define CLI_PSPLASH_H

#include "cli/output.h"

struct psplash {
	const char *path; /* borrowed; NULL: not a fifo, given up */
	int fd; /* -1: nobody reads at the moment */
	unsigned last_percent; /* that was written; 101: none was */
};

/* Warns on out if path is not a fifo. */
void psplash_open(struct psplash *psplash, const char *path, struct output *out);
/* Nothing if this percentage was written already; one that finds the fifo full is left out. */
void psplash_send(struct psplash *psplash, unsigned percent);
void psplash_close(struct psplash *psplash);

#endif

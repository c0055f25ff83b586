/* SPDX-License-Identifier: MIT */
/* job/run_program.h - runs another program to its end, without a shell, and keeps what it writes.
 *
 * Threads:   blocks; any thread, several at once.
 * Ownership: all memory and descriptors are the caller's; the child is always reaped.
 * Ends:      with the program, with a stop, or when it writes more than there is room for: then it
 * is killed, with whatever it started in its process group. There is no time limit. */
#ifndef JOB_RUN_PROGRAM_H
#define JOB_RUN_PROGRAM_H

#include "base/error.h"
#include "base/stop.h"

#include <stddef.h>

/* Descriptors of the program, beside 0 to 2. */
#define PROGRAM_STATUS_FD 3
#define PROGRAM_EXTRA_FD 4

struct program_stream {
	char *bytes; /* NULL, with room 0: nobody wants it */
	size_t room, len;
	bool cut; /* what does not fit is dropped; else it is an error */
};

struct program_run {
	/* The first is looked for in PATH. Runs with LC_ALL=C and default signals. Beside the
	 * descriptors named here it gets what the caller left open without O_CLOEXEC. */
	const char *const *argv;
	int input_fd; /* becomes its standard input */
	int extra_fd; /* becomes PROGRAM_EXTRA_FD; -1: none */
	struct program_stream output, errors, status; /* its 1, 2 and PROGRAM_STATUS_FD */
	const struct bmap_stop *stop;
	int exit_status; /* out: 0 to 255; 128 + signal */
};

/* False if it could not be run to its end: code INTERRUPTED, or NOT_FOUND if it is not installed.
 */
bool run_program(struct program_run *run, struct bmap_error *err);

#endif

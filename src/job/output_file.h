/* SPDX-License-Identifier: MIT */
/* job/output_file.h - a file that appears whole or not at all.
 *
 * A regular file is written under another name beside its place, and gets its own when it is
 * complete and on the disk; links are followed, a file that is replaced keeps its permissions. What
 * cannot be renamed (standard output, pipes, character devices) is written as it comes. Block
 * devices are refused.
 *
 * Threads: one at a time. */
#ifndef JOB_OUTPUT_FILE_H
#define JOB_OUTPUT_FILE_H

#include "base/error.h"
#include "base/stop.h"

#include <stddef.h>

struct output_file {
	const char *name; /* for messages; borrowed */
	const char *what; /* it is: "the bmap"; for messages */
	const struct bmap_stop *stop; /* ends the wait for a pipe's reader; may be NULL */
	int fd;
	bool is_stdout; /* fd is not ours */
	char *path, *temporary; /* of a regular file: its place, and where it is until then */
	unsigned mode; /* of the file that it replaces */
	bool keep_mode;
};

/* path NULL: standard output. On failure nothing is left to discard. */
bool output_file_open(struct output_file *out, const char *path, const char *what,
		      const struct bmap_stop *stop, struct bmap_error *err);
/* Would it open? Leaves everything as it is. What would wait for a reader is not tried. */
bool output_file_check(const char *path, const char *what, struct bmap_error *err);
/* All of data. Code INTERRUPTED after a stop. */
bool output_file_write(struct output_file *out, const void *data, size_t len,
		       struct bmap_error *err);
/* Gives a regular file its permissions and brings it to the disk; only its name is to come. For
 * those who have something else to do before that: commit does it too. */
bool output_file_finish(struct output_file *out, struct bmap_error *err);
/* The file is there under its name. After a failure discard it. */
bool output_file_commit(struct output_file *out, struct bmap_error *err);
/* Leaves nothing behind but what was committed or went through a pipe. Always the last call. */
void output_file_discard(struct output_file *out);

#endif

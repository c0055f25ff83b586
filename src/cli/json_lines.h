/* SPDX-License-Identifier: MIT */
/* cli/json_lines.h - JSON objects, one a line, to a reader that may be slow or gone: the job goes
 * on all the same.
 *
 * Lines wait in memory while the reader is slow. What cannot be written is said once, as a warning,
 * and from then on nothing is. A line of up to PIPE_BUF bytes goes out in one system call.
 * Threads: one at a time. SIGPIPE is ignored by the program. */
#ifndef CLI_JSON_LINES_H
#define CLI_JSON_LINES_H

#include "cli/output.h"

#include <bmap/stop.h>

#include <jansson.h>

struct json_lines {
	int fd; /* constant, as are the next two; borrowed */
	struct output *out;
	const struct bmap_stop *stop; /* may be NULL */
	char *waiting; /* whole lines, but for the first, whose beginning may be written */
	size_t len, room;
	bool broken;
};

void json_lines_begin(struct json_lines *lines, int fd, struct output *out,
		      const struct bmap_stop *stop);
/* value is taken; NULL: there was no memory for it. passing: may be left out while others wait. */
void json_lines_put(struct json_lines *lines, json_t *value, bool passing);
/* Writes what waits, as far as the reader takes it now: from time to time. */
void json_lines_flush(struct json_lines *lines);
/* Waits for the reader; after a stop request for two seconds only. */
void json_lines_end(struct json_lines *lines);

#endif

/* SPDX-License-Identifier: MIT */
/* cli/output.h - the lines on standard error, and the one line below them that is drawn again and
 * again on a terminal.
 *
 *   bmaptool: info: ...     bmaptool: WARNING: ...     bmaptool: ERROR: ...     bmaptool: debug:
 * ...
 *
 * Each line goes out in one system call, with whatever erases the progress line before it and draws
 * it again behind it. Control characters in a message (file names may hold any) become '?'.
 *
 * Threads: output_message() and output_log() from any; the rest from the main thread.
 * Errors:  what cannot be written to standard error is dropped: there is nobody to tell. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <bmap/log.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* What erases the line that the cursor is on. */
#define OUTPUT_ERASE "\r\x1b[K"
#define OUTPUT_MAX_COLUMNS 400

struct output {
	int fd; /* constant, as are the next four */
	enum bmap_log_level level; /* nothing less important is shown */
	bool color;
	bool live; /* a progress line may be drawn */
	struct bmap_log log; /* for the library: calls output_log() */
	pthread_mutex_t lock; /* for what follows, and for the order on fd */
	char line[OUTPUT_MAX_COLUMNS + 1]; /* the progress line; "": none is shown */
	size_t line_len;
};

/* quiet: only warnings and errors. A progress line needs both standard output and standard error
 * to be a terminal (where output goes to a file, so does a script's attention), and neither quiet
 * nor debug. */
void output_init(struct output *out, bool quiet, bool debug);

void output_log(void *output, enum bmap_log_level level, const char *text);
void output_message(struct output *out, enum bmap_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define output_error(out, ...) output_message(out, BMAP_LOG_ERROR, __VA_ARGS__)
#define output_warning(out, ...) output_message(out, BMAP_LOG_WARNING, __VA_ARGS__)
#define output_info(out, ...) output_message(out, BMAP_LOG_INFO, __VA_ARGS__)
#define output_debug(out, ...) output_message(out, BMAP_LOG_DEBUG, __VA_ARGS__)

/* Width of the terminal now: asked each time, so that no signal has to tell of a new one. */
unsigned output_columns(const struct output *out);
/* Draws text (no control characters, fitting the width) in the place of the line before. */
void output_draw(struct output *out, const char *text);
/* Ends the line: it stays as it is, the cursor moves on. Nothing if none is shown. */
void output_end_line(struct output *out);

#endif

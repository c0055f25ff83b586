/* SPDX-License-Identifier: MIT */
/* cli/output.h - the lines on standard error, and below them the line or block of lines that is
 * drawn again and again on a terminal.
 *
 *   bmaptool: info: ...     bmaptool: WARNING: ...     bmaptool: ERROR: ...     bmaptool: debug:
 * ...
 *
 * Each line goes out in one system call, with whatever erases the progress before it and draws it
 * again behind it. Control characters in a message (file names may hold any) become '?'.
 *
 * Threads: output_message() and output_log() from any; the rest from the main thread, but for
 *          output_from_signal().
 * Errors:  what cannot be written to standard error is dropped: there is nobody to tell. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <bmap/log.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What erases the line that the cursor is on. */
#define OUTPUT_ERASE "\r\x1b[K"
#define OUTPUT_MAX_COLUMNS 400

struct output {
	int fd; /* constant, as are the next five */
	enum bmap_log_level level; /* nothing less important is shown */
	bool color;
	bool live; /* progress may be drawn */
	bool events; /* progress is told to a program: not to people, too */
	struct bmap_log log; /* for the library: calls output_log() */
	pthread_mutex_t lock; /* for what follows, and for the order on fd */
	char *block; /* the progress, as it is drawn: lines with what ends them between; malloc'ed
		      */
	size_t block_len, block_room; /* len 0: none is shown */
	unsigned block_rows;
	unsigned drawn_columns; /* width of the terminal then */
	/* Rows of it that are on the screen, the cursor in the last of them; 0: none, the cursor is
	 * where it can begin. A signal handler takes them back. */
	atomic_uint rows;
};

/* quiet: only warnings and errors. Progress needs both standard output and standard error
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

/* What was printed on standard output goes out. False, and said, if it cannot: a full disk must not
 * pass for a result. */
bool output_flush_stdout(struct output *out);

/* Size of the terminal now: asked each time, so that no signal has to tell of a new one. */
struct output_size {
	unsigned columns; /* at most OUTPUT_MAX_COLUMNS */
	unsigned rows;
};
struct output_size output_size(const struct output *out);
/* Draws text in the place of what was drawn before: one line, or several with newlines between
 * them, no other control characters, fitting the terminal. What was drawn for another width is left
 * above, as nobody knows how many lines the terminal made of it. */
void output_draw(struct output *out, const char *text);
/* Ends it: it stays as it is, the cursor moves on. Nothing if nothing is shown. */
void output_end_line(struct output *out);
/* For signal handlers: text in the place of what is drawn, which comes back when it is drawn next.
 */
void output_from_signal(struct output *out, const char *text, size_t len);

#endif

/* SPDX-License-Identifier: MIT */
#include "cli/output.h"
#include "cli/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define MESSAGE_ROOM 8192 /* two paths of PATH_MAX do not fit, but what was to be said does */

#define BACK_ROOM 40
#define ERASE_REST "\x1b[K"
#define ERASE_BELOW "\x1b[J"
#define END_OF_LINE ERASE_REST "\n"

static size_t compose_back(char back[BACK_ROOM], struct output *out, bool erase);
static void show(struct output *out);
static void write_whole(int fd, struct iovec *iov, int count);

static bool terminal_has_colors(int fd)
{
	const char *term = getenv("TERM");
	const char *no_color = getenv("NO_COLOR");

	return isatty(fd) && (!no_color || !*no_color) && term && strcmp(term, "dumb") != 0;
}

void output_init(struct output *out, bool quiet, bool debug)
{
	*out = (struct output){
		.fd = STDERR_FILENO,
		.level = quiet   ? BMAP_LOG_WARNING
			 : debug ? BMAP_LOG_DEBUG
				 : BMAP_LOG_INFO,
		.color = terminal_has_colors(STDERR_FILENO),
		.live = !quiet && !debug && isatty(STDERR_FILENO) && isatty(STDOUT_FILENO),
	};
	out->log = (struct bmap_log){ .message = output_log, .user = out };
	pthread_mutex_init(&out->lock, NULL);
}

static struct iovec piece(const char *text, size_t len)
{
	return (struct iovec){ .iov_base = (void *)(text ? text : ""), .iov_len = len };
}

static const char *prefix_of(const struct output *out, enum bmap_log_level level)
{
	switch (level) {
	case BMAP_LOG_ERROR:
		return out->color ? "bmaptool: \x1b[91mERROR\x1b[0m: " : "bmaptool: ERROR: ";
	case BMAP_LOG_WARNING:
		return out->color ? "bmaptool: \x1b[93mWARNING\x1b[0m: " : "bmaptool: WARNING: ";
	case BMAP_LOG_INFO:
		return "bmaptool: info: ";
	case BMAP_LOG_DEBUG:
		break;
	}
	return "bmaptool: debug: ";
}

/* A signal's text takes the block's place (output_from_signal()): not while it is being drawn, when
 * nobody knows where the cursor is. Signals come to the main thread only, which draws. Without a
 * block they are let in: a pipe that nobody reads must not hold them up. */
static void lock(struct output *out, sigset_t *before)
{
	sigset_t all;

	if (out->live) {
		sigfillset(&all);
		pthread_sigmask(SIG_BLOCK, &all, before);
	}
	pthread_mutex_lock(&out->lock);
}

static void unlock(struct output *out, const sigset_t *before)
{
	pthread_mutex_unlock(&out->lock);
	if (out->live)
		pthread_sigmask(SIG_SETMASK, before, NULL);
}

void output_log(void *output, enum bmap_log_level level, const char *text)
{
	struct output *out = output;
	const char *prefix = prefix_of(out, level);
	char line[MESSAGE_ROOM], back[BACK_ROOM];
	sigset_t signals;
	size_t len;

	if (level > out->level)
		return;
	len = text_clean(line, sizeof(line) - 1, text);
	line[len++] = '\n';
	lock(out, &signals);
	struct iovec iov[] = {
		piece(back, compose_back(back, out, true)),
		piece(prefix, strlen(prefix)),
		piece(line, len),
		piece(out->block, out->block_len),
	};
	write_whole(out->fd, iov, 4);
	show(out);
	unlock(out, &signals);
}

void output_message(struct output *out, enum bmap_log_level level, const char *fmt, ...)
{
	char text[MESSAGE_ROOM];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	output_log(out, level, text);
}

bool output_flush_stdout(struct output *out)
{
	if (!fflush(stdout) && !ferror(stdout))
		return true;
	output_error(out, "cannot write to standard output: %s", strerror(errno));
	return false;
}

struct output_size output_size(const struct output *out)
{
	struct output_size size = { 80, 24 };
	struct winsize w;

	if (ioctl(out->fd, TIOCGWINSZ, &w))
		return size;
	if (w.ws_col)
		size.columns = w.ws_col < OUTPUT_MAX_COLUMNS ? w.ws_col : OUTPUT_MAX_COLUMNS;
	if (w.ws_row)
		size.rows = w.ws_row;
	return size;
}

/* What brings the cursor to where the block begins, and, with erase, leaves nothing of it. Called
 * by a signal handler too, so without snprintf(). */
static size_t compose_up(char out[BACK_ROOM], unsigned rows, bool erase)
{
	char digits[12];
	size_t len = 0, count = 0;

	out[len++] = '\r';
	for (unsigned n = rows - 1; n; n /= 10)
		digits[count++] = (char)('0' + n % 10);
	if (count) {
		out[len++] = '\x1b';
		out[len++] = '[';
		while (count)
			out[len++] = digits[--count];
		out[len++] = 'A';
	}
	if (erase) {
		memcpy(out + len, rows > 1 ? ERASE_BELOW : ERASE_REST, 3);
		len += 3;
	}
	return len;
}

/* The same for what is on the screen now, which then counts as gone. */
static size_t compose_back(char back[BACK_ROOM], struct output *out, bool erase)
{
	unsigned rows = atomic_exchange(&out->rows, 0);

	/* A terminal of another width may have wrapped the lines, or not. */
	if (rows > 1 && output_size(out).columns != out->drawn_columns)
		return (size_t)snprintf(back, BACK_ROOM, "\r\n");
	return rows ? compose_up(back, rows, erase) : 0;
}

static void show(struct output *out)
{
	if (out->block_len)
		atomic_store(&out->rows, out->block_rows);
}

static bool reserve_block(struct output *out, size_t room)
{
	char *block;

	if (room <= out->block_room)
		return true;
	block = realloc(out->block, room);
	if (!block)
		return false;
	out->block = block;
	out->block_room = room;
	return true;
}

/* Lines are erased behind their text, not before it: that would flicker. */
static bool set_block(struct output *out, const char *text)
{
	size_t rest = strlen(text);

	out->block_len = 0;
	out->block_rows = 0;
	while (rest) {
		size_t len = strcspn(text, "\n");
		size_t shown = len < OUTPUT_MAX_COLUMNS ? len : OUTPUT_MAX_COLUMNS;

		if (!reserve_block(out, out->block_len + shown + sizeof(END_OF_LINE)))
			return false;
		if (out->block_rows++) {
			memcpy(out->block + out->block_len, END_OF_LINE, strlen(END_OF_LINE));
			out->block_len += strlen(END_OF_LINE);
		}
		memcpy(out->block + out->block_len, text, shown);
		out->block_len += shown;
		text += len + (text[len] != '\0');
		rest = strlen(text);
	}
	return true;
}

void output_draw(struct output *out, const char *text)
{
	char back[BACK_ROOM];
	sigset_t signals;
	unsigned before;
	size_t back_len;

	lock(out, &signals);
	before = atomic_load(&out->rows);
	back_len = compose_back(back, out, false);
	if (!set_block(out, text))
		out->block_len = 0; /* no memory for what is only decoration */
	if (!back_len)
		back_len = compose_up(back, 1, false);
	struct iovec iov[] = {
		piece(back, back_len),
		piece(out->block, out->block_len),
		piece(before > out->block_rows ? ERASE_BELOW : ERASE_REST, 3),
	};
	write_whole(out->fd, iov, 3);
	out->drawn_columns = output_size(out).columns;
	show(out);
	unlock(out, &signals);
}

void output_end_line(struct output *out)
{
	sigset_t signals;

	lock(out, &signals);
	if (atomic_exchange(&out->rows, 0)) {
		struct iovec end = piece("\n", 1);

		write_whole(out->fd, &end, 1);
	}
	free(out->block);
	out->block = NULL;
	out->block_len = out->block_room = 0;
	unlock(out, &signals);
}

void output_from_signal(struct output *out, const char *text, size_t len)
{
	unsigned rows = atomic_exchange(&out->rows, 0);
	char back[BACK_ROOM];
	ssize_t ignored;

	if (out->live) {
		ignored = write(out->fd, back, compose_up(back, rows ? rows : 1, true));
		(void)ignored;
	}
	ignored = write(out->fd, text, len);
	(void)ignored;
}

/* Almost always one writev(2); goes on after a short one, and waits where standard error was made
 * non-blocking by somebody who shares it. */
static void write_whole(int fd, struct iovec *iov, int count)
{
	while (count) {
		ssize_t n = writev(fd, iov, count);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd pfd = { .fd = fd, .events = POLLOUT };

			poll(&pfd, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		while (count && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
}

/* SPDX-License-Identifier: MIT */
#include "cli/output.h"
#include "cli/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define MESSAGE_ROOM 8192 /* two paths of PATH_MAX do not fit, but what was to be said does */

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
	return (struct iovec){ .iov_base = (void *)text, .iov_len = len };
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

void output_log(void *output, enum bmap_log_level level, const char *text)
{
	struct output *out = output;
	const char *prefix = prefix_of(out, level);
	char line[MESSAGE_ROOM];
	size_t len;

	if (level > out->level)
		return;
	len = text_clean(line, sizeof(line) - 1, text);
	line[len++] = '\n';
	pthread_mutex_lock(&out->lock);
	struct iovec iov[] = {
		piece(OUTPUT_ERASE, out->line_len ? strlen(OUTPUT_ERASE) : 0),
		piece(prefix, strlen(prefix)),
		piece(line, len),
		piece(out->line, out->line_len),
	};
	write_whole(out->fd, iov, 4);
	pthread_mutex_unlock(&out->lock);
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

unsigned output_columns(const struct output *out)
{
	struct winsize size;

	if (ioctl(out->fd, TIOCGWINSZ, &size) || size.ws_col == 0)
		return 80;
	return size.ws_col < OUTPUT_MAX_COLUMNS ? size.ws_col : OUTPUT_MAX_COLUMNS;
}

void output_draw(struct output *out, const char *text)
{
	pthread_mutex_lock(&out->lock);
	out->line_len = strnlen(text, sizeof(out->line) - 1);
	memcpy(out->line, text, out->line_len);
	out->line[out->line_len] = '\0';
	struct iovec iov[] = {
		piece("\r", 1),
		piece(out->line, out->line_len),
		/* Erased behind the text, not before it: that would flicker. */
		piece("\x1b[K", 3),
	};
	write_whole(out->fd, iov, 3);
	pthread_mutex_unlock(&out->lock);
}

void output_end_line(struct output *out)
{
	pthread_mutex_lock(&out->lock);
	if (out->line_len) {
		struct iovec end = piece("\n", 1);

		write_whole(out->fd, &end, 1);
	}
	out->line_len = 0;
	pthread_mutex_unlock(&out->lock);
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

/* SPDX-License-Identifier: MIT */
#include "cli/json_lines.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_STEP_MS 100
#define STOPPED_STEPS 20

void json_lines_begin(struct json_lines *lines, int fd, struct output *out,
		      const struct bmap_stop *stop)
{
	*lines = (struct json_lines){ .fd = fd, .out = out, .stop = stop };
}

static void give_up(struct json_lines *lines, const char *why)
{
	lines->broken = true;
	lines->len = 0;
	output_warning(lines->out, "standard output: cannot write events: %s: going on without",
		       why);
}

/* No more than one line, and no more than a pipe that can be written to takes at once. */
static size_t next_piece(const struct json_lines *lines)
{
	const char *end = memchr(lines->waiting, '\n', lines->len);
	size_t len = end ? (size_t)(end + 1 - lines->waiting) : lines->len;

	return len < PIPE_BUF ? len : PIPE_BUF;
}

/* As much as the reader takes within wait_ms. */
static void write_waiting(struct json_lines *lines, int wait_ms)
{
	struct pollfd pfd = { .fd = lines->fd, .events = POLLOUT };

	while (lines->len && !lines->broken) {
		ssize_t n;

		if (poll(&pfd, 1, wait_ms) <= 0)
			return;
		n = write(lines->fd, lines->waiting, next_piece(lines));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n < 0) {
			give_up(lines, strerror(errno));
			return;
		}
		lines->len -= (size_t)n;
		memmove(lines->waiting, lines->waiting + n, lines->len);
	}
}

static bool append(struct json_lines *lines, const char *text)
{
	size_t len = strlen(text);

	if (lines->len + len + 1 > lines->room) {
		size_t room = 2 * (lines->len + len + 1);
		char *grown = realloc(lines->waiting, room);

		if (!grown)
			return false;
		lines->waiting = grown;
		lines->room = room;
	}
	memcpy(lines->waiting + lines->len, text, len);
	lines->len += len;
	lines->waiting[lines->len++] = '\n';
	return true;
}

void json_lines_put(struct json_lines *lines, json_t *value, bool passing)
{
	char *text;

	write_waiting(lines, 0);
	if (lines->broken || (passing && lines->len)) {
		json_decref(value);
		return;
	}
	text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (!text || !append(lines, text))
		give_up(lines, strerror(ENOMEM));
	free(text);
	json_decref(value);
	write_waiting(lines, 0);
}

void json_lines_flush(struct json_lines *lines)
{
	write_waiting(lines, 0);
}

void json_lines_end(struct json_lines *lines)
{
	for (int stopped = 0; lines->len && !lines->broken;) {
		write_waiting(lines, WAIT_STEP_MS);
		stopped += lines->len && bmap_stop_requested(lines->stop);
		if (stopped > STOPPED_STEPS)
			give_up(lines, "nobody reads them");
	}
	free(lines->waiting);
	lines->waiting = NULL;
	lines->room = 0;
}

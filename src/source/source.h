/* SPDX-License-Identifier: MIT */
/* source/source.h - where the bytes of an image come from, compressed or not: a file, block device,
 * pipe, standard input, or a URL (http, https, ftp by libcurl; ssh by the ssh program; file).
 *
 * Threads:   a source belongs to one thread at a time (opened by the job, then handed to the
 *            thread that reads ahead, or to the raw stage); its constant fields may be read by any.
 * Lifetime:  closed after that thread was joined.
 * Stop:      a read that waits (pipe, server) also polls the stop object, and returns -1 with code
 *            INTERRUPTED when it was requested.
 * Network:   a transfer that breaks is taken up again where it broke, several times, each said at
 *            info level. User and password of a URL never appear in names and messages. A program
 *            that opens https: URLs should ignore SIGPIPE: not all of OpenSSL avoids it. */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"

#include <stddef.h>
#include <sys/types.h>

#define SOURCE_HEAD_BYTES (128u * 1024u)

struct source;

struct source_ops {
	/* Next bytes in order: 1..len, 0 at the end, -1 on failure (err filled). Waits. */
	ssize_t (*read)(struct source *source, void *data, size_t len, struct bmap_error *err);
	/* Moves len bytes on without reading them. NULL: cannot seek. */
	bool (*skip)(struct source *source, uint64_t len, struct bmap_error *err);
	/* Exactly len bytes from offset on; reads go on where they were. NULL: cannot. Waits. */
	bool (*read_at)(struct source *source, uint64_t offset, void *data, size_t len,
			struct bmap_error *err);
	/* A hint: behind the next len bytes a skip follows. NULL: of no use. */
	void (*expect)(struct source *source, uint64_t len);
	void (*close)(struct source *source);
};

/* Sees what source_read() gives, on the thread that calls it. Bytes that are read by the descriptor
 * or with source_skip() behind them are not seen: then the end is not said to be whole. */
struct source_tap {
	void (*bytes)(void *arg, const void *data, size_t len);
	/* The source ended. whole: from its first byte on, all of them were seen. */
	void (*end)(void *arg, bool whole);
	void *arg;
};

struct source {
	const struct source_ops *ops;
	char *name; /* as the user wrote it (a URL without user and password), "standard input"
		       for "-"; constant */
	char *file_name; /* of a URL, the part of name whose extension may tell the format; NULL:
			    name; constant */
	bool has_size; /* size_bytes is known: files, block devices, most URLs; constant */
	bool seekable; /* fd can be read at any offset: raw images by extents; constant */
	bool is_block_device; /* constant */
	bool cheap_skip; /* no fd, but a skip of a MiB or more is quicker than reading; constant */
	int fd; /* descriptor of a local file, else -1; constant */
	uint64_t size_bytes; /* constant */
	const struct bmap_stop
		*stop; /* borrowed, may be NULL; a job puts its own here before it hands
			  the source to another thread, to end reads when it fails */
	const struct bmap_log *log; /* borrowed, may be NULL; constant */
	const struct source_tap *tap; /* borrowed, may be NULL; set before the first read */
	bool skipped; /* not every byte so far was given by source_read() */
	/* First bytes, read when it was opened and given again by source_read(); one that has grown
	 * is freed then. */
	uint8_t *head;
	size_t head_len, head_used;
};

/* path: a file, block device, fifo, or "-"; what is none of them but a URL is fetched. Code
 * NOT_FOUND: there is no such file, here or there. The first bytes (up to SOURCE_HEAD_BYTES, fewer
 * only at the end) are read before it returns: format detection looks at source->head. */
struct source *source_open(const char *path, const struct bmap_stop *stop, struct bmap_error *err);
/* The same, with a log (may be NULL) for what happens to a transfer. */
struct source *source_open_logged(const char *path, const struct bmap_stop *stop,
				  const struct bmap_log *log, struct bmap_error *err);
/* Reads on until the head has len bytes, fewer only at the end. Before the first source_read(). */
bool source_grow_head(struct source *source, size_t len, struct bmap_error *err);
/* As ops->read, the head first. */
ssize_t source_read(struct source *source, void *data, size_t len, struct bmap_error *err);
/* False without an error (code NONE) if the source cannot seek. */
bool source_skip(struct source *source, uint64_t len, struct bmap_error *err);
/* Exactly len bytes from offset on, beside the reads in order, which go on where they were. Over
 * the network this takes two requests; one that fails leaves the source as it was, if that can be.
 * False without an error (code NONE) if the source cannot do so. */
bool source_read_at(struct source *source, uint64_t offset, void *data, size_t len,
		    struct bmap_error *err);
/* Before reading len bytes with a skip behind them: lets a server send only those. */
void source_expect(struct source *source, uint64_t len);
void source_close(struct source *source); /* accepts NULL */

#endif

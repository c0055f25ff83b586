/* SPDX-License-Identifier: MIT */
/* job/stream_format.h - what an image is wrapped in, by its first bytes: compressed, an archive, or
 * an archive in a compressed stream. What the name says is only compared with that. */
#ifndef JOB_STREAM_FORMAT_H
#define JOB_STREAM_FORMAT_H

#include "base/log.h"
#include "decode/decoder.h"
#include "source/source.h"

struct stream_format {
	const struct decoder_ops *format; /* NULL: raw */
	const struct decoder_ops *archive; /* of the bytes that format gives; NULL: the image */
	struct decoder_plan plan; /* of format */
};

/* May read more of the source into its head, as much as the first decoded bytes need. A
 * contradiction with the name is said at info level; a broken first header is an error.
 * member: refused (code USAGE) where there is nothing to choose from; may be NULL. */
bool stream_format_detect(struct stream_format *found, struct source *source, const char *member,
			  uint64_t memory_bytes, const struct bmap_log *log,
			  struct bmap_error *err);

/* Is the file something that has to be decoded first? Its offset is not moved. */
bool stream_format_is_packed(int fd, const char *path, bool *yes, struct bmap_error *err);

#endif

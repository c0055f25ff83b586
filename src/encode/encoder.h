/* SPDX-License-Identifier: MIT */
/* encode/encoder.h - compresses what lies in memory, one file per format.
 *
 * Threads:   no state; any number of calls may run at once.
 * Output:    the same bytes for the same input (no times, no names), given to a sink in pieces.
 * Errors:    those of the sink are passed on unchanged. */
#ifndef ENCODE_ENCODER_H
#define ENCODE_ENCODER_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct encode_sink {
	/* Takes all of data, which is lent for the call. False ends the encoding. */
	bool (*write)(void *user, const uint8_t *data, size_t len, struct bmap_error *err);
	void *user;
};

struct encoder_ops {
	const char *name; /* "zstd": messages, as the decoder of that format */
	const char *suffix; /* ".zst" */
	bool (*encode)(const uint8_t *data, size_t len, const struct encode_sink *sink,
		       struct bmap_error *err);
};

/* The format that a name's extension asks for, in any case of letters; NULL if none. */
const struct encoder_ops *encoder_for_name(const char *name);
/* All formats of this build, NULL-terminated. */
extern const struct encoder_ops *const encoder_table[];

#endif

/* SPDX-License-Identifier: MIT */
/* error.h - the one error object that travels up from where a thing failed.
 *
 * Ownership: a plain value without pointers; the caller provides it and may copy it.
 * Threads:   belongs to one thread at a time. */
#ifndef BMAP_ERROR_H
#define BMAP_ERROR_H

#include <stdbool.h>
#include <stdint.h>

/* The library is built with everything else hidden. */
#if defined(__GNUC__)
#define BMAP_API __attribute__((visibility("default")))
#else
#define BMAP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum bmap_error_code {
	BMAP_ERR_NONE = 0,
	BMAP_ERR_USAGE, /* the caller asked for something that makes no sense */
	BMAP_ERR_NOT_FOUND, /* a file that was named, or a bmap that was looked for, is not there */
	BMAP_ERR_IO, /* the system refused: errnum says why */
	BMAP_ERR_MAP, /* the bmap file is broken or of an unknown version */
	BMAP_ERR_DATA, /* the image is broken: truncated, corrupt, does not match its map */
	BMAP_ERR_REFUSED, /* a safety rule: mounted, too small, read-only, the image itself, ... */
	BMAP_ERR_UNSUPPORTED, /* this build or kernel cannot do it */
	BMAP_ERR_MEMORY, /* no memory, or the memory limit is too small for it */
	BMAP_ERR_STALLED, /* a target did not answer for too long and was given up */
	BMAP_ERR_INTERRUPTED, /* stopped by bmap_stop_request() */
};

struct bmap_error {
	enum bmap_error_code code;
	int errnum; /* errno, or 0 */
	bool has_offset;
	uint64_t offset_bytes; /* where in the named file or device, if has_offset */
	char text[1536]; /* one line: what, on what, where, why, what to do; no newline at its end
			  */
};

#ifdef __cplusplus
}
#endif
#endif

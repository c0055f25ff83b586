/* SPDX-License-Identifier: MIT */
/* log.h - how the library tells what it does. It never prints itself.
 *
 * Threads: message() is called from any thread of a job, also from several at once: the callee
 *          serialises. It must not call back into the library, and should be quick. */
#ifndef BMAP_LOG_H
#define BMAP_LOG_H

#include <bmap/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bmap_log_level { BMAP_LOG_ERROR, BMAP_LOG_WARNING, BMAP_LOG_INFO, BMAP_LOG_DEBUG };

struct bmap_log {
	/* text is one line without newline, lent for the call. */
	void (*message)(void *user, enum bmap_log_level level, const char *text);
	void *user;
};

/* What may be shown of a name that a user gave: a URL without its user and password, anything else
 * as it is. The library itself shows no other. malloc'ed; NULL: no memory. */
BMAP_API char *bmap_name_to_show(const char *name);

#ifdef __cplusplus
}
#endif
#endif

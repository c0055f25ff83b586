/* SPDX-License-Identifier: MIT */
/* job/file_digest.h - the SHA-256 of a file, computed while it is read for other reasons.
 *
 * Threads: begun and freed by the job's thread; the thread that reads the source computes, and is
 *          joined before the text is asked for. */
#ifndef JOB_FILE_DIGEST_H
#define JOB_FILE_DIGEST_H

#include "source/source.h"

#define FILE_DIGEST_ROOM 65 /* SHA-256 in hex */

struct file_digest;
/* Of a source that was not read from yet (its head does not count). NULL on failure. To be freed
 * before the source is closed. */
struct file_digest *file_digest_new(struct source *source, struct bmap_error *err);
/* Lower-case hex, lent until it is freed; NULL: the source was not read whole and in order. */
const char *file_digest_text(const struct file_digest *digest);
void file_digest_free(struct file_digest *digest); /* accepts NULL */

#endif

/* SPDX-License-Identifier: MIT */
/* decode/archive.h - which decoders take one file out of many (decoder_limits.member), and which of
 * them is looked for inside compressed streams. */
#ifndef DECODE_ARCHIVE_H
#define DECODE_ARCHIVE_H

#include "decode/decoder.h"

/* Of decoded bytes, to tell whether they begin an archive. */
#define ARCHIVE_PROBE_BYTES 512u

bool decoder_is_archive(const struct decoder_ops *ops);
const struct decoder_ops *archive_in_streams(void); /* tar */

#endif

/* SPDX-License-Identifier: MIT */
/* bmap/xml_reader.h - what the first bytes of a file say, before all of it is read.
 *
 * Threads: pure functions. */
#ifndef BMAP_XML_READER_H
#define BMAP_XML_READER_H

#include "base/error.h"

#include <stddef.h>

/* As many bytes decide whether a file can be a bmap. */
#define BMAP_HEAD_BYTES 4096u

/* False, code MAP, if a file that begins with these bytes (already decompressed) is no XML; the
 * message says what it is instead where that is easy to see, such as the image itself. */
bool bmap_head_check(const char *head, size_t len, const char *name, struct bmap_error *err);

#endif

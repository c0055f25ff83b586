/* SPDX-License-Identifier: MIT */
/* bzip2_pack.h - makes bzip2 streams for tests, where the build has the library. */
#ifndef BZIP2_PACK_H
#define BZIP2_PACK_H

#include <stddef.h>
#include <stdint.h>

/* One stream with blocks of level * 100 kB; returns its length. 0 in builds without bzip2. */
size_t bzip2_pack(uint8_t *out, size_t room, const uint8_t *data, size_t len, int level);

/* A right stream of two blocks, with magics of blocks and of a stream's end inside of them where no
 * block begins or ends; false_magics a block. image gets what it decodes to. Returns its length, 0
 * in builds without bzip2. */
size_t bzip2_forge(uint8_t *out, size_t room, unsigned false_magics, uint8_t *image,
		   size_t image_room, size_t *image_len);

#endif

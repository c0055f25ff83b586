/* SPDX-License-Identifier: MIT */
#ifndef ENCODE_ENCODER_INTERNAL_H
#define ENCODE_ENCODER_INTERNAL_H

#include "encode/encoder.h"

/* Of every encoder, on its stack: what it hands to the sink at once. */
#define ENCODE_PIECE_BYTES (32u * 1024u)

extern const struct encoder_ops gzip_encoder, zstd_encoder, xz_encoder;

#endif

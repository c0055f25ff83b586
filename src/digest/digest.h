/* SPDX-License-Identifier: MIT */
/* digest/digest.h - checksums of byte streams (OpenSSL's EVP).
 *
 * Threads:   a hasher belongs to one thread at a time; any number may run at once.
 * Cost:      one context is reused for all ranges: a reset costs about 0.2 us. */
#ifndef DIGEST_DIGEST_H
#define DIGEST_DIGEST_H

#include "base/error.h"

#include <bmap/map.h>
#include <stddef.h>

size_t digest_length(enum bmap_digest digest); /* bytes; 0 for NONE */

struct hasher;
/* NULL on failure (unknown to this OpenSSL, FIPS provider, memory). digest is not NONE. */
struct hasher *hasher_new(enum bmap_digest digest, struct bmap_error *err);
void hasher_begin(struct hasher *hasher);
void hasher_update(struct hasher *hasher, const void *data, size_t len);
void hasher_finish(struct hasher *hasher, uint8_t *out); /* digest_length() bytes */
void hasher_free(struct hasher *hasher); /* accepts NULL */

/* All in one. */
bool digest_of(enum bmap_digest digest, const void *data, size_t len, uint8_t *out,
	       struct bmap_error *err);
/* Lower-case hexadecimal; text has room for 2 * len + 1. */
void digest_to_hex(const uint8_t *bytes, size_t len, char *text);
/* Exactly len bytes from 2 * len digits of either case; false if they are anything else. */
bool digest_from_hex(const char *text, size_t text_len, uint8_t *bytes, size_t len);

#endif

/* SPDX-License-Identifier: MIT */
/* digest/digest.h - checksums of byte streams (OpenSSL's EVP, libxxhash).
 *
 * Threads:   a hasher belongs to one thread at a time; any number may run at once.
 * Cost:      one context is reused for all ranges: a reset costs about 0.2 us. Two streams fed
 *            together by one thread (hasher_update_pair) take two thirds of the time that they
 *            take one after the other, where hasher_pairs() says so: SHA-256 on x86 with SHA
 *            instructions. */
#ifndef DIGEST_DIGEST_H
#define DIGEST_DIGEST_H

#include "base/error.h"

#include <bmap/map.h>
#include <stddef.h>

/* XXH3-64 in its canonical form: for what is only compared with itself, inside one run. No bmap has
 * it: bmap_digest_from_name() does not know it. */
#define DIGEST_XXH3 ((enum bmap_digest)(BMAP_DIGEST_SHA512 + 1))

size_t digest_length(enum bmap_digest digest); /* bytes; 0 for NONE */

struct hasher;
/* NULL on failure (unknown to this OpenSSL, FIPS provider, memory). digest is not NONE. */
struct hasher *hasher_new(enum bmap_digest digest, struct bmap_error *err);
void hasher_begin(struct hasher *hasher);
void hasher_update(struct hasher *hasher, const void *data, size_t len);
void hasher_finish(struct hasher *hasher, uint8_t *out); /* digest_length() bytes */
void hasher_free(struct hasher *hasher); /* accepts NULL */

/* As hasher_new(), for pairs: computed by our own code where it is faster so. That code is compared
 * with OpenSSL once in every process, and not used if they differ. */
struct hasher *hasher_new_pairing(enum bmap_digest digest, struct bmap_error *err);
/* Is a pair faster than one after the other? digest_pairs(): before there is a hasher. */
bool hasher_pairs(const struct hasher *hasher);
bool digest_pairs(enum bmap_digest digest);
/* The same as hasher_update() of both, which are different; works also if they do not pair. */
void hasher_update_pair(struct hasher *a, const void *a_data, struct hasher *b, const void *b_data,
			size_t len);

/* All in one. */
bool digest_of(enum bmap_digest digest, const void *data, size_t len, uint8_t *out,
	       struct bmap_error *err);
/* Lower-case hexadecimal; text has room for 2 * len + 1. */
void digest_to_hex(const uint8_t *bytes, size_t len, char *text);
/* Exactly len bytes from 2 * len digits of either case; false if they are anything else. */
bool digest_from_hex(const char *text, size_t text_len, uint8_t *bytes, size_t len);

#endif

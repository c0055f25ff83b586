/* SPDX-License-Identifier: MIT */
#include "digest/digest.h"
#include "digest/sha256.h"

#include "base/checked.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

/* Name and length stand in one table, indexed by enum bmap_digest. */
static const struct digest_facts {
	const char *name;
	const char *evp_name; /* as provider(7) lists it */
	size_t len_bytes;
} facts[] = {
	[BMAP_DIGEST_NONE] = { "none", NULL, 0 },
	[BMAP_DIGEST_MD5] = { "md5", "MD5", 16 },
	[BMAP_DIGEST_SHA1] = { "sha1", "SHA1", 20 },
	[BMAP_DIGEST_SHA224] = { "sha224", "SHA2-224", 28 },
	[BMAP_DIGEST_SHA256] = { "sha256", "SHA2-256", 32 },
	[BMAP_DIGEST_SHA384] = { "sha384", "SHA2-384", 48 },
	[BMAP_DIGEST_SHA512] = { "sha512", "SHA2-512", 64 },
	[DIGEST_XXH3] = { "xxh3", NULL, sizeof(XXH64_canonical_t) },
};

struct hasher {
	EVP_MD *md; /* fetched once: EVP_MD_fetch() costs more than hashing a block */
	EVP_MD_CTX *ctx; /* begun anew for every range */
	size_t len_bytes;
	XXH3_state_t *xxh3; /* XXH3: instead of md and ctx */
	bool own; /* computed in sha instead of ctx */
	struct sha256 sha;
};

static pthread_once_t pairing_checked = PTHREAD_ONCE_INIT;
static bool pairing_works; /* constant once checked */

static void check_pairing(void);
static bool hasher_fail(enum bmap_digest digest, struct bmap_error *err);
static struct hasher *set_up_xxh3(struct hasher *hasher, struct bmap_error *err);
static int digit_value(char c);

const char *bmap_digest_name(enum bmap_digest digest)
{
	return (size_t)digest < ARRAY_LEN(facts) ? facts[digest].name : "unknown";
}

bool bmap_digest_from_name(const char *name, enum bmap_digest *out)
{
	for (size_t i = BMAP_DIGEST_NONE + 1; i <= BMAP_DIGEST_SHA512; i++) {
		if (!strcasecmp(name, facts[i].name)) {
			*out = (enum bmap_digest)i;
			return true;
		}
	}
	return false;
}

size_t digest_length(enum bmap_digest digest)
{
	return (size_t)digest < ARRAY_LEN(facts) ? facts[digest].len_bytes : 0;
}

struct hasher *hasher_new(enum bmap_digest digest, struct bmap_error *err)
{
	struct hasher *hasher;

	assert(digest > BMAP_DIGEST_NONE && (size_t)digest < ARRAY_LEN(facts));
	hasher = calloc(1, sizeof(*hasher));
	if (!hasher) {
		bmap_error_memory(err, "checksum");
		return NULL;
	}
	hasher->len_bytes = facts[digest].len_bytes;
	if (digest == DIGEST_XXH3)
		return set_up_xxh3(hasher, err);
	hasher->md = EVP_MD_fetch(NULL, facts[digest].evp_name, NULL);
	hasher->ctx = EVP_MD_CTX_new();
	/* A first begin here, so that those of the hot path cannot fail: they only reset. */
	if (!hasher->md || !hasher->ctx || !EVP_DigestInit_ex2(hasher->ctx, hasher->md, NULL) ||
	    (size_t)EVP_MD_get_size(hasher->md) != hasher->len_bytes) {
		hasher_free(hasher);
		hasher_fail(digest, err);
		return NULL;
	}
	return hasher;
}

static struct hasher *set_up_xxh3(struct hasher *hasher, struct bmap_error *err)
{
	hasher->xxh3 = XXH3_createState();
	if (hasher->xxh3)
		return hasher;
	free(hasher);
	bmap_error_memory(err, "checksum");
	return NULL;
}

struct hasher *hasher_new_pairing(enum bmap_digest digest, struct bmap_error *err)
{
	struct hasher *hasher = hasher_new(digest, err);

	if (hasher)
		hasher->own = digest_pairs(digest);
	return hasher;
}

/* What OpenSSL says to the bytes of one stream, in two parts. */
static bool expect_digest(struct hasher *openssl, const uint8_t *first, const uint8_t *second,
			  size_t len, struct sha256 *sha)
{
	uint8_t want[SHA256_BYTES], found[SHA256_BYTES];

	hasher_begin(openssl);
	hasher_update(openssl, first, len);
	hasher_update(openssl, second, len);
	hasher_finish(openssl, want);
	sha256_finish(sha, found);
	return !memcmp(want, found, SHA256_BYTES);
}

/* By pairs and one by one, with lengths around the borders of blocks. */
static void check_pairing(void)
{
	static const size_t lengths[] = { 0, 1, 28, 31, 32, 55, 56, 63, 64, 65, 128, 1000, 4096 };
	struct hasher *openssl = sha256_usable() ? hasher_new(BMAP_DIGEST_SHA256, NULL) : NULL;
	uint8_t data[2][4096];
	bool good = openssl != NULL;

	for (size_t i = 0; i < sizeof(data[0]); i++) {
		data[0][i] = (uint8_t)(i * 167 + i / 256);
		data[1][i] = (uint8_t)(i * 59 + 7);
	}
	for (size_t i = 0; i < ARRAY_LEN(lengths) && good; i++) {
		struct sha256 a, b;

		sha256_begin(&a);
		sha256_begin(&b);
		sha256_update_pair(&a, data[0], &b, data[1], lengths[i]);
		sha256_update(&a, data[1], lengths[i]);
		sha256_update(&b, data[0], lengths[i]);
		good = expect_digest(openssl, data[0], data[1], lengths[i], &a) &&
		       expect_digest(openssl, data[1], data[0], lengths[i], &b);
	}
	hasher_free(openssl);
	pairing_works = good;
}

static bool hasher_fail(enum bmap_digest digest, struct bmap_error *err)
{
	char reason[256];
	unsigned long code = ERR_peek_last_error();

	ERR_error_string_n(code, reason, sizeof(reason));
	ERR_clear_error();
	return bmap_error_set(err, BMAP_ERR_UNSUPPORTED,
			      "checksum %s: not available from this system's OpenSSL (%s)",
			      bmap_digest_name(digest), code ? reason : "no reason given");
}

/* What could fail below (allocations, the provider) was done by hasher_new(); a checksum that was
 * not computed must never pass for one, so the impossible ends the program. */
static void must(int ok)
{
	if (!ok)
		abort();
}

void hasher_begin(struct hasher *hasher)
{
	if (hasher->own)
		sha256_begin(&hasher->sha);
	else if (hasher->xxh3)
		must(XXH3_64bits_reset(hasher->xxh3) == XXH_OK);
	else
		must(EVP_DigestInit_ex2(hasher->ctx, hasher->md, NULL));
}

void hasher_update(struct hasher *hasher, const void *data, size_t len)
{
	if (hasher->own)
		sha256_update(&hasher->sha, data, len);
	else if (hasher->xxh3)
		must(XXH3_64bits_update(hasher->xxh3, data, len) == XXH_OK);
	else
		must(EVP_DigestUpdate(hasher->ctx, data, len));
}

bool hasher_pairs(const struct hasher *hasher)
{
	return hasher->own;
}

bool digest_pairs(enum bmap_digest digest)
{
	pthread_once(&pairing_checked, check_pairing);
	return digest == BMAP_DIGEST_SHA256 && pairing_works;
}

void hasher_update_pair(struct hasher *a, const void *a_data, struct hasher *b, const void *b_data,
			size_t len)
{
	if (a->own && b->own) {
		sha256_update_pair(&a->sha, a_data, &b->sha, b_data, len);
		return;
	}
	hasher_update(a, a_data, len);
	hasher_update(b, b_data, len);
}

void hasher_finish(struct hasher *hasher, uint8_t *out)
{
	XXH64_canonical_t sum;
	unsigned len = 0;

	if (hasher->own) {
		sha256_finish(&hasher->sha, out);
		return;
	}
	if (hasher->xxh3) {
		XXH64_canonicalFromHash(&sum, XXH3_64bits_digest(hasher->xxh3));
		memcpy(out, sum.digest, sizeof(sum.digest));
		return;
	}
	must(EVP_DigestFinal_ex(hasher->ctx, out, &len));
	assert(len == hasher->len_bytes);
}

void hasher_free(struct hasher *hasher)
{
	if (!hasher)
		return;
	EVP_MD_CTX_free(hasher->ctx);
	EVP_MD_free(hasher->md);
	XXH3_freeState(hasher->xxh3);
	free(hasher);
}

bool digest_of(enum bmap_digest digest, const void *data, size_t len, uint8_t *out,
	       struct bmap_error *err)
{
	struct hasher *hasher = hasher_new(digest, err);

	if (!hasher)
		return false;
	hasher_begin(hasher);
	hasher_update(hasher, data, len);
	hasher_finish(hasher, out);
	hasher_free(hasher);
	return true;
}

void digest_to_hex(const uint8_t *bytes, size_t len, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
}

bool digest_from_hex(const char *text, size_t text_len, uint8_t *bytes, size_t len)
{
	/* First all checks: bytes stay as they were if text is not what it should be. */
	if (text_len / 2 != len || text_len % 2 != 0)
		return false;
	for (size_t i = 0; i < text_len; i++) {
		if (digit_value(text[i]) < 0)
			return false;
	}
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
	return true;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

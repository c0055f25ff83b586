/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "digest/digest.h"
#include "digest/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What md5sum, sha*sum and xxh3sum print for "" and "abc" (FIPS 180-2 gives the same for SHA). */
static const struct vector {
	enum bmap_digest digest;
	const char *name, *of_nothing, *of_abc;
} vectors[] = {
	{ BMAP_DIGEST_MD5, "md5", "d41d8cd98f00b204e9800998ecf8427e",
	  "900150983cd24fb0d6963f7d28e17f72" },
	{ BMAP_DIGEST_SHA1, "sha1", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
	  "a9993e364706816aba3e25717850c26c9cd0d89d" },
	{ BMAP_DIGEST_SHA224, "sha224", "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f",
	  "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7" },
	{ BMAP_DIGEST_SHA256, "sha256",
	  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ BMAP_DIGEST_SHA384, "sha384",
	  "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da"
	  "274edebfe76f65fbd51ad2f14898b95b",
	  "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
	  "8086072ba1e7cc2358baeca134c825a7" },
	{ BMAP_DIGEST_SHA512, "sha512",
	  "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
	  "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
	  "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
	  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f" },
	{ DIGEST_XXH3, "xxh3", "2d06800538d394c2", "78af5f94892f3950" },
};

static void hash_vectors_hold_and_a_hasher_is_reused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		size_t len = digest_length(v->digest);
		struct bmap_error err = { 0 };
		struct hasher *hasher = hasher_new(v->digest, &err);
		uint8_t sum[BMAP_DIGEST_MAX_BYTES];
		char hex[2 * BMAP_DIGEST_MAX_BYTES + 1];

		assert_non_null(hasher);
		for (int round = 0; round < 3; round++) {
			hasher_begin(hasher);
			hasher_finish(hasher, sum);
			digest_to_hex(sum, len, hex);
			assert_string_equal(hex, v->of_nothing);

			hasher_begin(hasher);
			hasher_update(hasher, "a", 1);
			hasher_update(hasher, "", 0);
			hasher_update(hasher, "bc", 2);
			hasher_finish(hasher, sum);
			digest_to_hex(sum, len, hex);
			assert_string_equal(hex, v->of_abc);

			/* One that was begun and given up leaves nothing behind. */
			hasher_begin(hasher);
			hasher_update(hasher, "x", 1);
		}
		hasher_free(hasher);
		assert_true(digest_of(v->digest, "abc", 3, sum, &err));
		digest_to_hex(sum, len, hex);
		assert_string_equal(hex, v->of_abc);
	}
	hasher_free(NULL);
}

static void names_are_found_in_any_case_and_lengths_fit(void **state)
{
	static const struct {
		const char *name;
		bool found;
	} cases[] = { { "sha256", true },   { "SHA256", true }, { "Sha1", true },
		      { "none", false },    { "", false },      { "sha3_256", false },
		      { "sha2560", false }, { "xxh3", false } };
	enum bmap_digest digest;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(bmap_digest_from_name(cases[i].name, &digest), cases[i].found);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		digest = vectors[i].digest;
		assert_string_equal(bmap_digest_name(digest), vectors[i].name);
		assert_int_equal(2 * digest_length(digest), strlen(vectors[i].of_abc));
		assert_in_range(digest_length(digest), 1, BMAP_DIGEST_MAX_BYTES);
		if (digest == DIGEST_XXH3) /* no bmap has it */
			continue;
		assert_true(bmap_digest_from_name(vectors[i].name, &digest));
		assert_int_equal(digest, vectors[i].digest);
	}
	assert_string_equal(bmap_digest_name(BMAP_DIGEST_NONE), "none");
	assert_int_equal(digest_length(BMAP_DIGEST_NONE), 0);
}

static void hex_is_read_strictly(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "00ff7f", true },   { "00FF7f", true },    { "00ff7", false },
		{ "00ff7f0", false }, { "00ff7g", false },   { " 0ff7f", false },
		{ "", false },        { "00ff7f00", false }, { "0xff7f", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t bytes[4] = { 1, 2, 3, 4 };
		bool good = digest_from_hex(cases[i].text, strlen(cases[i].text), bytes, 3);

		assert_int_equal(good, cases[i].good);
		assert_memory_equal(bytes, good ? "\0\xff\x7f\x04" : "\1\2\3\4", 4);
	}
}

/* Two streams in pieces of any length, together and apart, against one hasher of the other kind. */
static void paired_streams_are_what_they_are_alone(void **state)
{
	static const enum bmap_digest digests[] = { BMAP_DIGEST_SHA256, BMAP_DIGEST_SHA512 };
	static uint8_t data[2][300000];

	(void)state;
	srand(1);
	for (size_t i = 0; i < sizeof(data); i++)
		data[0][i % sizeof(data[0])] ^= data[1][i / 2] = (uint8_t)rand();
	for (int round = 0; round < 400; round++) {
		enum bmap_digest digest = digests[round % 8 == 0];
		struct hasher *pair[2] = { hasher_new_pairing(digest, NULL),
					   hasher_new_pairing(digest, NULL) };
		size_t done[2] = { 0, 0 }, limit = round % 3 ? 300 : 70000;

		hasher_begin(pair[0]);
		hasher_begin(pair[1]);
		for (int piece = 0; piece < 4; piece++) {
			size_t len = (size_t)rand() % limit;
			int one = rand() % 2;

			if (round % 2)
				len &= ~(size_t)63;
			if (rand() % 4) {
				hasher_update_pair(pair[0], data[0] + done[0], pair[1],
						   data[1] + done[1], len);
				done[1 - one] += len;
			} else
				hasher_update(pair[one], data[one] + done[one], len);
			done[one] += len;
		}
		for (int i = 0; i < 2; i++) {
			uint8_t want[BMAP_DIGEST_MAX_BYTES], found[BMAP_DIGEST_MAX_BYTES];

			assert_true(digest_of(digest, data[i], done[i], want, NULL));
			hasher_finish(pair[i], found);
			assert_memory_equal(want, found, digest_length(digest));
			assert_true(digest == BMAP_DIGEST_SHA256 || !hasher_pairs(pair[i]));
			hasher_free(pair[i]);
		}
	}
}

static void the_processors_own_instructions_are_used_where_it_has_them(void **state)
{
	struct hasher *hasher = hasher_new_pairing(BMAP_DIGEST_SHA256, NULL);

	(void)state;
	/* Fails if the comparison with OpenSSL went wrong, too. */
	assert_int_equal(hasher_pairs(hasher), sha256_usable());
	hasher_free(hasher);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_vectors_hold_and_a_hasher_is_reused),
		cmocka_unit_test(names_are_found_in_any_case_and_lengths_fit),
		cmocka_unit_test(hex_is_read_strictly),
		cmocka_unit_test(paired_streams_are_what_they_are_alone),
		cmocka_unit_test(the_processors_own_instructions_are_used_where_it_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

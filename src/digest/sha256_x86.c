/* SPDX-License-Identifier: MIT */
/* Rounds by the SHA extensions of x86 (Intel SDM, SHA256RNDS2 and its neighbours). Why it is fast:
 * four rounds of one stream, then four of the other, so that the processor has two chains of
 * dependent rounds to work on; state and message stay in registers for the whole span. */
#include "digest/sha256.h"

#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE TARGET __attribute__((always_inline)) static inline

/* The order in which SHA256RNDS2 wants the eight words. */
struct words {
	__m128i abef, cdgh;
};

struct stream {
	struct words now, before;
	__m128i message[4]; /* the next 16 words, four each */
};

bool sha256_usable(void)
{
	unsigned a, b, c, d;

	return __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3") &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

INLINE struct words load_state(const uint32_t *state)
{
	__m128i abcd = _mm_loadu_si128((const __m128i *)state);
	__m128i efgh = _mm_loadu_si128((const __m128i *)(state + 4));
	__m128i badc = _mm_shuffle_epi32(abcd, 0xb1), hgfe = _mm_shuffle_epi32(efgh, 0x1b);

	return (struct words){ .abef = _mm_alignr_epi8(badc, hgfe, 8),
			       .cdgh = _mm_blend_epi16(hgfe, badc, 0xf0) };
}

INLINE void store_state(uint32_t *state, struct words words)
{
	__m128i feba = _mm_shuffle_epi32(words.abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(words.cdgh, 0xb1);

	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

INLINE void begin_block(struct stream *s, const uint8_t *data)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

	s->before = s->now;
	for (int i = 0; i < 4; i++)
		s->message[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)),
						 big_endian);
}

/* Rounds 4 * step to 4 * step + 3; step is a constant once the loop around it is unrolled. */
INLINE void four_rounds(struct stream *s, int step)
{
	__m128i *m = s->message, words = m[step % 4], sum;

	sum = _mm_add_epi32(words, _mm_load_si128((const __m128i *)(sha256_constants + 4 * step)));
	s->now.cdgh = _mm_sha256rnds2_epu32(s->now.cdgh, s->now.abef, sum);
	s->now.abef = _mm_sha256rnds2_epu32(s->now.abef, s->now.cdgh, _mm_shuffle_epi32(sum, 0x0e));
	if (step < 12) { /* the words of step + 4 take the place of these */
		__m128i third = m[(step + 2) % 4], last = m[(step + 3) % 4];

		words = _mm_sha256msg1_epu32(words, m[(step + 1) % 4]);
		words = _mm_add_epi32(words, _mm_alignr_epi8(last, third, 4));
		m[step % 4] = _mm_sha256msg2_epu32(words, last);
	}
}

INLINE void end_block(struct stream *s)
{
	s->now.abef = _mm_add_epi32(s->now.abef, s->before.abef);
	s->now.cdgh = _mm_add_epi32(s->now.cdgh, s->before.cdgh);
}

TARGET void sha256_blocks(uint32_t *state, const uint8_t *data, size_t blocks)
{
	struct stream s = { .now = load_state(state) };

	for (; blocks; blocks--, data += SHA256_BLOCK_BYTES) {
		begin_block(&s, data);
#pragma GCC unroll 16
		for (int step = 0; step < 16; step++)
			four_rounds(&s, step);
		end_block(&s);
	}
	store_state(state, s.now);
}

TARGET void sha256_blocks_pair(uint32_t *a, const uint8_t *a_data, uint32_t *b,
			       const uint8_t *b_data, size_t blocks)
{
	struct stream s = { .now = load_state(a) }, t = { .now = load_state(b) };

	for (size_t i = 0; i < blocks; i++) {
		begin_block(&s, a_data + i * SHA256_BLOCK_BYTES);
		begin_block(&t, b_data + i * SHA256_BLOCK_BYTES);
#pragma GCC unroll 16
		for (int step = 0; step < 16; step++) {
			four_rounds(&s, step);
			four_rounds(&t, step);
		}
		end_block(&s);
		end_block(&t);
	}
	store_state(a, s.now);
	store_state(b, t.now);
}

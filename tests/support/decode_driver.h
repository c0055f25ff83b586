/* SPDX-License-Identifier: MIT */
/* decode_driver.h - drives a decoder as the decode stage does, but meanly: input in pieces that end
 * at a guard page, room of odd sizes in a small ring that is mapped twice (so history wraps), junk
 * in whatever was not put out, a watch on the bytes behind the room, units into memory that ends at
 * a guard page. Aborts with a message where the decoder breaks the contract of decoder.h; whether
 * the data was good is the result. */
#ifndef SUPPORT_DECODE_DRIVER_H
#define SUPPORT_DECODE_DRIVER_H

#include "decode/decoder.h"

enum feed_size {
	FEED_ALL, /* as much as there is */
	FEED_LEAST, /* a byte of input, or what is wanted; exactly the room that is wanted */
	FEED_RANDOM,
};

struct decode_feed {
	enum feed_size input, room;
	bool units; /* cut() and unit() where the format has them */
	bool skip_checksums; /* limits.check_content false */
	const char *member; /* limits.member */
	size_t ring_bytes; /* a multiple of the page size; 0: 4 MiB */
	size_t history_max_bytes; /* 0: the ring without 1 MiB */
	size_t room_max_bytes; /* 0: 1 MiB */
	size_t input_max_bytes; /* 0: 1 MiB */
	uint64_t memory_bytes; /* 0: 256 MiB */
	uint64_t stop_bytes; /* give up behind so many image bytes, 0: never */
	uint32_t seed;
};

struct decode_result {
	bool good;
	bool stopped; /* at stop_bytes: neither good nor failed */
	bool same; /* as the expected image so far as it was put out; and, if good, as long */
	uint64_t image_bytes;
	uint64_t image_hash; /* any, for comparing two runs */
	uint64_t calls; /* of step() and cut() */
	uint64_t units; /* by unit() */
	uint64_t peak_history_bytes;
	char note[256]; /* the last one that the decoder left */
	struct bmap_error err; /* if not good */
};

/* Name that errors must begin with. */
#define DECODE_DRIVER_NAME "disk.img.compressed"

/* image NULL: not known, same is always true. */
struct decode_result decode_drive(const struct decoder_ops *ops, const uint8_t *source, size_t len,
				  const uint8_t *image, size_t image_len,
				  const struct decode_feed *feed);

/* --- images and small generators --- */
uint32_t test_random(uint32_t *state); /* not 0 */
enum test_image_kind {
	IMAGE_ZEROS,
	IMAGE_NOISE,
	IMAGE_MIXED, /* zeros, text, noise, and repeats from up to 1 MiB back */
};
/* malloc()ed; never NULL. */
uint8_t *test_image(enum test_image_kind kind, size_t len, uint32_t seed);

/* A growing byte string. */
struct test_bytes {
	uint8_t *data;
	size_t len;
};
void test_bytes_add(struct test_bytes *bytes, const void *data, size_t len);
/* Room for len more, zeroed, not yet counted. */
uint8_t *test_bytes_room(struct test_bytes *bytes, size_t len);
void test_bytes_free(struct test_bytes *bytes);

#endif

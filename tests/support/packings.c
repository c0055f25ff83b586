/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "bzip2_pack.h"
#include "packings.h"

#include "base/checked.h"
#include "decode/archive.h"
#include "decode/decoder.h"

#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

const char *const packing_names[] = { "raw file",
				      "raw pipe",
				      "gzip",
				      "bgzf",
				      "zstd frame",
				      "zstd frames",
				      "odd zstd frames",
				      "xz blocks",
				      "xz block",
				      "bzip2",
				      "bzip2 streams",
				      "slow first frame",
				      "empty zstd frames",
				      "tar",
				      "tar.gz",
				      "tar.zst",
				      "tar.xz" };

struct bytes make_image(size_t size, unsigned seed)
{
	struct bytes image = { malloc(size), size };
	unsigned kind = 0;

	for (size_t i = 0; i < size; i++) {
		if (i % 32768 == 0)
			kind = (unsigned)rand_r(&seed) % 3;
		image.data[i] = kind == 0   ? 0
				: kind == 1 ? (uint8_t)(i / 7 % 251)
					    : (uint8_t)rand_r(&seed);
	}
	return image;
}

static void append_frame(struct bytes *out, const uint8_t *data, size_t len)
{
	size_t room = ZSTD_compressBound(len);

	out->data = realloc(out->data, out->len + room);
	out->len += ZSTD_compress(out->data + out->len, room, data, len, 1);
}

static struct bytes pack_frames(const struct bytes *image, size_t frame, unsigned seed)
{
	struct bytes out = { 0 };

	for (size_t i = 0; i < image->len;) {
		size_t n = seed ? 1 + (size_t)rand_r(&seed) % frame : frame;

		n = (size_t)min_u64(n, image->len - i);
		append_frame(&out, image->data + i, n);
		i += n;
	}
	return out;
}

static struct bytes pack_gzip(const struct bytes *image)
{
	struct bytes out = { malloc(image->len + 10000), 0 };
	z_stream z = { 0 };

	deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	z.next_in = image->data;
	z.avail_in = (uInt)image->len;
	z.next_out = out.data;
	z.avail_out = (uInt)image->len + 10000;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out.len = z.total_out;
	deflateEnd(&z);
	return out;
}

static struct bytes pack_xz(const struct bytes *image, uint64_t block_bytes)
{
	struct bytes out = { malloc(image->len + image->len / 4 + 100000), 0 };
	lzma_mt mt = { .threads = 1, .block_size = block_bytes, .check = LZMA_CHECK_CRC32 };
	lzma_stream z = LZMA_STREAM_INIT;

	assert_int_equal(block_bytes ? lzma_stream_encoder_mt(&z, &mt)
				     : lzma_easy_encoder(&z, 0, LZMA_CHECK_CRC64),
			 LZMA_OK);
	z.next_in = image->data;
	z.avail_in = image->len;
	z.next_out = out.data;
	z.avail_out = image->len + image->len / 4 + 100000;
	assert_int_equal(lzma_code(&z, LZMA_FINISH), LZMA_STREAM_END);
	out.len = z.total_out;
	lzma_end(&z);
	return out;
}

/* SAM specification 4.1: members of 65280 image bytes with their length in the header, and an empty
 * one at the end. */
static struct bytes pack_bgzf(const struct bytes *image)
{
	static const uint8_t head[] = { 0x1F, 0x8B, 8, 4,   0,   0, 0, 0, 0,
					0xFF, 6,    0, 'B', 'C', 2, 0, 0, 0 };
	struct bytes out = { malloc(image->len + image->len / 50 + 10000), 0 };

	for (size_t i = 0; i <= image->len; i += 65280) {
		size_t n = (size_t)min_u64(65280, image->len - i);
		uint8_t *member = out.data + out.len;
		uint32_t tail[2] = { (uint32_t)crc32(0, image->data + i, (uInt)n), (uint32_t)n };
		z_stream z = { .next_in = image->data + i, .avail_in = (uInt)n };
		size_t len;

		memcpy(member, head, sizeof(head));
		z.next_out = member + sizeof(head);
		z.avail_out = 70000;
		deflateInit2(&z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
		assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
		len = sizeof(head) + z.total_out;
		deflateEnd(&z);
		memcpy(member + len, tail, 8);
		len += 8;
		member[16] = (uint8_t)(len - 1);
		member[17] = (uint8_t)((len - 1) >> 8);
		out.len += len;
	}
	return out;
}

/* Blocks of level * 100 kB in streams of so many bytes. */
static struct bytes pack_bzip2(const struct bytes *image, size_t stream_bytes, int level)
{
	struct bytes out = { malloc(image->len + image->len / 50 + 100000), 0 };

	for (size_t i = 0; i < image->len; i += stream_bytes) {
		size_t n = (size_t)min_u64(stream_bytes, image->len - i);
		size_t room = n + n / 50 + 1000;

		out.len += bzip2_pack(out.data + out.len, room, image->data + i, n, level);
	}
	return out;
}

bool can_unpack(enum packing packing)
{
	return (packing != BZIP2 && packing != BZIP2_STREAMS) || decoder_for_name("x.bz2");
}

static struct bytes pack_slow_first(const struct bytes *image)
{
	size_t first = (size_t)min_u64(image->len, 2 * MIB - 1000);
	size_t tiny_end = (size_t)min_u64(image->len, first + 1000 * 64);
	struct bytes out = { 0 }, rest = { image->data + tiny_end, image->len - tiny_end }, tail;

	append_frame(&out, image->data, first);
	for (size_t i = first; i < tiny_end; i += 64)
		append_frame(&out, image->data + i, min_u64(64, tiny_end - i));
	tail = pack_frames(&rest, MIB, 0);
	out.data = realloc(out.data, out.len + tail.len);
	if (tail.len)
		memcpy(out.data + out.len, tail.data, tail.len);
	out.len += tail.len;
	free(tail.data);
	return out;
}

static struct bytes pack_empty_between(const struct bytes *image)
{
	struct bytes out = { 0 };

	append_frame(&out, image->data, 0);
	for (size_t i = 0; i < image->len; i += 8 * KIB) {
		append_frame(&out, image->data + i, min_u64(8 * KIB, image->len - i));
		append_frame(&out, image->data, 0);
	}
	return out;
}

/* One file, and another behind it. */
static struct bytes pack_tar(const struct bytes *image)
{
	size_t padded = (size_t)align_up(image->len, 512);
	struct bytes tar = { calloc(1, 512 + padded + 1024 + 1024), 0, false };
	struct {
		const char *name;
		size_t len;
	} files[] = { { "disk.img", image->len }, { "readme", 5 } };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		uint8_t *header = tar.data + tar.len;
		unsigned sum = 0;

		snprintf((char *)header, 100, "%s", files[i].name);
		snprintf((char *)header + 124, 12, "%011zo", files[i].len);
		header[156] = '0';
		memcpy(header + 257,
		       "ustar\0"
		       "00",
		       8);
		memset(header + 148, ' ', 8);
		for (size_t at = 0; at < 512; at++)
			sum += header[at];
		snprintf((char *)header + 148, 8, "%06o", sum);
		tar.len += 512;
		memcpy(tar.data + tar.len, i ? (const uint8_t *)"hello" : image->data,
		       files[i].len);
		tar.len += i ? 512 : padded;
	}
	tar.len += 1024;
	return tar;
}

static struct bytes pack_archive(const struct bytes *image, enum packing packing)
{
	struct bytes tar = pack_tar(image), packed = tar;

	if (packing == TAR_GZIP)
		packed = pack_gzip(&tar);
	else if (packing == TAR_ZSTD_FRAMES)
		packed = pack_frames(&tar, 256 * KIB, 0);
	else if (packing == TAR_XZ_BLOCKS)
		packed = pack_xz(&tar, 200000);
	if (packing != TAR)
		free(tar.data);
	packed.archive = packing != TAR;
	return packed;
}

struct bytes pack(const struct bytes *image, enum packing packing)
{
	struct bytes copy = { malloc(image->len), image->len };

	switch (packing) {
	case GZIP:
		free(copy.data);
		return pack_gzip(image);
	case BGZF:
		free(copy.data);
		return pack_bgzf(image);
	case ZSTD_ONE_FRAME:
		free(copy.data);
		return pack_frames(image, image->len, 0);
	case ZSTD_FRAMES:
		free(copy.data);
		return pack_frames(image, 256 * KIB, 0);
	case ZSTD_ODD_FRAMES:
		free(copy.data);
		return pack_frames(image, 50000, 9);
	case XZ_BLOCKS:
		free(copy.data);
		return pack_xz(image, 200000);
	case XZ_ONE_BLOCK:
		free(copy.data);
		return pack_xz(image, 0);
	case BZIP2:
		free(copy.data);
		return pack_bzip2(image, image->len, 1);
	case BZIP2_STREAMS:
		free(copy.data);
		return pack_bzip2(image, 777777, 9);
	case ZSTD_EMPTY_FRAMES:
		free(copy.data);
		return pack_empty_between(image);
	case ZSTD_SLOW_FIRST_FRAME:
		free(copy.data);
		return pack_slow_first(image);
	case TAR:
	case TAR_GZIP:
	case TAR_ZSTD_FRAMES:
	case TAR_XZ_BLOCKS:
		free(copy.data);
		return pack_archive(image, packing);
	default:
		memcpy(copy.data, image->data, image->len);
		return copy;
	}
}

/* SPDX-License-Identifier: MIT */
#include "encode/zstd_frames.h"

#include "base/checked.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#define FRAME_MAGIC 0xFD2FB528u
#define ZERO_STEP_BYTES 4096u
#define BLOCK_MAX_BYTES (128u * KIB) /* RFC 8878 3.1.1.2.4 */
#define BLOCK_HEADER_BYTES 3u
#define SEEK_TABLE_MAGIC 0x184D2A5Eu
#define SEEKABLE_MAGIC 0x8F92EAB1u
#define SEEK_TABLE_MAX_FRAMES (1u << 27)
#define SEEK_ENTRY_BYTES 8u /* the frames have checksums themselves */
#define SEEK_FOOTER_BYTES 9u

static void put_le(uint8_t *p, uint32_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

/* ---- data ---- */

struct zstd_packer {
	ZSTD_CCtx *ctx;
};

static bool packer_set(struct zstd_packer *packer, unsigned level)
{
	return !ZSTD_isError(
		       ZSTD_CCtx_setParameter(packer->ctx, ZSTD_c_compressionLevel, (int)level)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(packer->ctx, ZSTD_c_checksumFlag, 1));
}

struct zstd_packer *zstd_packer_new(unsigned level, struct bmap_error *err)
{
	struct zstd_packer *packer = calloc(1, sizeof(*packer));

	assert(level >= 1 && level <= ZSTD_FRAMES_MAX_LEVEL);
	if (packer)
		packer->ctx = ZSTD_createCCtx();
	if (!packer || !packer->ctx || !packer_set(packer, level)) {
		zstd_packer_free(packer);
		bmap_error_memory(err, "zstd");
		return NULL;
	}
	return packer;
}

void zstd_packer_free(struct zstd_packer *packer)
{
	if (packer)
		ZSTD_freeCCtx(packer->ctx);
	free(packer);
}

size_t zstd_packer_memory_bytes(const struct zstd_packer *packer)
{
	return ZSTD_sizeof_CCtx(packer->ctx);
}

size_t zstd_packer_bound(size_t len)
{
	return ZSTD_compressBound(len);
}

bool zstd_packer_pack(struct zstd_packer *packer, const void *data, size_t len, uint8_t *frame,
		      size_t room, size_t *frame_len, struct bmap_error *err)
{
	/* In one call, so the size is known and declared, and the window is no larger than it. */
	size_t code = ZSTD_compress2(packer->ctx, frame, room, data, len);

	if (ZSTD_isError(code))
		return bmap_error_set(err, BMAP_ERR_MEMORY, "zstd: %s", ZSTD_getErrorName(code));
	*frame_len = code;
	return true;
}

/* ---- zeros ---- */

bool zero_frames_init(struct zero_frames *zeros, size_t max_len, struct bmap_error *err)
{
	size_t count = max_len / ZERO_STEP_BYTES;
	XXH64_state_t *state = XXH64_createState();

	assert(count && max_len % ZERO_STEP_BYTES == 0);
	*zeros = (struct zero_frames){ max_len, calloc(1, max_len),
				       calloc(count, sizeof(*zeros->checksums)) };
	if (!state || !zeros->bytes || !zeros->checksums) {
		XXH64_freeState(state);
		zero_frames_end(zeros);
		return bmap_error_memory(err, "zstd");
	}
	XXH64_reset(state, 0);
	for (size_t i = 0; i < count; i++) {
		XXH64_update(state, zeros->bytes, ZERO_STEP_BYTES);
		zeros->checksums[i] = (uint32_t)XXH64_digest(state); /* RFC 8878 3.1.1 */
	}
	XXH64_freeState(state);
	return true;
}

void zero_frames_end(struct zero_frames *zeros)
{
	free(zeros->bytes);
	free(zeros->checksums);
	*zeros = (struct zero_frames){ 0 };
}

static uint32_t zeros_checksum(const struct zero_frames *zeros, size_t len)
{
	if (len % ZERO_STEP_BYTES == 0)
		return zeros->checksums[len / ZERO_STEP_BYTES - 1];
	/* Only where an image ends so, or its map has odd blocks. */
	return (uint32_t)XXH64(zeros->bytes, len, 0);
}

/* RFC 8878 3.1.1.2: last, type (0 raw, 1 RLE), size; then the byte. */
static uint8_t *put_block(uint8_t *p, bool last, unsigned type, size_t size)
{
	put_le(p, (uint32_t)(last | type << 1 | size << 3), BLOCK_HEADER_BYTES);
	p[BLOCK_HEADER_BYTES] = 0;
	return p + BLOCK_HEADER_BYTES + 1;
}

size_t zero_frame_make(const struct zero_frames *zeros, size_t len, uint8_t *frame)
{
	uint8_t *p = frame;
	size_t left = len;

	assert(len && len <= zeros->max_len);
	put_le(p, FRAME_MAGIC, 4);
	p[4] = 2 << 6 | 1 << 5 | 1 << 2; /* size in 4 bytes, single segment, checksum */
	put_le(p + 5, (uint32_t)len, 4);
	p += 9;
	/* The zstd program up to 1.4.3 stumbles over a frame whose first block is RLE: one raw
	 * byte goes before. */
	p = put_block(p, left == 1, 0, 1);
	for (left--; left;) {
		size_t n = min_u64(left, BLOCK_MAX_BYTES);

		left -= n;
		p = put_block(p, left == 0, 1, n);
	}
	put_le(p, zeros_checksum(zeros, len), 4);
	return (size_t)(p + 4 - frame);
}

/* ---- the table ---- */

bool seek_table_add(struct seek_table *table, size_t frame_len, size_t image_len,
		    struct bmap_error *err)
{
	struct seek_run *last = table->run_count ? &table->runs[table->run_count - 1] : NULL;

	assert(frame_len <= UINT32_MAX && image_len <= UINT32_MAX);
	table->frames++;
	if (last && last->frame_len == frame_len && last->image_len == image_len) {
		last->count++;
		return true;
	}
	if (table->run_count == table->room) {
		size_t room = table->room ? 2 * table->room : 256;
		struct seek_run *grown = reallocarray(table->runs, room, sizeof(*grown));

		if (!grown)
			return bmap_error_memory(err, "seek table");
		table->runs = grown;
		table->room = room;
	}
	table->runs[table->run_count++] =
		(struct seek_run){ (uint32_t)frame_len, (uint32_t)image_len, 1 };
	return true;
}

bool seek_table_fits(const struct seek_table *table)
{
	return table->frames <= SEEK_TABLE_MAX_FRAMES;
}

static bool write_entries(const struct seek_run *run, const struct encode_sink *sink,
			  struct bmap_error *err)
{
	uint8_t piece[512 * SEEK_ENTRY_BYTES];
	uint64_t most = min_u64(run->count, sizeof(piece) / SEEK_ENTRY_BYTES);

	for (uint64_t i = 0; i < most; i++) {
		put_le(piece + i * SEEK_ENTRY_BYTES, run->frame_len, 4);
		put_le(piece + i * SEEK_ENTRY_BYTES + 4, run->image_len, 4);
	}
	for (uint64_t left = run->count; left;) {
		uint64_t n = min_u64(left, most);

		if (!sink->write(sink->user, piece, (size_t)n * SEEK_ENTRY_BYTES, err))
			return false;
		left -= n;
	}
	return true;
}

bool seek_table_write(const struct seek_table *table, const struct encode_sink *sink,
		      struct bmap_error *err)
{
	uint8_t head[8], foot[SEEK_FOOTER_BYTES] = { 0 };

	assert(seek_table_fits(table));
	put_le(head, SEEK_TABLE_MAGIC, 4);
	put_le(head + 4, (uint32_t)(table->frames * SEEK_ENTRY_BYTES + SEEK_FOOTER_BYTES), 4);
	if (!sink->write(sink->user, head, sizeof(head), err))
		return false;
	for (size_t i = 0; i < table->run_count; i++)
		if (!write_entries(&table->runs[i], sink, err))
			return false;
	put_le(foot, (uint32_t)table->frames, 4); /* foot[4]: no checksums in the entries */
	put_le(foot + 5, SEEKABLE_MAGIC, 4);
	return sink->write(sink->user, foot, sizeof(foot), err);
}

void seek_table_end(struct seek_table *table)
{
	free(table->runs);
	*table = (struct seek_table){ 0 };
}

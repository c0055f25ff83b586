/* SPDX-License-Identifier: MIT */
/* decode/lz4_internal.h - the lz4 decoder's parts (lz4_Frame_format.md 1.6, and the legacy frame
 * that `lz4 -l` and Yocto write):
 *   lz4_header.c   frame headers and block sizes; trusts nothing
 *   lz4_block.c    one block: checksum, stored or compressed, and how long it will be
 *   lz4_decoder.c  step(): the blocks one after another
 *   lz4_units.c    cut() and unit(): independent blocks in parallel */
#ifndef DECODE_LZ4_INTERNAL_H
#define DECODE_LZ4_INTERNAL_H

#include "decode/decoder_internal.h"
#include "decode/zero_memo.h"

#include <xxhash.h>

#define LZ4_FRAME_MAGIC 0x184D2204u
#define LZ4_LEGACY_MAGIC 0x184C2102u
#define LZ4_SKIPPABLE_MAGIC 0x184D2A50u /* and the 15 behind it */
#define LZ4_HISTORY_BYTES (64u * KIB)
#define LZ4_SIZE_BYTES 4u /* before a block */
#define LZ4_CHECKSUM_BYTES 4u
#define LZ4_SIZE_UNKNOWN UINT64_MAX

struct lz4_header {
	bool skippable; /* then only skip_bytes counts */
	uint64_t skip_bytes; /* behind the 8 bytes of the header */
	size_t header_bytes;
	bool legacy; /* has no end mark */
	bool linked; /* blocks reach back into those before */
	bool block_checksums, content_checksum;
	uint64_t content_bytes; /* or LZ4_SIZE_UNKNOWN */
	uint32_t block_max_bytes; /* of image bytes */
	uint32_t stored_max_bytes; /* of a block's data in the source */
};

enum lz4_header_status {
	LZ4_HEADER_OK,
	LZ4_HEADER_MORE, /* need_bytes says how many, from its first byte */
	LZ4_HEADER_GARBAGE, /* no frame begins here */
	LZ4_HEADER_REFUSED, /* reason says why */
};

enum lz4_header_status lz4_header_parse(const uint8_t *data, size_t len, struct lz4_header *header,
					size_t *need_bytes, const char **reason);

struct lz4_block {
	size_t data_bytes;
	bool stored; /* not compressed */
	bool checksum; /* 4 bytes follow the data */
};

enum lz4_size {
	LZ4_SIZE_BLOCK,
	LZ4_SIZE_END, /* of the frame: an end mark, or in a legacy frame the next one's magic */
	LZ4_SIZE_BAD,
};

/* What the 4 bytes where a block may begin mean. */
enum lz4_size lz4_size_parse(const struct lz4_header *frame, uint32_t size,
			     struct lz4_block *block);
/* Size, data, checksum. */
static inline size_t lz4_block_source_bytes(const struct lz4_block *block)
{
	return LZ4_SIZE_BYTES + block->data_bytes + (block->checksum ? LZ4_CHECKSUM_BYTES : 0);
}

/* Image bytes of a compressed block, by its sequences' lengths alone: decodes nothing. False: no
 * block looks like this, or it is longer than max. */
bool lz4_block_length(const uint8_t *data, size_t len, size_t max, size_t *image_len);

/* What a linked block may reach back into: bytes before `end`, in the frame's order the newest. */
struct lz4_history {
	const uint8_t *end; /* of what was put out last */
	size_t len; /* contiguous before end */
	const uint8_t *older_end; /* before those, elsewhere: the ring's end was passed */
	size_t older_len;
	uint8_t *joined; /* LZ4_HISTORY_BYTES of scratch; NULL: blocks are independent */
	bool zeros; /* as far as a block can reach, all of it are zeros */
};

/* Decodes the block whose data (and checksum) is at data into out, room being exactly the most it
 * may give. NULL: done, *image_len says how much; else what is wrong. */
const char *lz4_block_decode(struct zero_memo *memo, struct lz4_history *history,
			     const struct lz4_block *block, const uint8_t *data, uint8_t *out,
			     size_t room, size_t *image_len);

enum lz4_phase {
	LZ4_BETWEEN, /* at a frame's first byte or the source's end */
	LZ4_SKIPPING, /* in a skippable frame */
	LZ4_IN_FRAME, /* where a block begins, or the frame ends */
	LZ4_GATHERING, /* in a block that the input is too small for */
	LZ4_FLUSHING, /* a block that the room is too small for */
	LZ4_CONTENT_CHECKSUM,
};

/* cut() goes on where it stopped when it comes back with more input. */
struct lz4_walk {
	uint64_t start; /* source_offset that the rest belongs to */
	size_t pos; /* bytes walked over from there: whole blocks */
	size_t image_len; /* of them */
};

struct lz4_decoder {
	struct decoder base;
	enum lz4_phase phase;
	uint64_t skip_left_bytes; /* LZ4_SKIPPING */
	struct lz4_header frame; /* current */
	uint64_t frame_image_bytes; /* put out of it so far */
	bool seen_frame; /* a source of nothing but skippable frames is no image */
	XXH32_state_t *content_hash; /* where the frame has it and it is to be checked */
	struct zero_memo memo;
	struct lz4_history history;

	/* A block too large for the input is gathered here ... */
	uint8_t *gathered;
	size_t gathered_room, gathered_len;
	struct lz4_block block;
	/* ... one too large for the room decoded here, behind the history. */
	uint8_t *spill;
	size_t spill_room;
	size_t spill_begin, spill_end; /* not put out yet */
	struct lz4_walk walk;
};

/* Is the frame's end as its header says? */
bool lz4_frame_end(struct lz4_decoder *z, struct bmap_error *err);
/* Counts image bytes of the frame, which may be more than it declares. */
bool lz4_frame_count(struct lz4_decoder *z, size_t len, struct bmap_error *err);
/* Most image bytes of a unit: small blocks go together, so that taking one costs nothing beside
 * decoding it. */
static inline size_t lz4_unit_bytes(const struct lz4_header *frame)
{
	return (size_t)max_u64(frame->block_max_bytes, MIB);
}

/* May the frame's blocks be units? */
bool lz4_frame_cuttable(const struct lz4_decoder *z, const struct lz4_header *frame);
enum decode_status lz4_header_failed(const struct lz4_decoder *z, enum lz4_header_status status,
				     const char *reason, struct bmap_error *err);
enum decode_status lz4_size_failed(const struct lz4_decoder *z, uint64_t offset,
				   struct bmap_error *err);
void lz4_frame_begin(struct lz4_decoder *z, const struct lz4_header *header);

enum cut_status lz4_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			struct bmap_error *err);
bool lz4_unit(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
	      uint64_t source_offset, struct bmap_error *err);

#endif

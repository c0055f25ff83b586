/* SPDX-License-Identifier: MIT */
/* decode/gzip_internal.h - gzip members (RFC 1952) around any library that inflates.
 * gzip_member.c parses headers and trailers, counts and checks; gzip_zlib_decoder.c and
 * gzip_isal_decoder.c are the two ways to inflate: each a struct inflate_ops. */
#ifndef DECODE_GZIP_INTERNAL_H
#define DECODE_GZIP_INTERNAL_H

#include "decode/decoder_internal.h"

#define GZIP_TRAILER_BYTES 8u
/* Image bytes in one unit of BGZF members: enough not to wait for each other's locks. */
#define GZIP_UNIT_BYTES (512u * KIB)

enum inflate_status {
	INFLATE_INPUT,
	INFLATE_ROOM,
	INFLATE_DONE, /* behind the deflate stream's last bit */
	INFLATE_BROKEN,
};

/* What one inflater owes. Its state belongs to one decoder. */
struct inflate_ops {
	void *(*open)(void); /* NULL: no memory */
	void (*close)(void *state); /* accepts NULL */
	void (*reset)(void *state); /* a new deflate stream begins, at any bit of no earlier one */
	/* Moves both spans; in->ended is not looked at. */
	enum inflate_status (*run)(void *state, struct in_span *in, struct out_span *out,
				   const char **reason);
	/* After INFLATE_DONE: whole bytes behind the stream that were taken from in already. */
	size_t (*surplus)(void *state, uint8_t bytes[GZIP_TRAILER_BYTES]);
	uint32_t (*crc32)(uint32_t crc, const uint8_t *data, size_t len);
};

extern const struct inflate_ops isal_inflate_ops; /* only if the build has ISA-L */
extern const struct inflate_ops zlib_inflate_ops;
/* The fastest of this build. */
const struct inflate_ops *inflate_provider(void);

bool gzip_probe(const uint8_t *head, size_t len);
bool gzip_plan(const uint8_t *head, size_t len, struct decoder_plan *plan, struct bmap_error *err);
struct decoder *gzip_open(const struct decoder_ops *ops, const struct inflate_ops *inflate,
			  const struct decoder_limits *limits, struct bmap_error *err);
enum decode_status gzip_step(struct decoder *d, struct in_span *in, struct out_span *out,
			     struct bmap_error *err);
void gzip_close(struct decoder *d);
extern const char *const gzip_suffixes[];

/* gzip_bgzf.c: members that say how long they are, as units. */
bool gzip_is_bgzf(const uint8_t *head, size_t len);
enum cut_status gzip_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			 struct bmap_error *err);
bool gzip_unit(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
	       uint64_t source_offset, struct bmap_error *err);
/* gzip_member.c, for it: the source may end here; a member begins at that offset, whatever was
 * before, and is decoded into any room; memory that lives as long as d, NULL if there is none. */
bool gzip_seen_member(const struct decoder *d);
void gzip_set_seen_member(struct decoder *d);
void gzip_begin_member(struct decoder *d, uint64_t source_offset);
uint8_t *gzip_scratch(struct decoder *d, size_t len);

#endif

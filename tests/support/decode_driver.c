/* SPDX-License-Identifier: MIT */
#include "decode_driver.h"

#include "base/checked.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WATCHED_BYTES 64u
#define JUNK_BYTES (2u * KIB)
#define RANDOM_INPUT_BYTES (32u * KIB) /* a piece is copied for each step */

struct guarded { /* usable memory up to a page that may not be touched */
	uint8_t *mapping;
	size_t len, page;
};

struct driver {
	const struct decode_feed *feed;
	struct decoder *decoder, *worker;
	const uint8_t *source, *image;
	size_t len, image_len;
	uint8_t *ring;
	size_t ring_bytes;
	struct guarded input;
	uint64_t source_end; /* of what the decoder was given so far */
	uint32_t random;
	struct decode_result result;
};

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: contract broken: %s\n", __FILE__, __LINE__,        \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void *map(void *at, size_t len, int protection, int fd)
{
	int flags = (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | (at ? MAP_FIXED : 0);
	void *p = mmap(at, len, protection, flags, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static struct guarded guarded_new(size_t len)
{
	struct guarded g = { .page = (size_t)sysconf(_SC_PAGESIZE) };

	g.len = align_up(len, g.page);
	g.mapping = map(NULL, g.len + g.page, PROT_READ | PROT_WRITE, -1);
	CHECK(!mprotect(g.mapping + g.len, g.page, PROT_NONE));
	return g;
}

/* The last len bytes before the guard. */
static uint8_t *guarded_last(const struct guarded *g, size_t len)
{
	CHECK(len <= g->len);
	return g->mapping + g->len - len;
}

static void guarded_free(struct guarded *g)
{
	munmap(g->mapping, g->len + g->page);
}

/* Twice the memory, then a guard. */
static uint8_t *ring_map(size_t bytes)
{
	int fd = memfd_create("decode_driver", MFD_CLOEXEC);
	uint8_t *ring;

	CHECK(fd >= 0 && !ftruncate(fd, (off_t)bytes));
	ring = map(NULL, 2 * bytes + 4096, PROT_NONE, -1);
	map(ring, bytes, PROT_READ | PROT_WRITE, fd);
	map(ring + bytes, bytes, PROT_READ | PROT_WRITE, fd);
	close(fd);
	return ring;
}

uint32_t test_random(uint32_t *state)
{
	uint32_t x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static size_t choose(struct driver *d, enum feed_size how, size_t least, size_t most)
{
	if (least >= most || how == FEED_LEAST)
		return least;
	if (how == FEED_ALL)
		return most;
	return least + test_random(&d->random) % (most - least + 1);
}

/* The next piece, a copy that ends at the guard. The decoder has seen up to source_end: a piece
 * that it did not use up comes again, longer. */
static struct in_span next_input(struct driver *d, size_t want)
{
	uint64_t at = d->decoder->source_offset;
	size_t left = (size_t)(d->len - at);
	size_t most = (size_t)min_u64(left, d->decoder->limits.input_max_bytes);
	size_t seen = (size_t)(d->source_end - at);
	size_t least = (size_t)min_u64(max_u64(seen, max_u64(want, 1)), most), len;
	uint8_t *copy;

	if (d->feed->input == FEED_RANDOM)
		most = (size_t)min_u64(most, least + RANDOM_INPUT_BYTES);
	len = choose(d, d->feed->input, least, most);
	copy = guarded_last(&d->input, len);
	memcpy(copy, d->source + at, len);
	d->source_end = at + len;
	return (struct in_span){ copy, len, len == left };
}

static void compare(struct driver *d, uint64_t at, const uint8_t *bytes, size_t len)
{
	if (!d->image) {
		for (size_t i = 0; i < len; i++)
			d->result.image_hash = d->result.image_hash * 31 + bytes[i] + 1;
		return;
	}
	if (at + len > d->image_len || memcmp(d->image + at, bytes, len))
		d->result.same = false;
}

/* Says no more than that it may go on. */
static bool below_stop(struct driver *d)
{
	d->result.stopped = d->feed->stop_bytes && d->decoder->image_offset > d->feed->stop_bytes;
	return !d->result.stopped;
}

static enum decode_status drive_step(struct driver *d, size_t want_input, size_t want_room)
{
	struct decoder *decoder = d->decoder;
	uint64_t source_before = decoder->source_offset, image_before = decoder->image_offset;
	uint8_t watched[WATCHED_BYTES], *start = d->ring + image_before % d->ring_bytes;
	struct in_span in = next_input(d, want_input), in_before = in;
	size_t room_most = d->ring_bytes - decoder->history_bytes;
	size_t room = choose(d, d->feed->room, want_room, room_most);
	struct out_span out = { start, room };
	enum decode_status status;
	size_t watch = (size_t)min_u64(WATCHED_BYTES, d->ring_bytes - room);

	memcpy(watched, start + room, watch);
	status = decoder->ops->step(decoder, &in, &out, &d->result.err);
	CHECK(!memcmp(watched, start + room, watch));
	CHECK(in.len <= in_before.len && in.data + in.len == in_before.data + in_before.len);
	CHECK(decoder->source_offset - source_before == (uint64_t)(in.data - in_before.data));
	CHECK(out.room <= room && out.data + out.room == start + room);
	CHECK(decoder->image_offset - image_before == (uint64_t)(out.data - start));
	CHECK(decoder->want_input <= decoder->limits.input_max_bytes);
	CHECK(decoder->want_room >= 1 && decoder->want_room <= decoder->limits.room_max_bytes);
	CHECK(decoder->history_bytes <= decoder->limits.history_max_bytes);
	compare(d, image_before, start, (size_t)(out.data - start));
	memset(out.data, 0x5A, min_u64(out.room, JUNK_BYTES));
	d->result.calls++;
	d->result.peak_history_bytes =
		max_u64(d->result.peak_history_bytes, decoder->history_bytes);
	switch (status) {
	case DECODE_INPUT:
		CHECK(!in.ended);
		CHECK(in.len == 0 || decoder->want_input > in.len);
		break;
	case DECODE_ROOM:
		CHECK(out.room < decoder->want_room);
		break;
	case DECODE_END:
		CHECK(in.len == 0 && in.ended);
		break;
	case DECODE_UNIT_END:
		CHECK(decoder->ops->cut != NULL);
		break;
	case DECODE_FAILED:
		break;
	}
	return status;
}

static bool drive_unit(struct driver *d, const struct in_span *in, const struct decode_unit *unit)
{
	struct decoder *decoder = d->decoder;
	struct guarded room = guarded_new(unit->image_len_bytes + 1);
	uint8_t *out = guarded_last(&room, unit->image_len_bytes);
	bool good;

	CHECK(unit->source_len_bytes > 0 && unit->source_len_bytes <= in->len);
	CHECK(unit->image_len_bytes <= decoder->limits.room_max_bytes);
	d->worker->unit_context = unit->context;
	good = d->worker->ops->unit(d->worker, in->data, unit->source_len_bytes, out,
				    unit->image_len_bytes, decoder->source_offset, &d->result.err);
	if (good) {
		compare(d, decoder->image_offset, out, unit->image_len_bytes);
		decoder->source_offset += unit->source_len_bytes;
		decoder->image_offset += unit->image_len_bytes;
		d->source_end = max_u64(d->source_end, decoder->source_offset);
		d->result.units++;
	}
	guarded_free(&room);
	return good;
}

/* True: at the end, or failed (result.good says). False: step() is next. */
static bool drive_cuts(struct driver *d)
{
	size_t want = 0;

	while (below_stop(d)) {
		struct in_span in = next_input(d, want);
		struct decode_unit unit;

		d->result.calls++;
		switch (d->decoder->ops->cut(d->decoder, &in, &unit, &d->result.err)) {
		case CUT_UNIT:
			if (!drive_unit(d, &in, &unit))
				return true;
			want = 0;
			break;
		case CUT_INPUT:
			CHECK(!in.ended && d->decoder->want_input > in.len);
			CHECK(d->decoder->want_input <= d->decoder->limits.input_max_bytes);
			want = d->decoder->want_input;
			break;
		case CUT_SERIAL:
			return false;
		case CUT_END:
			CHECK(in.len == 0 && in.ended);
			d->result.good = true;
			return true;
		case CUT_FAILED:
			return true;
		}
	}
	return true;
}

static void drive(struct driver *d)
{
	bool cutting = d->feed->units && d->decoder->ops->cut;
	unsigned idle = 0;

	if (cutting && drive_cuts(d))
		return;
	/* The first call may get any room, none too. */
	for (size_t want_input = 0, want_room = 0; below_stop(d);) {
		uint64_t before = d->decoder->source_offset + d->decoder->image_offset;
		enum decode_status status = drive_step(d, want_input, want_room);

		if (status == DECODE_FAILED)
			return;
		if (status == DECODE_END) {
			d->result.good = true;
			return;
		}
		if (status == DECODE_UNIT_END && cutting && drive_cuts(d))
			return;
		want_input = status == DECODE_INPUT ? d->decoder->want_input : want_input;
		/* A new piece after INPUT has at least one more byte. */
		if (status == DECODE_INPUT)
			want_input =
				max_u64(want_input, d->source_end - d->decoder->source_offset + 1);
		else
			want_input = 0;
		want_room = d->decoder->want_room;
		idle = before == d->decoder->source_offset + d->decoder->image_offset ? idle + 1
										      : 0;
		CHECK(idle < 10); /* it would go on for ever */
	}
}

static size_t or_default(size_t value, size_t standard)
{
	return value ? value : standard;
}

struct decode_result decode_drive(const struct decoder_ops *ops, const uint8_t *source, size_t len,
				  const uint8_t *image, size_t image_len,
				  const struct decode_feed *feed)
{
	struct driver d = { .feed = feed,
			    .source = source,
			    .len = len,
			    .image = image,
			    .image_len = image_len,
			    .ring_bytes = or_default(feed->ring_bytes, 4 * MIB),
			    .random = feed->seed ? feed->seed : 1 };
	struct decoder_limits limits = {
		.name = DECODE_DRIVER_NAME,
		.history_max_bytes = or_default(feed->history_max_bytes, d.ring_bytes - MIB),
		.room_max_bytes = or_default(feed->room_max_bytes, MIB),
		.input_max_bytes = or_default(feed->input_max_bytes, MIB),
		.memory_bytes = feed->memory_bytes ? feed->memory_bytes : 256 * MIB,
		.check_content = !feed->skip_checksums,
		.member = feed->member,
	};

	d.result.same = true;
	CHECK(limits.room_max_bytes <= d.ring_bytes);
	d.ring = ring_map(d.ring_bytes);
	memset(d.ring, 0xA5, d.ring_bytes);
	d.input = guarded_new(limits.input_max_bytes);
	d.decoder = ops->open(&limits, &d.result.err);
	CHECK(d.decoder);
	d.worker = ops->open(&limits, &d.result.err);
	CHECK(d.worker);
	drive(&d);
	d.result.image_bytes = d.decoder->image_offset;
	memcpy(d.result.note, d.decoder->note, sizeof(d.result.note));
	if (image && d.result.good && d.result.image_bytes != image_len)
		d.result.same = false;
	if (!d.result.good && !d.result.stopped) {
		CHECK(d.result.err.code != BMAP_ERR_NONE);
		CHECK(!strncmp(d.result.err.text, DECODE_DRIVER_NAME, strlen(DECODE_DRIVER_NAME)));
		CHECK(d.result.err.code != BMAP_ERR_DATA || d.result.err.has_offset);
	}
	ops->close(d.decoder);
	ops->close(d.worker);
	guarded_free(&d.input);
	munmap(d.ring, 2 * d.ring_bytes + 4096);
	return d.result;
}

static void fill_noise(uint8_t *out, size_t len, uint32_t *random)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(test_random(random) >> 16);
}

static void fill_text(uint8_t *out, size_t len, uint32_t *random)
{
	static const char *const words[] = {
		"boot ", "root=", "/dev/sda1 ", "0x", "\n", "kernel "
	};

	for (size_t i = 0; i < len;) {
		const char *word = words[test_random(random) % ARRAY_LEN(words)];

		for (; *word && i < len; word++)
			out[i++] = (uint8_t)*word;
	}
}

uint8_t *test_image(enum test_image_kind kind, size_t len, uint32_t seed)
{
	uint8_t *image = calloc(1, len + 1);
	uint32_t random = seed * 2654435761u + 1;

	CHECK(image);
	if (kind == IMAGE_NOISE)
		fill_noise(image, len, &random);
	for (size_t at = 0; kind == IMAGE_MIXED && at < len;) {
		size_t piece = 1 + test_random(&random) % min_u64(len, 200 * KIB);

		piece = min_u64(piece, len - at);
		switch (test_random(&random) % 4) {
		case 0: /* zeros */
			break;
		case 1:
			fill_text(image + at, piece, &random);
			break;
		case 2:
			fill_noise(image + at, piece, &random);
			break;
		case 3: /* from as far back as a window of 1 MiB can reach, and farther */
			if (at > piece)
				memcpy(image + at,
				       image + at - piece -
					       test_random(&random) %
						       min_u64(at - piece, 1100 * KIB),
				       piece);
			break;
		}
		at += piece;
	}
	return image;
}

uint8_t *test_bytes_room(struct test_bytes *bytes, size_t len)
{
	bytes->data = realloc(bytes->data, bytes->len + len + 1);
	CHECK(bytes->data);
	memset(bytes->data + bytes->len, 0, len);
	return bytes->data + bytes->len;
}

void test_bytes_add(struct test_bytes *bytes, const void *data, size_t len)
{
	uint8_t *room = test_bytes_room(bytes, len);

	if (len)
		memcpy(room, data, len);
	bytes->len += len;
}

void test_bytes_free(struct test_bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct test_bytes){ 0 };
}

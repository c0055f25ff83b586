/* SPDX-License-Identifier: MIT */
/* The indexes at a container's end. What is taken for one has to add up. */
#include "decode/decoder_internal.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void read_one(const struct decoder_ops *ops, const uint8_t *tail, size_t len,
		     uint64_t source_bytes)
{
	struct unit_index index;
	uint64_t sum;
	size_t need = 0;

	switch (ops->read_index(tail, len, source_bytes, &index, &need)) {
	case INDEX_OK:
		CHECK(index.count && index.count <= UNIT_INDEX_MAX_UNITS);
		sum = index.first_offset;
		for (size_t i = 0; i < index.count; i++) {
			CHECK(index.units[i].source_bytes);
			CHECK(checked_add(sum, index.units[i].source_bytes, &sum));
		}
		CHECK(sum < source_bytes); /* the index lies behind */
		free(index.units);
		break;
	case INDEX_MORE:
		CHECK(!index.units && need > len && need <= UNIT_INDEX_MAX_BYTES);
		CHECK(need <= source_bytes);
		break;
	case INDEX_NONE:
		CHECK(!index.units);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct decoder_ops *const formats[] = { &zstd_decoder, &xz_decoder };

	struct indexed_unit unit;

	if (zstd_decoder.read_mark(data, len, &unit))
		CHECK(unit.source_bytes && unit.image_bytes != UINT64_MAX);
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		/* The whole file, its second half, and the end of a file of another size. */
		read_one(formats[i], data, len, len);
		read_one(formats[i], data + len / 2, len - len / 2, len);
		if (len >= 4)
			read_one(formats[i], data + 4, len - 4, len - 4 + load_le32(data));
	}
	return 0;
}

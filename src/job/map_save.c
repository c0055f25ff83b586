/* SPDX-License-Identifier: MIT */
#include <bmap/map.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "encode/encoder.h"
#include "job/output_file.h"

#define WHAT "the bmap"

static bool write_piece(void *user, const uint8_t *data, size_t len, struct bmap_error *err)
{
	return output_file_write(user, data, len, err);
}

bool bmap_map_save(const struct bmap_map *map, const char *path, struct bmap_error *err)
{
	const struct encoder_ops *encoder = path ? encoder_for_name(path) : NULL;
	CLEANUP_FREE char *text = NULL;
	struct output_file out;
	const struct encode_sink sink = { write_piece, &out };
	size_t len = 0;
	bool good;

	if (!bmap_map_format(map, &text, &len, err) ||
	    !output_file_open(&out, path, WHAT, NULL, err))
		return false;
	good = (encoder ? encoder->encode((const uint8_t *)text, len, &sink, err)
			: output_file_write(&out, text, len, err)) &&
	       output_file_commit(&out, err);
	output_file_discard(&out);
	return good;
}

bool bmap_map_save_check(const char *path, struct bmap_error *err)
{
	return output_file_check(path, WHAT, err);
}

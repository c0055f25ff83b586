/* SPDX-License-Identifier: MIT */
#include "encode/encoder_internal.h"

#include <string.h>
#include <strings.h>

const struct encoder_ops *const encoder_table[] = {
	&gzip_encoder,
	&zstd_encoder,
	&xz_encoder,
	NULL,
};

const struct encoder_ops *encoder_for_name(const char *name)
{
	const char *slash = strrchr(name, '/'), *file = slash ? slash + 1 : name;
	size_t len = strlen(file);

	for (size_t i = 0; encoder_table[i]; i++) {
		size_t suffix_len = strlen(encoder_table[i]->suffix);

		/* ".gz" alone is a hidden file's name. */
		if (len > suffix_len &&
		    !strcasecmp(file + len - suffix_len, encoder_table[i]->suffix))
			return encoder_table[i];
	}
	return NULL;
}

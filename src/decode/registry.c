/* SPDX-License-Identifier: MIT */
#include "decode/archive.h"
#include "decode/decoder_internal.h"
#include "decode/gzip_internal.h"
#include "decode/gzip_provider.h"

#include <string.h>
#include <strings.h>

#if HAVE_ISAL
#define GZIP_DECODER gzip_isal_decoder
#define GZIP_PROVIDER "ISA-L"
#define INFLATE_OPS isal_inflate_ops
#else
#define GZIP_DECODER gzip_zlib_decoder
#define GZIP_PROVIDER "zlib"
#define INFLATE_OPS zlib_inflate_ops
#endif

/* No two of these share a magic, but for zstd's skippable frames, which lz4 has too. The one
 * without a magic is asked last. */
const struct decoder_ops *const decoder_table[] = {
	&zstd_decoder,  &GZIP_DECODER, &xz_decoder,
#if HAVE_LZ4
	&lz4_decoder,
#endif
#if HAVE_LZOP
	&lzop_decoder,
#endif
#if HAVE_BZIP2
	&bzip2_decoder,
#endif
	&zip_decoder,   &tar_decoder,  &lzma_decoder, NULL,
};

const char *gzip_provider_name(void)
{
	return GZIP_PROVIDER;
}

const struct inflate_ops *inflate_provider(void)
{
	return &INFLATE_OPS;
}

bool decoder_is_archive(const struct decoder_ops *ops)
{
	return ops == &tar_decoder || ops == &zip_decoder;
}

const struct decoder_ops *archive_in_streams(void)
{
	return &tar_decoder;
}

const struct decoder_ops *decoder_detect(const uint8_t *head, size_t len)
{
	for (size_t i = 0; decoder_table[i]; i++)
		if (decoder_table[i]->probe(head, len))
			return decoder_table[i];
	return NULL;
}

static bool ends_with(const char *name, size_t name_len, const char *suffix, size_t suffix_len)
{
	/* A name that is nothing but the suffix is a hidden file, not an extension. */
	return name_len > suffix_len && !strcasecmp(name + name_len - suffix_len, suffix);
}

const struct decoder_ops *decoder_for_name(const char *name)
{
	const struct decoder_ops *found = NULL;
	const char *slash = strrchr(name, '/');
	size_t longest = 0, name_len;

	if (slash)
		name = slash + 1;
	name_len = strlen(name);
	for (size_t i = 0; decoder_table[i]; i++) {
		for (const char *const *s = decoder_table[i]->suffixes; *s; s++) {
			size_t len = strlen(*s);

			if (len > longest && ends_with(name, name_len, *s, len)) {
				longest = len;
				found = decoder_table[i];
			}
		}
	}
	return found;
}

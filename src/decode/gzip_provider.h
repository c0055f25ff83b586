/* SPDX-License-Identifier: MIT */
/* decode/gzip_provider.h - which library inflates in this build, for --debug. */
#ifndef DECODE_GZIP_PROVIDER_H
#define DECODE_GZIP_PROVIDER_H

/* "ISA-L" or "zlib": of the gzip decoder in decoder_table. */
const char *gzip_provider_name(void);

#endif

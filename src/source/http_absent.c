/* SPDX-License-Identifier: MIT */
/* Takes the place of http_source.c and http_request.c in a build without libcurl. */
#include "source/source_internal.h"

struct source *http_source_open(const struct url_request *request, const struct http_limits *limits,
				struct bmap_error *err)
{
	(void)limits;
	bmap_error_set(err, BMAP_ERR_UNSUPPORTED,
		       "%s: this program was built without libcurl: download the file first, or "
		       "pipe it into \"-\"",
		       request->name);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void format(struct bmap_error *err, enum bmap_error_code code, int errnum, const char *fmt,
		   va_list args)
{
	int saved = errno, len;
	char reason[128];

	*err = (struct bmap_error){ .code = code, .errnum = errnum };
	len = vsnprintf(err->text, sizeof(err->text), fmt, args);
	if (errnum && len >= 0 && (size_t)len < sizeof(err->text)) {
		/* The GNU strerror_r(3): returns the text, which may not be in the buffer. */
		const char *text = strerror_r(errnum, reason, sizeof(reason));

		snprintf(err->text + len, sizeof(err->text) - (size_t)len, ": %s", text);
	}
	errno = saved;
}

bool bmap_error_set(struct bmap_error *err, enum bmap_error_code code, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return false;
	va_start(args, fmt);
	format(err, code, 0, fmt, args);
	va_end(args);
	return false;
}

static enum bmap_error_code code_of(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return BMAP_ERR_NOT_FOUND;
	case ENOMEM:
		return BMAP_ERR_MEMORY;
	default:
		return BMAP_ERR_IO;
	}
}

bool bmap_error_errnum(struct bmap_error *err, int errnum, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return false;
	va_start(args, fmt);
	format(err, code_of(errnum), errnum, fmt, args);
	va_end(args);
	return false;
}

bool bmap_error_errno(struct bmap_error *err, const char *fmt, ...)
{
	int errnum = errno;
	va_list args;

	if (!err)
		return false;
	va_start(args, fmt);
	format(err, code_of(errnum), errnum, fmt, args);
	va_end(args);
	return false;
}

bool bmap_error_data(struct bmap_error *err, uint64_t offset_bytes, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return false;
	va_start(args, fmt);
	format(err, BMAP_ERR_DATA, 0, fmt, args);
	va_end(args);
	err->has_offset = true;
	err->offset_bytes = offset_bytes;
	return false;
}

bool bmap_error_append(struct bmap_error *err, const char *fmt, ...)
{
	int saved = errno;
	size_t len;
	va_list args;

	if (!err)
		return false;
	len = strlen(err->text);
	va_start(args, fmt);
	vsnprintf(err->text + len, sizeof(err->text) - len, fmt, args);
	va_end(args);
	errno = saved;
	return false;
}

bool bmap_error_memory(struct bmap_error *err, const char *what)
{
	return bmap_error_set(err, BMAP_ERR_MEMORY, "%s: out of memory", what);
}

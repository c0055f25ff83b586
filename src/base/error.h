/* SPDX-License-Identifier: MIT */
/* base/error.h - makers for struct bmap_error. All return false, so that a function can say
 * `return bmap_error_set(...)`. A NULL err is allowed. They never change errno. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <bmap/error.h>

#include <stdarg.h>

#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

bool bmap_error_set(struct bmap_error *err, enum bmap_error_code code, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* Code IO (NOT_FOUND for ENOENT, MEMORY for ENOMEM); appends ": " and the text of errnum. */
bool bmap_error_errnum(struct bmap_error *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same with errno. */
bool bmap_error_errno(struct bmap_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same with code DATA and an offset: ", at offset N of the compressed file" is the caller's
 * wording; offset_bytes is kept beside it. */
bool bmap_error_data(struct bmap_error *err, uint64_t offset_bytes, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* Puts something behind the text of what failed already, as far as there is room. */
bool bmap_error_append(struct bmap_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool bmap_error_memory(struct bmap_error *err, const char *what);

#endif

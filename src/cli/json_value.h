/* SPDX-License-Identifier: MIT */
/* cli/json_value.h - values as the documents of docs/json.md have them.
 *
 * Ownership: the caller's, to be handed on to jansson's "o". NULL: no memory, which json_pack()
 *            passes on.
 * Threads:   any. */
#ifndef CLI_JSON_VALUE_H
#define CLI_JSON_VALUE_H

#include <bmap/error.h>

#include <jansson.h>
#include <time.h>

/* A name, which is bytes, as JSON text, which is UTF-8: each byte that is no UTF-8 becomes U+FFFD.
 * null for NULL. */
json_t *json_text(const char *bytes);
/* Beside it, as "s:o*": the bytes in hex if json_text() lost any, else NULL. */
json_t *json_text_hex(const char *bytes);
json_t *json_number(uint64_t n); /* at most INT64_MAX */
json_t *json_number_or_null(uint64_t n); /* null for 0 */
json_t *json_ms(uint64_t ns); /* rounded to milliseconds */
json_t *json_time(const struct timespec *realtime); /* RFC 3339 in UTC, with milliseconds */
json_t *json_time_now(void);
/* Bytes a second; null if no time went by. */
json_t *json_speed(uint64_t bytes, uint64_t ns);

/* list with item behind it; takes both. NULL if either is: nothing is left out silently. */
json_t *json_append(json_t *list, json_t *item);

bool text_is_utf8(const char *bytes);
/* "EIO"; NULL: not one of those that come with files, devices and networks. */
const char *errno_name(int errnum);
/* "data" for BMAP_ERR_DATA. */
const char *error_code_word(enum bmap_error_code code);

#endif

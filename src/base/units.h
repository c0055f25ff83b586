/* SPDX-License-Identifier: MIT */
/* base/units.h - numbers for people. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define SIZE_TEXT_BYTES 32

/* "512 bytes", "1.9 GiB"; text has SIZE_TEXT_BYTES; returns it. */
const char *size_text(uint64_t bytes, char *text);

#endif

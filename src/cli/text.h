/* SPDX-License-Identifier: MIT */
/* cli/text.h - numbers as people and scripts read them. Always with a decimal point, whatever the
 * locale. All write at most TEXT_ROOM bytes and return out, so that they can stand in a printf. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_ROOM 48

/* "700 bytes", "1.0 KiB", "3.9 GiB". */
char *text_size(char out[TEXT_ROOM], uint64_t bytes);
/* "5.3s", "1m 05.2s", "75m 00.0s": never hours, LAVA's expression for the closing line has none. */
char *text_time(char out[TEXT_ROOM], uint64_t ns);
/* "104.2 MiB/sec", never another unit, for the same reason. 0 bytes are 0.0, however fast. */
char *text_speed(char out[TEXT_ROOM], uint64_t bytes, uint64_t ns);
/* "0:07", "1:02:03": for people only, as no script reads hours. */
char *text_clock(char out[TEXT_ROOM], uint64_t seconds);
/* Whole percent, rounded down: 100 only if done is all of total (> 0). */
unsigned percent_of(uint64_t done, uint64_t total);

/* "[###...]", width columns with its brackets, at least 2; out: width + 1 bytes. */
void text_bar(char *out, size_t width, unsigned percent);

/* Copies at most room bytes of text, control characters as '?' (file names may hold any). Returns
 * how many; no 0 is put behind them. */
size_t text_clean(char *out, size_t room, const char *text);
/* The same of what fits columns: of a longer text its end, which is what tells names apart, behind
 * "...". A byte is taken for a column, which UTF-8 never exceeds. out: columns + 1 bytes. */
char *text_tail(char *out, size_t columns, const char *text);

#endif

/* SPDX-License-Identifier: MIT */
/* target/device_text.h - what a device says of itself, made fit to be shown.
 *
 * Vendor, model, serial and label are written by whoever made the device: any bytes of any length.
 * Threads: any. */
#ifndef TARGET_DEVICE_TEXT_H
#define TARGET_DEVICE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_TEXT_BYTES 4097u /* sysfs gives at most a page */

/* Makes len bytes of text (room for one more) a string: no spaces or NULs at its ends, and '?' for
 * each byte of control characters, of marks that change the direction of what follows, and of what
 * is no UTF-8. False if nothing is left. */
bool device_text_clean(char *text, size_t len);
/* The same for a string that is a copy with "\x20" for some bytes, as udev keeps them. */
bool device_text_decode(char *text);
/* The serial number in a SCSI "unit serial number" page: SPC-4 7.8.18. Text is as above. */
bool device_text_serial_page(const uint8_t *page, size_t len, char text[DEVICE_TEXT_BYTES]);

/* The file folder/attribute of sysfs. False if it cannot be read or says nothing. */
bool device_text_read(const char *folder, const char *attribute, char text[DEVICE_TEXT_BYTES]);
/* A decimal number; 0 if there is none. */
uint64_t device_number_read(const char *folder, const char *attribute);
/* The bytes of a file; how many. */
size_t device_bytes_read(const char *folder, const char *attribute, void *bytes, size_t size);

#endif

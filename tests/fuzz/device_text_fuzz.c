/* SPDX-License-Identifier: MIT */
/* What devices and udev say: whatever it is, the text has no control characters, nothing blank at
 * its ends, and is no longer than what it was made from. */
#include "target/device_text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, bool something, size_t most)
{
	size_t len = strlen(text);

	if (!something)
		return;
	if (!len || len > most || text[0] == ' ' || text[len - 1] == ' ')
		abort();
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			abort();
}

static void clean_twice(char *text, size_t len)
{
	char again[DEVICE_TEXT_BYTES];
	bool something = device_text_clean(text, len);

	check(text, something, len);
	memcpy(again, text, strlen(text) + 1);
	/* What is fit to be shown stays as it is. */
	if (something && (!device_text_clean(again, strlen(again)) || strcmp(again, text) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = size < DEVICE_TEXT_BYTES ? size : DEVICE_TEXT_BYTES - 1;
	/* On the heap, just as long as they need to be: for the address sanitizer. */
	char *text = malloc(len + 1), *serial = malloc(DEVICE_TEXT_BYTES);
	uint8_t *page = malloc(size ? size : 1);

	if (!text || !serial || !page)
		abort();
	memcpy(page, data, size);
	check(serial, device_text_serial_page(page, size, serial), size);
	memcpy(text, data, len);
	clean_twice(text, len);
	memcpy(text, data, len);
	text[len] = '\0';
	check(text, device_text_decode(text), len);
	free(page);
	free(serial);
	free(text);
	return 0;
}

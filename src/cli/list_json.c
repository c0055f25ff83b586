/* SPDX-License-Identifier: MIT */
#include "cli/device_json.h"
#include "cli/list.h"

bool list_json(FILE *to, const struct bmap_device_list *list)
{
	json_t *devices = json_array();
	json_t *document = json_pack("{s:o}", "devices", devices);
	bool good = document;

	for (size_t i = 0; good && i < list->count; i++)
		good = !json_array_append_new(devices, device_json(&list->devices[i]));
	if (good) {
		json_dumpf(document, to, JSON_INDENT(2)); /* what is not written shows in ferror */
		fputc('\n', to);
	}
	json_decref(document);
	return good;
}

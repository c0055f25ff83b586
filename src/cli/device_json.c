/* SPDX-License-Identifier: MIT */
#include "cli/device_json.h"
#include "cli/json_value.h"

static json_t *part_json(const struct bmap_device_part *part)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "path", json_text(part->path), "offset_bytes",
			 json_number(part->offset_bytes), "size_bytes",
			 json_number(part->size_bytes), "type", json_text(part->type), "label",
			 json_text(part->label), "mounted_at", json_text(part->mounted_at));
}

static json_t *parts_json(const struct bmap_device *device)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < device->part_count; i++)
		if (json_array_append_new(list, part_json(&device->parts[i]))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *device_json(const struct bmap_device *device)
{
	json_t *object = json_pack(
		"{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "path", json_text(device->path), "vendor",
		json_text(device->vendor), "model", json_text(device->model), "serial",
		json_text(device->serial), "transport", json_text(device->transport), "by_id",
		json_text(device->by_id), "by_path", json_text(device->by_path), "usb_path",
		json_text(device->usb_path), "size_bytes", json_number(device->size_bytes));
	json_t *rest =
		json_pack("{s:I,s:I,s:b,s:b,s:b,s:o,s:o,s:o,s:o,s:o}", "logical_block_bytes",
			  (json_int_t)device->logical_block_bytes, "physical_block_bytes",
			  (json_int_t)device->physical_block_bytes, "removable", device->removable,
			  "read_only", device->read_only, "rotational", device->rotational,
			  "content", json_text(device->content), "label", json_text(device->label),
			  "mounted_at", json_text(device->mounted_at), "parts", parts_json(device),
			  "refusal", json_text(device->refusal));

	if (!object || !rest || json_object_update(object, rest)) {
		json_decref(object);
		object = NULL;
	}
	json_decref(rest);
	return object;
}

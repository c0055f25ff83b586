/* SPDX-License-Identifier: MIT */
/* cli/device_json.h - facts about a device as JSON: docs/list.schema.json. */
#ifndef CLI_DEVICE_JSON_H
#define CLI_DEVICE_JSON_H

#include <bmap/device.h>
#include <jansson.h>

/* The members of struct bmap_device by their names, null for what is not known. NULL: no memory. */
json_t *device_json(const struct bmap_device *device);

#endif

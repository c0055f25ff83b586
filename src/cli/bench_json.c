/* SPDX-License-Identifier: MIT */
/* The document of docs/bench.schema.json. */
#include "cli/bench.h"
#include "cli/json_value.h"

#include <stdlib.h>
#include <string.h>

static bool set(json_t *object, const char *key, json_t *value)
{
	return !json_object_set_new(object, key, value);
}

static json_t *device_facts(const struct bmap_device *device)
{
	if (!device)
		return json_null();
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:b}", "vendor", json_text(device->vendor), "model",
			 json_text(device->model), "serial", json_text(device->serial), "transport",
			 json_text(device->transport), "logical_block_bytes",
			 json_number(device->logical_block_bytes), "rotational",
			 device->rotational);
}

json_t *bench_json(const char *name, const struct bmap_bench_target *target,
		   const struct bmap_device *device, bool write)
{
	static const char *const kinds[] = { [BMAP_BENCH_DEVICE] = "device",
					     [BMAP_BENCH_FILE] = "file",
					     [BMAP_BENCH_SCRATCH] = "scratch" };
	json_t *document = json_object(), *hex = json_text_hex(name);

	if (document && (!hex || set(document, "target_hex", hex)) &&
	    set(document, "schema", json_number(1)) &&
	    set(document, "bmaptool", json_string(bmap_version())) &&
	    set(document, "started", json_time_now()) && set(document, "target", json_text(name)) &&
	    set(document, "kind", json_string(kinds[target->kind])) &&
	    set(document, "written", json_boolean(write)) &&
	    set(document, "size_bytes", json_number(target->size_bytes)) &&
	    set(document, "direct", json_boolean(target->direct)) &&
	    set(document, "engine", json_string(target->engine)) &&
	    set(document, "device", device_facts(device)) &&
	    set(document, "complete", json_false()) && set(document, "points", json_array()))
		return document;
	json_decref(document);
	return NULL;
}

static json_t *latency(const struct bmap_bench_result *r)
{
	json_t *buckets = json_array();

	for (size_t i = 0; i < r->bucket_count; i++)
		buckets =
			json_append(buckets, json_pack("[o,o]", json_number(r->buckets[i].upto_ns),
						       json_number(r->buckets[i].count)));
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "mean", json_number(r->mean_ns), "p50",
			 json_number(r->p50_ns), "p90", json_number(r->p90_ns), "p99",
			 json_number(r->p99_ns), "p99.9", json_number(r->p999_ns), "max",
			 json_number(r->max_ns), "buckets", buckets);
}

static json_t *per_second(const struct bmap_bench_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->second_count; i++)
		list = json_append(list, json_number(r->second_bytes[i]));
	return list;
}

bool bench_json_point(json_t *document, const struct bmap_bench_result *r)
{
	double seconds = (double)r->elapsed_ns / 1e9;
	double gib = (double)r->bytes / (1024.0 * 1024.0 * 1024.0);
	json_t *point = json_object();

	if (point && set(point, "op", json_string(r->point.write ? "write" : "read")) &&
	    set(point, "random", json_boolean(r->point.random)) &&
	    set(point, "block_bytes", json_number(r->point.block_bytes)) &&
	    set(point, "depth", json_number(r->point.depth)) &&
	    set(point, "complete", json_boolean(r->complete)) &&
	    set(point, "seconds", json_real(seconds)) &&
	    set(point, "bytes", json_number(r->bytes)) &&
	    set(point, "requests", json_number(r->requests)) &&
	    set(point, "bytes_per_s", json_real((double)r->bytes / seconds)) &&
	    set(point, "requests_per_s", json_real((double)r->requests / seconds)) &&
	    set(point, "latency_ns", latency(r)) &&
	    set(point, "flush_seconds",
		r->point.write && r->complete ? json_real((double)r->flush_ns / 1e9)
					      : json_null()) &&
	    set(point, "cpu_seconds_per_gib", json_real((double)r->cpu_ns / 1e9 / gib)) &&
	    set(point, "bytes_in_each_second", per_second(r)))
		return !json_array_append_new(json_object_get(document, "points"), point);
	json_decref(point);
	return false;
}

bool bench_json_save(json_t *document, bool complete, const char *path, struct bmap_error *err)
{
	char *dump;
	bool ok;

	set(document, "complete", json_boolean(complete));
	dump = json_dumps(document, JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12));
	if (!dump) {
		*err = (struct bmap_error){ .code = BMAP_ERR_MEMORY };
		snprintf(err->text, sizeof(err->text), "%.500s: no memory for the document", path);
		return false;
	}
	ok = bmap_file_save(path, "the results", dump, strlen(dump), err);
	free(dump);
	return ok;
}

/* SPDX-License-Identifier: MIT */
#include "cli/bench.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1024.0 * 1024.0)
#define GIB (1024.0 * MIB)
#define FLUSH_SHOWN_NS 10000000u /* less says nothing of a cache */

const char *bench_op_text(const struct bmap_bench_point *point)
{
	static const char *const texts[2][2] = { { "sequential read", "random read" },
						 { "sequential write", "random write" } };

	return texts[point->write][point->random];
}

char *bench_block_text(char *out, uint64_t bytes)
{
	bool mib = bytes % (1024 * 1024) == 0;

	snprintf(out, TEXT_ROOM, "%" PRIu64 " %s", bytes / (mib ? 1024 * 1024 : 1024),
		 mib ? "MiB" : "KiB");
	return out;
}

char *bench_latency_text(char *out, uint64_t ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double n = (double)ns;
	unsigned unit = 0;

	/* 999.6 would be printed as 1000. */
	for (; n >= 999.5 && unit < 3; n /= 1000)
		unit++;
	snprintf(out, TEXT_ROOM, "%.*f %s",
		 !unit || n >= 99.95 ? 0
		 : n >= 9.995        ? 1
				     : 2,
		 n, units[unit]);
	return out;
}

static void print_clean(FILE *to, const char *text)
{
	char clean[1024];

	clean[text_clean(clean, sizeof(clean) - 1, text)] = '\0';
	fputs(clean, to);
}

/* What it is, but for its size. */
static void print_device(FILE *to, const struct bmap_device *device)
{
	if (device->vendor || device->model)
		fprintf(to, "%s%s%s, ", device->vendor ? device->vendor : "",
			device->vendor && device->model ? " " : "",
			device->model ? device->model : "");
	if (device->serial)
		fprintf(to, "serial %s, ", device->serial);
	if (device->transport)
		fprintf(to, "%s, ", device->transport);
}

void bench_table_title(FILE *to, const char *name, const struct bmap_bench_target *target,
		       const struct bmap_device *device)
{
	char size[TEXT_ROOM];

	print_clean(to, name);
	fputs(": ", to);
	if (device)
		print_device(to, device);
	fprintf(to, "%s%s; %s, %s\n",
		target->kind == BMAP_BENCH_SCRATCH ? "a scratch file of " : "",
		text_size(size, target->size_bytes), target->engine,
		target->direct ? "O_DIRECT" : "through the page cache");
}

static void print_file_system(FILE *to, const char *type, const char *label)
{
	fprintf(to, " %s", type ? type : "unknown");
	if (label)
		fprintf(to, " \"%s\"", label);
}

char *bench_content_text(const struct bmap_device *device)
{
	char *text = NULL, size[TEXT_ROOM];
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	print_device(to, device);
	fprintf(to, "%s; it holds", text_size(size, device->size_bytes));
	if (!device->content)
		fputs(" nothing that is known", to);
	else
		print_file_system(to, device->content, device->label);
	for (size_t i = 0; i < device->part_count; i++) {
		const struct bmap_device_part *part = &device->parts[i];

		fprintf(to, "%s %s", i ? "," : ":", part->path);
		print_file_system(to, part->type, part->label);
	}
	if (fclose(to)) {
		free(text);
		return NULL;
	}
	return text;
}

void bench_table_head(FILE *to)
{
	fprintf(to, "%-16s %7s %5s %9s %9s %8s %8s %8s %8s %8s %7s\n", "", "size", "depth", "MiB/s",
		"IOPS", "p50", "p90", "p99", "p99.9", "max", "CPU/GiB");
}

void bench_table_row(FILE *to, const struct bmap_bench_result *r)
{
	const uint64_t latencies[] = { r->p50_ns, r->p90_ns, r->p99_ns, r->p999_ns, r->max_ns };
	double seconds = (double)r->elapsed_ns / 1e9;
	char text[TEXT_ROOM];

	fprintf(to, "%-16s %7s %5u %9.1f %9.0f", bench_op_text(&r->point),
		bench_block_text(text, r->point.block_bytes), r->point.depth,
		(double)r->bytes / MIB / seconds, (double)r->requests / seconds);
	for (size_t i = 0; i < sizeof(latencies) / sizeof(latencies[0]); i++)
		fprintf(to, " %8s", bench_latency_text(text, latencies[i]));
	fprintf(to, " %5.2f s", (double)r->cpu_ns / 1e9 / ((double)r->bytes / GIB));
	if (r->flush_ns >= FLUSH_SHOWN_NS)
		fprintf(to, "  flush %s", bench_latency_text(text, r->flush_ns));
	fputs(r->complete ? "\n" : "  (stopped)\n", to);
}

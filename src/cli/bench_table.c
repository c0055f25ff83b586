/* SPDX-License-Identifier: MIT */
#include "cli/bench.h"
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

#define MIB (1024.0 * 1024.0)
#define GIB (1024.0 * MIB)

const char *bench_op_text(const struct bmap_bench_point *point)
{
	return point->random ? "random read" : "sequential read";
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

void bench_table_title(FILE *to, const char *name, const struct bmap_bench_target *target,
		       const struct bmap_device *device)
{
	char size[TEXT_ROOM];

	print_clean(to, name);
	if (device) {
		const char *const facts[] = { device->vendor, device->model };

		fputs(":", to);
		for (size_t i = 0; i < 2; i++)
			if (facts[i])
				fprintf(to, " %s", facts[i]);
		if (device->serial)
			fprintf(to, " (serial %s)", device->serial);
		if (device->transport)
			fprintf(to, "%s %s", device->vendor || device->model ? "," : "",
				device->transport);
	}
	fprintf(to, "%s %s; %s, %s\n", device ? "," : ":", text_size(size, target->size_bytes),
		target->engine, target->direct ? "O_DIRECT" : "through the page cache");
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
	fprintf(to, " %5.2f s%s\n", (double)r->cpu_ns / 1e9 / ((double)r->bytes / GIB),
		r->complete ? "" : "  (stopped)");
}

/* SPDX-License-Identifier: MIT */
/* The reader of FAT on any bytes, which zeros follow up to 64 MiB: what it finds lies in the
 * volume, and rises. */
#include "base/checked.h"
#include "fs/fs_internal.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define VOLUME_BYTES (64u * MIB)
#define BEGIN_BYTES 4096u
#define MAX_INPUT_BYTES MIB

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fs_volume volume = { .name = "fuzz",
				    .begin_bytes = BEGIN_BYTES,
				    .size_bytes = VOLUME_BYTES };
	struct used_spans spans = { 0 };
	struct bmap_error err;
	char why[FS_WHY_BYTES] = "";
	uint64_t at = BEGIN_BYTES;
	enum fs_verdict verdict;

	volume.fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (volume.fd < 0 || ftruncate(volume.fd, BEGIN_BYTES + VOLUME_BYTES))
		abort();
	len = min_u64(len, MAX_INPUT_BYTES);
	if (len && pwrite(volume.fd, data, len, BEGIN_BYTES) != (ssize_t)len)
		abort();
	verdict = fat_used(&volume, &spans, why, &err);
	if (verdict == FS_FAILED || (verdict == FS_WHOLE) != (why[0] != '\0'))
		abort();
	for (size_t i = 0; i < spans.count; i++) {
		const struct used_span *span = &spans.items[i];

		if (span->begin_bytes < at || span->begin_bytes >= span->end_bytes ||
		    span->end_bytes > BEGIN_BYTES + VOLUME_BYTES)
			abort();
		at = span->end_bytes;
	}
	used_spans_free(&spans);
	close(volume.fd);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* flash.h - writes the mapped ranges of an image to one or many targets and checks them.
 *
 * Threads: bmap_flash() blocks; callbacks named "progress" are made on the calling thread, log
 *          messages from any (log.h). Several jobs may run at once. */
#ifndef BMAP_FLASH_H
#define BMAP_FLASH_H

#include <bmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bmap_target_state {
	BMAP_TARGET_WAITING, /* opened and checked; nothing written yet */
	BMAP_TARGET_WRITING,
	BMAP_TARGET_WRITTEN, /* every byte but the withheld head; waits for the source's verdict */
	BMAP_TARGET_FLUSHING, /* the device's cache is being flushed */
	BMAP_TARGET_HEAD, /* the withheld head is being written and flushed */
	BMAP_TARGET_DONE, /* complete and on stable storage */
	BMAP_TARGET_FAILED,
	BMAP_TARGET_INTERRUPTED,
};

struct bmap_target_progress {
	const char *name;
	enum bmap_target_state state;
	uint64_t completed_bytes; /* mapped bytes that the device has reported as written */
};

struct bmap_flash_progress {
	uint64_t total_bytes; /* mapped bytes a target; 0: not known (no map, compressed) */
	uint64_t source_total_bytes; /* size of the source, 0: not known */
	uint64_t source_read_bytes;
	uint64_t elapsed_ns;
	size_t target_count;
	const struct bmap_target_progress *targets; /* lent for the call */
};

struct bmap_flash_options {
	size_t struct_size;
	const char *image; /* path; "-": standard input */
	const char *bmap; /* path; NULL: discovered beside the image, unless no_bmap */
	/* The bmap's OpenPGP signature, checked by GnuPG before anything else is done: detached
	 * (bmap_signature; NULL: the bmap's name with .asc or .sig behind it, where there is such a
	 * file) or inside a clearsigned bmap. One that is there and not good ends the job, code
	 * REFUSED; only the signed bytes are used. Without one, keyring and fingerprint are an
	 * error, code NOT_FOUND. */
	const char *bmap_signature;
	bool no_signature; /* do not look; excludes the three others, as does no_bmap */
	const char *keyring; /* path of an OpenPGP keyring for gpgv; NULL: gpg and the user's */
	const char
		*fingerprint; /* 40 or 64 digits: the key (or its primary) that must have signed */
	const char *const *targets; /* paths; borrowed for the call, as are all strings */
	size_t target_count;
	const char *member; /* of an archive: full name or base name; NULL: first regular file */
	bool no_bmap; /* write every byte of the image */
	bool no_verify; /* do not check range checksums */
	bool removable_only; /* refuse targets that are not removable block devices */
	bool allow_dev_files; /* allow creating or writing regular files below /dev */
	uint64_t memory_bytes; /* 0: default (256 MiB, at most a quarter of the machine's) */
	unsigned queue_depth; /* requests in flight a target, 0: adaptive */
	unsigned workers; /* decode workers, 0: one per processor */
	unsigned
		stall_seconds; /* give a target up that completes nothing for so long, 0: default */
	const struct bmap_log *log; /* may be NULL */
	struct bmap_stop *stop; /* may be NULL */
	void (*progress)(void *user, const struct bmap_flash_progress *progress); /* may be NULL */
	void *progress_user;
	unsigned progress_interval_ms; /* 0: 200 */
};
#define BMAP_FLASH_OPTIONS_INIT                                                                    \
	{                                                                                          \
		.struct_size = sizeof(struct bmap_flash_options)                                   \
	}

struct bmap_target_result {
	enum bmap_target_state state; /* DONE, FAILED or INTERRUPTED */
	uint64_t completed_bytes;
	struct bmap_error error; /* code NONE if DONE */
};

struct bmap_flash_result {
	uint64_t mapped_bytes; /* written to each target */
	uint64_t image_bytes; /* size of the whole image */
	uint64_t elapsed_ns; /* first byte read to last flush */
	uint64_t flush_ns; /* of that: longest final flush */
	size_t target_count;
	struct bmap_target_result *targets; /* freed by bmap_flash_result_free() */
};

/* True only if every target is DONE. On false err says the first thing that failed; result is
 * filled in both cases (zeroed when the job ended before it had targets). */
BMAP_API bool bmap_flash(const struct bmap_flash_options *options, struct bmap_flash_result *result,
			 struct bmap_error *err);
BMAP_API void bmap_flash_result_free(struct bmap_flash_result *result);

#ifdef __cplusplus
}
#endif
#endif

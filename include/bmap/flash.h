/* SPDX-License-Identifier: MIT */
/* flash.h - writes the mapped ranges of an image to one or many targets and checks them.
 *
 * Threads: bmap_flash() blocks; callbacks named "progress" are made on the calling thread, log
 *          messages from any (log.h). Several jobs may run at once. */
#ifndef BMAP_FLASH_H
#define BMAP_FLASH_H

#include <bmap/device.h>
#include <bmap/map.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bmap_target_state {
	BMAP_TARGET_WAITING, /* opened and checked; nothing written yet */
	BMAP_TARGET_WRITING,
	BMAP_TARGET_WRITTEN, /* every byte but the withheld head; waits for the source's verdict */
	BMAP_TARGET_FLUSHING, /* the device's cache is being flushed */
	BMAP_TARGET_READING_BACK, /* what was written is read and compared */
	BMAP_TARGET_HEAD, /* the withheld head is being written, flushed and read back */
	BMAP_TARGET_DETACHED, /* too slow for the others: waits for a pass of its own */
	BMAP_TARGET_DONE, /* complete and on stable storage */
	BMAP_TARGET_FAILED,
	BMAP_TARGET_INTERRUPTED,
};

/* What a target is and how far it came. Strings, device and error are the job's: in a progress
 * report lent for the call, in a result until bmap_flash_result_free(). */
struct bmap_target_report {
	const char *name; /* as named by the caller */
	/* What it is, also of a refused one; not what is on it: content, label, parts, mounted_at
	 * and refusal are empty. NULL: no block device. */
	const struct bmap_device *device;
	uint64_t size_bytes; /* of a block device, else 0 */
	enum bmap_target_state state;
	unsigned pass; /* 1; more for one that was detached; 0: it was refused */
	uint64_t completed_bytes; /* mapped bytes that it has reported as written, in this pass */
	uint64_t read_back_bytes; /* of those, read back and found good */
	uint64_t begun_ns, ended_ns; /* since the job began: opened; final (0: not yet) */
	uint64_t busy_ns; /* with at least one request in flight, in this pass */
	uint64_t flush_ns, read_back_ns;
	uint64_t retries; /* requests that had to be submitted again */
	bool read_back; /* every mapped byte was read back and found good */
	const struct bmap_error *error; /* of one that failed or was interrupted, else NULL */
	bool released; /* it is closed, its partition table was read again: it may be unplugged */
	bool whole_job; /* error is what ended the whole job; false: it is this target's own */
};

/* What is written. Digests are SHA-256 in lower-case hex, NULL where not known (yet). */
struct bmap_image_report {
	const char *name, *bmap; /* bmap NULL: none */
	const char *format; /* "raw", "zstd", "gzip tar": the layers from the outside in */
	uint64_t image_bytes; /* size of the whole image; 0: not known (yet) */
	uint64_t mapped_bytes; /* to be written to each target; 0: not known (yet) */
	const char *bmap_digest; /* of the bmap file as it is stored */
	/* Of the image file as it is stored, if options.digest_image asked for it and the whole
	 * file was read in order (not so: a raw image of which only the mapped extents are read);
	 * known at the end. */
	const char *file_digest;
	/* Of the mapped bytes as the bmap describes them, however they are compressed:
	 * bmap_map_content_digest() says how it is made. NULL: a range has no checksum, or no bmap.
	 */
	const char *content_digest;
	bool verified; /* what is read is compared with the checksums of the bmap */
};

/* The first report comes before anything is written to any target, the last one after all targets
 * are final. */
struct bmap_flash_progress {
	uint64_t total_bytes; /* mapped bytes a target; 0: not known (no map, compressed) */
	uint64_t source_total_bytes; /* size of the source, 0: not known */
	uint64_t source_read_bytes;
	uint64_t elapsed_ns;
	bool read_back; /* targets are read back after they were written */
	const struct bmap_image_report *image;
	size_t target_count; /* as in the options, and in their order */
	const struct bmap_target_report *targets;
};

enum bmap_choice { BMAP_CHOICE_DEFAULT, BMAP_CHOICE_NO, BMAP_CHOICE_YES };

enum bmap_straggler {
	BMAP_STRAGGLER_DEFAULT, /* detach, if there are several targets and the source can be read
				   twice; else wait, which is said once */
	BMAP_STRAGGLER_WAIT, /* all go at the speed of the slowest */
	/* A target that holds the others, at least half of them, below half of their own speed for
	 * straggler_seconds is left out and written in another pass over the source. USAGE for a
	 * source that cannot be read twice. */
	BMAP_STRAGGLER_DETACH,
};

/* What belongs on the line. A target that does not fit is refused like one that is in use; a wrong
 * count refuses all of them, before anything is written. Zero or NULL: not asked. */
struct bmap_expect {
	uint64_t least_bytes, most_bytes; /* size of a block device, both included */
	const char *model; /* pattern, fnmatch(3), for "MODEL" or "VENDOR MODEL"; case is ignored */
	unsigned count; /* targets that pass every check */
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
	enum bmap_choice read_back; /* default: for several targets */
	enum bmap_straggler straggler;
	unsigned straggler_seconds; /* 0: 10 */
	struct bmap_expect expect;
	bool digest_image; /* compute bmap_image_report.file_digest */
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

struct bmap_flash_result {
	uint64_t mapped_bytes; /* written to each target */
	uint64_t image_bytes; /* size of the whole image */
	uint64_t elapsed_ns; /* first byte read to last flush */
	uint64_t flush_ns; /* of that: longest final flush */
	struct bmap_image_report image;
	bool read_back; /* it was asked for, or the default */
	size_t target_count; /* 0: the job ended before it looked at them; else as in the options */
	struct bmap_target_report *targets; /* each DONE, FAILED or INTERRUPTED */
	void *owned; /* what the reports point to */
};

/* True only if every target is DONE. A target that is refused or fails ends alone, the others go
 * on; naming a disk twice (also as a partition of it), or a bmap as one of several targets, refuses
 * the whole job before anything is written. On false err says the first thing that failed; result
 * is filled in both cases (its target_count 0 when the job ended before it looked at targets). */
BMAP_API bool bmap_flash(const struct bmap_flash_options *options, struct bmap_flash_result *result,
			 struct bmap_error *err);
/* May the caller write a file at path during or after this flash? False with code REFUSED if it is
 * (or lies on) the image, the bmap that is named or would be found, its signature, the keyring, or
 * one of the targets; compared are files and disks as they are now, not names. */
BMAP_API bool bmap_flash_check_output(const struct bmap_flash_options *options, const char *path,
				      struct bmap_error *err);
BMAP_API void bmap_flash_result_free(struct bmap_flash_result *result);

#ifdef __cplusplus
}
#endif
#endif

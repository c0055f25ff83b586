/* SPDX-License-Identifier: MIT */
/* target_test_support.h - a folder, a log that remembers, loop devices and mounts that end with
 * the test. */
#ifndef TARGET_TEST_SUPPORT_H
#define TARGET_TEST_SUPPORT_H

#include "unit_test.h"

#include "loop.h"
#include "target/target.h"

#define MAX_LOOPS 3

struct bench {
	char dir[64];
	struct loop_device loops[MAX_LOOPS];
	char mounted[96]; /* undone in teardown, "" if none */
	char swap[32];
	int held; /* a descriptor, -1 */
	struct bmap_log log; /* into lines */
	char lines[4096];
	struct bmap_error err;
	struct target target;
};

int bench_setup(void **state);
int bench_teardown(void **state); /* undoes everything, also after a failed assertion */
/* DIR/name; lent from a small rotating store. */
const char *bench_path(const struct bench *b, const char *name);
/* A file in the folder with len bytes of a pattern (its first block is not zero). */
const char *bench_file(const struct bench *b, const char *name, uint64_t len);
/* A loop device over DIR/name of that size. Skips the test if there can be none. */
struct loop_device *bench_loop(struct bench *b, const char *name, uint64_t bytes,
			       const struct loop_options *options);
/* Adds partition 1, the second half, to a loop device that was attached with partitions. Without a
 * table on the disk: a kernel that reads it again finds none, whatever formats it knows. */
bool bench_add_partition(const struct loop_device *loop, uint64_t disk_bytes);
/* Runs a program silently; false if it failed or is not installed. */
bool bench_run(const char *const *argv);

void expect_refused(struct bench *b, const char *path, const struct target_rules *rules,
		    enum bmap_error_code code, const char *const *texts);
#define EXPECT_REFUSED(b, path, rules, code, ...)                                                  \
	expect_refused(b, path, rules, code, (const char *const[]){ __VA_ARGS__, NULL })
void expect_opens(struct bench *b, const char *path, const struct target_rules *rules);
void expect_text(const char *text, const char *part);

#endif

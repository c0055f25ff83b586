/* SPDX-License-Identifier: MIT */
/* loop.h - loop devices for tests (root only).
 *
 * A device that was attached here goes away when its test detaches it, and also when the test
 * dies: it is made with LO_FLAGS_AUTOCLEAR and kept by a descriptor. It stays while something
 * else has it open or mounted: undo that first.
 *
 * A test adds files('../../support/loop.c') to its sources. */
#ifndef SUPPORT_LOOP_H
#define SUPPORT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop_device {
	int fd; /* keeps the device; -1: not attached */
	char path[32]; /* "/dev/loop3" */
	char name[32]; /* "loop3" */
};
#define LOOP_DEVICE_INIT                                                                           \
	{                                                                                          \
		.fd = -1                                                                           \
	}

struct loop_options {
	uint32_t block_bytes; /* logical block size; 0: 512 */
	bool direct; /* the loop driver uses O_DIRECT on its file (not a promise) */
	bool read_only;
	bool partitions; /* the kernel reads the partition table: /dev/loop3p1 */
};

/* NULL if loop devices can be attached here, else why not: the text to skip a test with. */
const char *loop_missing(void);
/* options may be NULL. False: the reason was printed to standard error. */
bool loop_attach(struct loop_device *loop, const char *file, const struct loop_options *options);
/* Idempotent; also for one that was only initialised. */
void loop_detach(struct loop_device *loop);

#endif

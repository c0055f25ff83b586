/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "digest/digest.h"
#include "job/file_digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES (SOURCE_HEAD_BYTES + 70001u) /* more than a head */

struct bed {
	char path[64];
	uint8_t data[BYTES], buffer[BYTES];
	struct source *source;
	struct file_digest *digest;
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	struct bmap_error err;
	int fd;

	strcpy(bed->path, "/tmp/file_digest_test.XXXXXX");
	fd = mkstemp(bed->path);
	for (size_t i = 0; i < BYTES; i++)
		bed->data[i] = (uint8_t)(i * 7 + i / 251);
	if (fd < 0 || write(fd, bed->data, BYTES) != BYTES || close(fd))
		return -1;
	bed->source = source_open(bed->path, NULL, &err);
	bed->digest = bed->source ? file_digest_new(bed->source, &err) : NULL;
	*state = bed;
	return bed->digest ? 0 : -1;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	file_digest_free(bed->digest);
	source_close(bed->source);
	unlink(bed->path);
	free(bed);
	return 0;
}

static void read_bytes(struct bed *bed, size_t len)
{
	struct bmap_error err;

	while (len) {
		ssize_t n = source_read(bed->source, bed->buffer, min_u64(len, 50000), &err);

		assert_true(n > 0);
		len -= (size_t)n;
	}
}

static void read_end(struct bed *bed)
{
	struct bmap_error err;

	assert_int_equal(source_read(bed->source, bed->buffer, 1, &err), 0);
}

static void a_file_that_was_read_whole_has_its_digest(void **state)
{
	struct bed *bed = *state;
	uint8_t sum[32];
	char want[FILE_DIGEST_ROOM];
	struct bmap_error err;

	assert_true(digest_of(BMAP_DIGEST_SHA256, bed->data, BYTES, sum, &err));
	digest_to_hex(sum, sizeof(sum), want);
	read_bytes(bed, BYTES);
	assert_null(file_digest_text(bed->digest)); /* there could be more */
	read_end(bed);
	assert_string_equal(file_digest_text(bed->digest), want);
	read_end(bed);
	assert_string_equal(file_digest_text(bed->digest), want);
}

static void one_that_was_not_has_none(void **state)
{
	static const struct {
		size_t before, skipped;
		const char *why;
	} cases[] = {
		{ 0, 1, "skipped in the head" },
		{ 0, BYTES, "all of it" },
		{ SOURCE_HEAD_BYTES + 1, 4096, "skipped behind it" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err;
		struct bed *bed;

		assert_int_equal(setup(state), 0);
		bed = *state;
		read_bytes(bed, cases[i].before);
		assert_true(source_skip(bed->source, cases[i].skipped, &err));
		read_bytes(bed, BYTES - cases[i].before - cases[i].skipped);
		read_end(bed);
		if (file_digest_text(bed->digest))
			fail_msg("%s: there is a digest", cases[i].why);
		teardown(state);
	}
}

static void there_is_none_without_an_object(void **state)
{
	(void)state;
	assert_null(file_digest_text(NULL));
	file_digest_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_that_was_read_whole_has_its_digest, setup,
						teardown),
		cmocka_unit_test(one_that_was_not_has_none),
		cmocka_unit_test(there_is_none_without_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

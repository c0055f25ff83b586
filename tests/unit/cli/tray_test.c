/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/speed.h"
#include "cli/tray.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (1024ull * 1024)

static const struct tray_line lines[] = {
	{ "/dev/sdb", BMAP_TARGET_WRITING, 1, 420 * MIB, 48 * MIB, 21, 0, NULL },
	{ "/dev/sdc", BMAP_TARGET_FLUSHING, 1, 1000 * MIB, 0, TRAY_NOT_KNOWN, 72 * NS_PER_S, NULL },
	{ "/dev/sdd", BMAP_TARGET_READING_BACK, 1, 500 * MIB, 100 * MIB, 5, 0, NULL },
	{ "/dev/sde", BMAP_TARGET_HEAD, 1, 1000 * MIB, 0, TRAY_NOT_KNOWN, 0, NULL },
	{ "/dev/sdf", BMAP_TARGET_DETACHED, 1, 10 * MIB, 0, TRAY_NOT_KNOWN, 0, NULL },
	{ "/dev/sdg", BMAP_TARGET_WRITING, 2, 10 * MIB, 2 * MIB, 3700, 0, NULL },
	{ "/dev/sdh", BMAP_TARGET_DONE, 1, 1000 * MIB, 0, TRAY_NOT_KNOWN, 65 * NS_PER_S, NULL },
	{ "/dev/sdi", BMAP_TARGET_FAILED, 1, 3 * MIB, 0, TRAY_NOT_KNOWN, 0,
	  "cannot write 1048576 bytes at offset 3145728 (sector 6144): Input/output error" },
	{ "/dev/sdj", BMAP_TARGET_WAITING, 1, 0, 0, TRAY_NOT_KNOWN, 0, NULL },
};

static const struct tray_view tray = {
	.lines = lines,
	.count = COUNT_OF(lines),
	.total_bytes = 1000 * MIB,
	.percent = 54,
	.done_bytes = 4500 * MIB,
	.bytes_per_s = 150 * MIB,
};

static void every_target_has_a_line_and_all_have_one(void **state)
{
	static const char want[] =
		"/dev/sdb   42% [######..........]    48.0 MiB/s  writing, 0:21 left\n"
		"/dev/sdc  100% [################]                flushing 1:12\n"
		"/dev/sdd   50% [########........]   100.0 MiB/s  reading back, 0:05 left\n"
		"/dev/sde  100% [################]                finishing\n"
		"/dev/sdf    1% [................]                detached (pass 2 follows)\n"
		"/dev/sdg    1% [................]     2.0 MiB/s  writing (pass 2), 1:01:40 left\n"
		"/dev/sdh  100% [################]                done in 1m 05.0s\n"
		"/dev/sdi    0% [................]                failed: cannot write 1048576 b\n"
		"/dev/sdj    0% [................]                waiting\n"
		"bmaptool: info: 54% copied, 1 waiting, 2 writing, 1 flushing, 1 reading back";
	char *got = malloc(tray_room(COUNT_OF(lines)));

	(void)state;
	assert_non_null(got);
	assert_true(tray_render(got, (struct output_size){ 80, 24 }, &tray));
	if (strncmp(got, want, strlen(want)) != 0)
		fail_msg("%s", got);
	free(got);
}

static void what_matters_least_is_left_out_first(void **state)
{
	static const struct {
		unsigned columns;
		const char *line;
	} cases[] = {
		{ 1, "b" },
		{ 20, "bmaptool: info: 54%" },
		{ 40, "bmaptool: info: 54% copied, 1 waiting" },
		{ 200,
		  "bmaptool: info: 54% copied, 1 waiting, 2 writing, 1 flushing, 1 reading back, 1 "
		  "finishing, 1 detached, 1 done, 1 failed, 150.0 MiB/s, 1:01:40 left" },
	};
	char line[TRAY_SUMMARY_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		tray_summary(line, cases[i].columns, &tray);
		assert_string_equal(line, cases[i].line);
	}
}

/* Longest line, and number of lines. */
static size_t measure(const char *text, size_t *rows)
{
	size_t longest = 0;

	for (*rows = 1;; (*rows)++) {
		size_t len = strcspn(text, "\n");

		longest = len > longest ? len : longest;
		if (!text[len])
			return longest;
		text += len + 1;
	}
}

static void no_line_is_wider_than_the_terminal_and_no_block_higher(void **state)
{
	struct tray_line hostile[COUNT_OF(lines)];
	struct tray_view views[] = { tray, tray, tray };
	char *got = malloc(tray_room(COUNT_OF(lines)));
	char name[5000];

	(void)state;
	assert_non_null(got);
	memset(name, '\x1b', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		hostile[i] = lines[i];
		hostile[i].name = name;
		hostile[i].reason = name;
		hostile[i].done_bytes = hostile[i].left_s = hostile[i].bytes_per_s = UINT64_MAX - 1;
		hostile[i].state_ns = UINT64_MAX;
	}
	views[1].lines = hostile;
	views[2].lines = hostile;
	views[2].total_bytes = 0;
	for (size_t i = 0; i < COUNT_OF(views); i++) {
		for (unsigned columns = 0; columns <= OUTPUT_MAX_COLUMNS; columns++) {
			struct output_size size = { columns, 24 };
			size_t rows;

			if (!tray_render(got, size, &views[i])) {
				assert_true(columns < 60);
				continue;
			}
			assert_true(measure(got, &rows) < columns);
			assert_int_equal(rows, COUNT_OF(lines) + 1);
			assert_null(strchr(got, '\x1b'));
		}
	}
	assert_true(tray_render(got, (struct output_size){ 80, COUNT_OF(lines) + 2 }, &tray));
	assert_false(tray_render(got, (struct output_size){ 80, COUNT_OF(lines) + 1 }, &tray));
	free(got);
}

static void without_a_total_there_are_bytes(void **state)
{
	struct tray_view view = tray;
	char *got = malloc(tray_room(COUNT_OF(lines)));

	(void)state;
	assert_non_null(got);
	view.total_bytes = 0;
	assert_true(tray_render(got, (struct output_size){ 80, 24 }, &view));
	assert_null(strchr(got, '%'));
	assert_ptr_equal(strstr(got, "/dev/sdb    420.0 MiB    48.0 MiB/s  writing"), got);
	assert_non_null(strstr(got, "bmaptool: info: 4.4 GiB copied, "));
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_target_has_a_line_and_all_have_one),
		cmocka_unit_test(what_matters_least_is_left_out_first),
		cmocka_unit_test(no_line_is_wider_than_the_terminal_and_no_block_higher),
		cmocka_unit_test(without_a_total_there_are_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

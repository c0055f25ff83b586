/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/progress.h"

#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (1024ull * 1024)

/* A terminal of our own: what is drawn on it, and how wide it says it is. */
struct terminal {
	int master, slave;
	struct output out;
};

static void terminal_open(struct terminal *t, unsigned short columns)
{
	struct winsize size = { .ws_row = 24, .ws_col = columns };

	assert_int_equal(openpty(&t->master, &t->slave, NULL, NULL, &size), 0);
	fcntl(t->master, F_SETFL, O_NONBLOCK);
	output_init(&t->out, false, false);
	t->out.fd = t->slave;
	t->out.live = true;
}

static size_t terminal_read(struct terminal *t, char *text, size_t room)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(t->master, text + len, room - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return len;
}

static void terminal_close(struct terminal *t)
{
	close(t->master);
	close(t->slave);
}

static const struct progress_view half = {
	.verb = "copied",
	.done_bytes = 420 * MIB,
	.total_bytes = 1000 * MIB,
	.now_bytes_per_s = 100 * MIB,
	.average_bytes_per_s = 90 * MIB,
};

static void each_width_shows_what_matters_most(void **state)
{
	static const struct {
		unsigned columns;
		const char *line;
	} cases[] = {
		{ 1, "b" },
		{ 20, "bmaptool: info: 42%" },
		{ 40, "bmaptool: info: 42% copied, 100.0 MiB/s" },
		{ 60, "bmaptool: info: 42% copied [##....], 100.0 MiB/s, 0:06 left" },
		{ 80, "bmaptool: info: 42% copied [####.......], 100.0 MiB/s (average 90.0), 0:06 "
		      "left" },
	};
	char line[OUTPUT_MAX_COLUMNS + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		progress_render(line, cases[i].columns, &half);
		assert_string_equal(line, cases[i].line);
	}
}

static void no_line_is_wider_than_the_terminal(void **state)
{
	struct progress_view views[] = {
		half, half, half, half, { .verb = "copied" }, half,
	};
	char line[OUTPUT_MAX_COLUMNS + 1];

	(void)state;
	views[1].finished = true;
	views[1].done_bytes = views[1].total_bytes;
	views[2].flushing = true;
	views[2].flushing_ns = UINT64_MAX;
	views[3].total_bytes = 0;
	views[3].source_total_bytes = 100;
	views[3].source_read_bytes = 99;
	views[5].total_bytes = UINT64_MAX;
	views[5].now_bytes_per_s = views[5].average_bytes_per_s = 1;
	for (size_t i = 0; i < COUNT_OF(views); i++) {
		for (unsigned columns = 0; columns <= OUTPUT_MAX_COLUMNS; columns++) {
			size_t room = columns > 1 ? columns - 1 : 1;

			progress_render(line, columns, &views[i]);
			if (strlen(line) > room || !*line)
				fail_msg("view %zu at %u columns: '%s'", i, columns, line);
			if (columns > 40 && !strstr(line, "copied"))
				fail_msg("view %zu at %u columns: '%s'", i, columns, line);
		}
	}
}

static void the_special_moments_are_said(void **state)
{
	struct progress_view v = half;
	char line[OUTPUT_MAX_COLUMNS + 1];

	(void)state;
	v.done_bytes = v.total_bytes;
	v.flushing = true;
	v.flushing_ns = 72 * NS_PER_S;
	progress_render(line, 200, &v);
	assert_non_null(strstr(line, "bmaptool: info: 100% copied ["));
	assert_non_null(strstr(line, ", flushing the device's cache 1:12"));
	v = half;
	v.total_bytes = 0;
	v.source_read_bytes = 7;
	v.source_total_bytes = 10;
	progress_render(line, 200, &v);
	assert_non_null(strstr(line, "bmaptool: info: 420.0 MiB copied,"));
	assert_non_null(strstr(line, "70% of the source read"));
	v.source_total_bytes = 0;
	progress_render(line, 200, &v);
	assert_null(strchr(line, '%'));
}

static void reading_back_is_a_step_of_its_own(void **state)
{
	struct progress_view v = half;
	char line[OUTPUT_MAX_COLUMNS + 1];

	(void)state;
	v.done_bytes = v.total_bytes;
	v.reading_back = true;
	v.read_back_bytes = 250 * MIB;
	progress_render(line, 80, &v);
	assert_string_equal(line, "bmaptool: info: 100% copied, reading back 25% [#......], 100.0 "
				  "MiB/s, 0:07 left");
	v.total_bytes = 0;
	v.source_total_bytes = 7;
	progress_render(line, 200, &v);
	assert_non_null(strstr(line, "1000.0 MiB copied, reading back 25% ["));
	assert_null(strstr(line, "source"));
}

static void the_speed_of_reading_back_is_not_that_of_writing(void **state)
{
	struct progress_facts facts = { .total_bytes = 100 * MIB };
	struct terminal t;
	struct progress p;
	char text[8192];

	(void)state;
	terminal_open(&t, 100);
	progress_init(&p, &t.out, "copied");
	for (unsigned i = 0; i <= 10; i++) {
		facts.done_bytes = i * 10 * MIB;
		progress_show(&p, (i + 1) * NS_PER_S, &facts);
	}
	facts.reading_back = true;
	for (unsigned i = 0; i <= 2; i++) {
		facts.read_back_bytes = i * 30 * MIB;
		terminal_read(&t, text, sizeof(text));
		progress_show(&p, (i + 12) * NS_PER_S, &facts);
	}
	terminal_read(&t, text, sizeof(text));
	assert_non_null(strstr(text, "100% copied, reading back 60% ["));
	assert_non_null(strstr(text, "30.0 MiB/s (average 30.0), 0:01 left"));
	progress_end(&p, true);
	terminal_read(&t, text, sizeof(text));
	assert_non_null(strstr(text, "100% copied [")); /* and the speed is the copy's again */
	assert_non_null(strstr(text, ", 10.0 MiB/s"));
	terminal_close(&t);
}

static void time_left_follows_what_has_become_slow(void **state)
{
	static const struct {
		uint64_t now_mib, average_mib;
		const char *left; /* NULL: not said */
	} cases[] = {
		{ 100, 90, ", 0:06 left" },
		{ 60, 100, ", 0:07 left" },
		{ 1, 100, ", 9:40 left" }, /* not of (1 + 100) / 2 */
		{ 0, 100, NULL }, /* it stands still */
	};
	char line[OUTPUT_MAX_COLUMNS + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct progress_view v = half;

		v.now_bytes_per_s = cases[i].now_mib * MIB;
		v.average_bytes_per_s = cases[i].average_mib * MIB;
		progress_render(line, 200, &v);
		if (cases[i].left ? !strstr(line, cases[i].left) : strstr(line, "left") != NULL)
			fail_msg("case %zu: '%s'", i, line);
	}
}

static void a_job_on_a_terminal_rises_to_a_hundred(void **state)
{
	struct terminal t;
	struct progress p;
	char text[8192];
	int last = -1;

	(void)state;
	terminal_open(&t, 80);
	progress_init(&p, &t.out, "copied");
	for (unsigned i = 0; i <= 8; i++)
		progress_update(&p, (i + 1) * NS_PER_S, i * 10 * MIB, 100 * MIB);
	output_info(&t.out, "in between");
	/* A report of less (a target that is gone) does not take back what was shown. */
	progress_update(&p, 10 * NS_PER_S, 5 * MIB, 100 * MIB);
	progress_end(&p, true);
	terminal_read(&t, text, sizeof(text));
	assert_non_null(strstr(text, OUTPUT_ERASE "bmaptool: info: in between\r\n"
						  "bmaptool: info: 80% copied ["));
	for (char *at = text; (at = strstr(at, "bmaptool: info: ")); at++) {
		int percent;

		if (sscanf(at, "bmaptool: info: %d%% copied", &percent) != 1)
			continue;
		assert_true(percent >= last && percent <= 100);
		last = percent;
	}
	assert_int_equal(last, 100);
	assert_non_null(strstr(text, "10.0 MiB/s"));
	assert_string_equal(text + strlen(text) - 2, "\r\n");
	terminal_close(&t);
}

static void a_terminal_that_shrinks_is_followed(void **state)
{
	const struct winsize narrow = { .ws_row = 24, .ws_col = 20 };
	struct terminal t;
	struct progress p;
	char text[4096];

	(void)state;
	terminal_open(&t, 100);
	progress_init(&p, &t.out, "copied");
	progress_update(&p, NS_PER_S, MIB, 100 * MIB);
	assert_true(terminal_read(&t, text, sizeof(text)) > 60);
	ioctl(t.slave, TIOCSWINSZ, &narrow);
	progress_update(&p, 2 * NS_PER_S, 2 * MIB, 100 * MIB);
	terminal_read(&t, text, sizeof(text));
	assert_string_equal(text, "\rbmaptool: info: 2% \x1b[K");
	progress_end(&p, false);
	terminal_close(&t);
}

static void speed_counts_from_where_the_job_began(void **state)
{
	struct terminal t;
	struct progress p;
	char text[4096];

	(void)state;
	terminal_open(&t, 100);
	progress_init(&p, &t.out, "read");
	progress_begin(&p, NS_PER_S);
	assert_int_equal(terminal_read(&t, text, sizeof(text)), 0);
	/* The first report comes when half is done already. */
	progress_update(&p, 6 * NS_PER_S, 50 * MIB, 100 * MIB);
	terminal_read(&t, text, sizeof(text));
	assert_non_null(strstr(text, "10.0 MiB/s (average 10.0), 0:05 left"));
	progress_end(&p, true);
	terminal_close(&t);

	/* Nothing was reported: nothing to show. */
	terminal_open(&t, 100);
	progress_init(&p, &t.out, "read");
	progress_begin(&p, NS_PER_S);
	progress_end(&p, true);
	assert_int_equal(terminal_read(&t, text, sizeof(text)), 0);
	terminal_close(&t);
}

static void what_failed_stays_where_it_was(void **state)
{
	struct terminal t;
	struct progress p;
	char text[4096];

	(void)state;
	terminal_open(&t, 80);
	progress_init(&p, &t.out, "copied");
	progress_update(&p, NS_PER_S, 42 * MIB, 100 * MIB);
	progress_end(&p, false);
	terminal_read(&t, text, sizeof(text));
	assert_non_null(strstr(text, "42% copied"));
	assert_null(strstr(text, "100%"));
	assert_string_equal(text + strlen(text) - 2, "\r\n");
	terminal_close(&t);
}

static void nothing_is_drawn_where_nobody_looks(void **state)
{
	struct terminal t;
	struct progress p;
	char text[4096];

	(void)state;
	terminal_open(&t, 80);
	t.out.live = false;
	progress_init(&p, &t.out, "copied");
	progress_update(&p, NS_PER_S, 42 * MIB, 100 * MIB);
	progress_end(&p, true);
	assert_int_equal(terminal_read(&t, text, sizeof(text)), 0);
	terminal_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_width_shows_what_matters_most),
		cmocka_unit_test(no_line_is_wider_than_the_terminal),
		cmocka_unit_test(the_special_moments_are_said),
		cmocka_unit_test(reading_back_is_a_step_of_its_own),
		cmocka_unit_test(the_speed_of_reading_back_is_not_that_of_writing),
		cmocka_unit_test(time_left_follows_what_has_become_slow),
		cmocka_unit_test(a_job_on_a_terminal_rises_to_a_hundred),
		cmocka_unit_test(a_terminal_that_shrinks_is_followed),
		cmocka_unit_test(speed_counts_from_where_the_job_began),
		cmocka_unit_test(what_failed_stays_where_it_was),
		cmocka_unit_test(nothing_is_drawn_where_nobody_looks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

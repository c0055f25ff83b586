/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_WORDS 8

struct values {
	const char *image, *dest;
	const char *bmap, *sig, *output;
	bool no_bmap, no_verify, no_sig_verify, quiet, debug, bounce;
	uint64_t memory;
	unsigned workers, side;
};

#define PLACE(member) .place = offsetof(struct values, member)

static const char *const sides[] = { "left", "right", NULL };

static const struct option_def options[] = {
	{ OPTION_GROUP, .help = "the map" },
	{ OPTION_TEXT, "bmap", PLACE(bmap), .value_name = "FILE", .help = "the map" },
	{ OPTION_TEXT, "bmap-sig", PLACE(sig), .value_name = "FILE", .help = "its signature" },
	{ OPTION_TEXT, "output", 'o', PLACE(output), .value_name = "FILE", .help = "where to" },
	{ OPTION_FLAG, "nobmap", PLACE(no_bmap), .help = "without" },
	{ OPTION_FLAG, "no-verify", PLACE(no_verify), .help = "do not check" },
	{ OPTION_FLAG, "no-sig-verify", PLACE(no_sig_verify), .help = "nor that" },
	{ OPTION_FLAG, "quiet", 'q', PLACE(quiet), .help = "say little" },
	{ OPTION_FLAG, "debug", 'd', PLACE(debug), .help = "say much" },
	{ OPTION_GROUP, .help = "new ones" },
	{ OPTION_FLAG, "bounce", .added = true, PLACE(bounce), .help = "shares b with bmap" },
	{ OPTION_CHOICE, "side", .added = true, PLACE(side), .choices = sides, .value_name = "S",
	  .help = "s" },
	{ OPTION_SIZE, "memory", .added = true, PLACE(memory), .value_name = "SIZE", .help = "m" },
	{ OPTION_COUNT, "workers", .added = true, PLACE(workers), .max = 64, .value_name = "N",
	  .help = "a sentence that is long enough to be broken into more than one line of help" },
};

static const struct argument_def arguments[] = {
	{ "IMAGE", "what to copy", offsetof(struct values, image) },
	{ "DEST", "where to", offsetof(struct values, dest) },
};

static const struct option_table table = { options, COUNT_OF(options), arguments,
					   COUNT_OF(arguments), false };

static bool parse(char *const *argv, struct values *values, char *error)
{
	int argc = 0, used;

	while (argc < MAX_WORDS && argv[argc])
		argc++;
	*values = (struct values){ 0 };
	return options_parse(&table, argc, argv, values, &used, error) &&
	       options_complete(&table, values, error);
}

static void expect_text(const char *got, const char *want)
{
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void what_argparse_takes_is_taken_in_the_same_way(void **state)
{
	static const struct {
		char *argv[MAX_WORDS + 1];
		struct values want;
	} cases[] = {
		{ { "a", "b" }, { "a", "b" } },
		{ { "--bmap", "m", "a", "b" }, { "a", "b", .bmap = "m" } }, /* first */
		{ { "a", "--bmap", "m", "b" }, { "a", "b", .bmap = "m" } }, /* between */
		{ { "a", "b", "--bmap=m" }, { "a", "b", .bmap = "m" } }, /* last, as labgrid does */
		{ { "a", "b", "--bmap=m=n" }, { "a", "b", .bmap = "m=n" } },
		{ { "a", "b", "--bmap=" }, { "a", "b", .bmap = "" } },
		{ { "a", "b", "--bmap=my map" }, { "a", "b", .bmap = "my map" } },
		{ { "--bmap", "x", "a", "b", "--bmap", "m" }, { "a", "b", .bmap = "m" } },
		{ { "--bmap", "-", "-", "b" }, { "-", "b", .bmap = "-" } },
		{ { "-of", "a", "b" }, { "a", "b", .output = "f" } },
		{ { "-o=f", "a", "b" }, { "a", "b", .output = "f" } },
		{ { "-o", "f", "a", "b" }, { "a", "b", .output = "f" } },
		{ { "-omy file", "a", "b" }, { "a", "b", .output = "my file" } },
		{ { "-qof", "a", "b" }, { "a", "b", .output = "f", .quiet = true } },
		{ { "-qd", "a", "b" }, { "a", "b", .quiet = true, .debug = true } },
		{ { "--nob", "a", "b" }, { "a", "b", .no_bmap = true } }, /* prefixes */
		{ { "--no-v", "a", "b" }, { "a", "b", .no_verify = true } },
		{ { "--no-s", "a", "b" }, { "a", "b", .no_sig_verify = true } },
		{ { "--bmap-", "s", "a", "b" }, { "a", "b", .sig = "s" } },
		{ { "--bmap-s=s", "a", "b" }, { "a", "b", .sig = "s" } },
		{ { "--outp", "f", "a", "b" }, { "a", "b", .output = "f" } },
		{ { "--bo", "a", "b" }, { "a", "b", .bounce = true } }, /* only a new one fits */
		{ { "--mem=3K", "a", "b" }, { "a", "b", .memory = 3072 } },
		{ { "--", "-a", "--b" }, { "-a", "--b" } },
		{ { "a", "--", "--" }, { "a", "--" } },
		{ { "-5", "-1.5" }, { "-5", "-1.5" } },
		{ { "-a b", "-x y" }, { "-a b", "-x y" } },
		{ { "", "b" }, { "", "b" } },
		{ { "--workers", "64", "a", "b" }, { "a", "b", .workers = 64 } },
		{ { "--side", "left", "a", "b" }, { "a", "b", .side = 1 } },
		{ { "--side=left", "a", "b", "--side=right" }, { "a", "b", .side = 2 } },
	};
	char error[OPTION_ERROR_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct values *want = &cases[i].want;
		struct values got;

		if (!parse(cases[i].argv, &got, error))
			fail_msg("case %zu (%s ...): %s", i, cases[i].argv[0], error);
		expect_text(got.image, want->image);
		expect_text(got.dest, want->dest);
		expect_text(got.bmap, want->bmap);
		expect_text(got.sig, want->sig);
		expect_text(got.output, want->output);
		assert_int_equal(got.no_bmap, want->no_bmap);
		assert_int_equal(got.no_verify, want->no_verify);
		assert_int_equal(got.no_sig_verify, want->no_sig_verify);
		assert_int_equal(got.quiet, want->quiet);
		assert_int_equal(got.debug, want->debug);
		assert_int_equal(got.bounce, want->bounce);
		assert_int_equal(got.memory, want->memory);
		assert_int_equal(got.workers, want->workers);
		assert_int_equal(got.side, want->side);
	}
}

static void mistakes_are_named(void **state)
{
	static const struct {
		char *argv[MAX_WORDS + 1];
		const char *says;
	} cases[] = {
		{ { NULL }, "not given: IMAGE, DEST" },
		{ { "a" }, "not given: DEST" },
		{ { "a", "b", "c" }, "too many: 'c'" },
		{ { "--no", "a", "b" }, "ambiguous: --nobmap, --no-verify, --no-sig-verify" },
		{ { "--bma", "m", "a", "b" }, "ambiguous: --bmap, --bmap-sig" },
		/* bounce would make it three, were it not new */
		{ { "--b", "m", "a", "b" }, "ambiguous: --bmap, --bmap-sig" },
		{ { "--frob", "a", "b" }, "unknown option --frob" },
		{ { "--bmapp", "m", "a", "b" }, "unknown option --bmapp" },
		{ { "--nobmap=1", "a", "b" }, "--nobmap takes no value" },
		{ { "a", "b", "--bmap" }, "--bmap needs a value" },
		{ { "--bmap", "--nobmap", "a", "b" }, "--bmap needs a value" },
		{ { "--bmap", "--", "m", "a", "b" }, "--bmap needs a value" },
		{ { "a", "b", "-o" }, "-o needs a value" },
		{ { "-x", "a", "b" }, "unknown option -x" },
		{ { "-qx", "a", "b" }, "unknown option -x" },
		{ { "-\x01", "a", "b" }, "unknown option -?" },
		{ { "--memory", "0", "a", "b" }, "'0' is not a size" },
		{ { "--memory=1Q", "a", "b" }, "'1Q' is not a size" },
		{ { "--side=up", "a", "b" }, "--side: 'up' is none of left, right" },
		{ { "--side=lef", "a", "b" }, "is none of" },
		{ { "--side=", "a", "b" }, "is none of" },
		{ { "--workers=0", "a", "b" }, "'0' is not a number from 1 to 64" },
		{ { "--workers=65", "a", "b" }, "'65' is not" },
		{ { "--workers=+1", "a", "b" }, "'+1' is not" },
		{ { "--workers=2x", "a", "b" }, "'2x' is not" },
		{ { "--workers=99999999999999999999", "a", "b" }, "is not a number" },
	};
	char error[OPTION_ERROR_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct values got;

		if (parse(cases[i].argv, &got, error))
			fail_msg("case %zu (%s) was taken", i, cases[i].says);
		if (!strstr(error, cases[i].says))
			fail_msg("case %zu: '%s' does not say '%s'", i, error, cases[i].says);
	}
}

struct many_values {
	const char *image;
	struct text_list dests, pairs, list;
	bool quiet, instead;
};

static bool instead_is_set(const void *values)
{
	return ((const struct many_values *)values)->instead;
}

static const struct option_def many_options[] = {
	{ OPTION_FLAG, "quiet", .place = offsetof(struct many_values, quiet) },
	{ OPTION_PAIR, "by", .value_name = "KIND PATTERN",
	  .place = offsetof(struct many_values, pairs) },
	{ OPTION_FLAG, "instead", .place = offsetof(struct many_values, instead) },
	{ OPTION_LIST, "map", .letter = 'm', .value_name = "SPAN",
	  .place = offsetof(struct many_values, list) },
};
static const struct argument_def many_arguments[] = {
	{ "IMAGE", "", offsetof(struct many_values, image) },
	{ "DEST", "", offsetof(struct many_values, dests), .many = true,
	  .given_otherwise = instead_is_set },
};
static const struct option_table many_table = { many_options, COUNT_OF(many_options),
						many_arguments, COUNT_OF(many_arguments), false };

static void the_last_argument_can_take_all_that_follow(void **state)
{
	static const struct {
		char *argv[MAX_WORDS + 1];
		const char *dests; /* NULL: refused, says then what */
		const char *says;
	} cases[] = {
		{ { "i", "a" }, "a" },
		{ { "i", "a", "--quiet", "b", "c" }, "a b c" },
		{ { "--quiet", "i", "--", "--quiet", "-" }, "--quiet -" },
		{ { "i", "--instead" }, "" },
		{ { "i", "--instead", "a" }, "a" },
		{ { "i", "a", "--map", "1", "b", "-m2", "--map=-" }, "a b [1] [2] [-]" },
		{ { "i", "a", "--map" }, NULL, "needs a value" },
		{ { "i" }, NULL, "not given: DEST" },
		{ { "--quiet" }, NULL, "not given: IMAGE, DEST" },
		{ { "--instead" }, NULL, "not given: IMAGE" },
		{ { "i", "a", "b", "--frob" }, NULL, "unknown option --frob" },
		{ { "i", "--by", "k", "p", "a" }, "a (k p)" },
		{ { "i", "--by=k", "p", "a", "--by", "k", "-" }, "a (k p) (k -)" },
		{ { "i", "a", "--by" }, NULL, "--by needs a value" },
		{ { "i", "a", "--by=k" }, NULL, "--by needs two values: KIND PATTERN" },
		{ { "i", "a", "--by", "k", "--quiet" }, NULL, "--by needs two values" },
		{ { "i", "a", "--by", "k", "--", "p" }, NULL, "--by needs two values" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct many_values values = { 0 };
		char error[OPTION_ERROR_ROOM], got[100] = "";
		int argc = 0, used;
		bool ok;

		while (cases[i].argv[argc])
			argc++;
		ok = options_parse(&many_table, argc, cases[i].argv, &values, &used, error) &&
		     options_complete(&many_table, &values, error);
		for (size_t k = 0; k < values.dests.count; k++)
			sprintf(got + strlen(got), "%s%s", k ? " " : "", values.dests.texts[k]);
		for (size_t k = 0; k + 1 < values.pairs.count; k += 2)
			sprintf(got + strlen(got), " (%s %s)", values.pairs.texts[k],
				values.pairs.texts[k + 1]);
		for (size_t k = 0; k < values.list.count; k++)
			sprintf(got + strlen(got), " [%s]", values.list.texts[k]);
		options_free(&many_table, &values);
		assert_int_equal(values.list.count, 0);
		assert_int_equal(values.pairs.count, 0);
		assert_int_equal(values.dests.count, 0);
		if (ok != (cases[i].dests != NULL))
			fail_msg("case %zu: %s", i, ok ? "was taken" : error);
		if (ok)
			assert_string_equal(got, cases[i].dests);
		else if (!strstr(error, cases[i].says))
			fail_msg("case %zu: '%s' does not say '%s'", i, error, cases[i].says);
	}
}

static void a_long_word_does_not_overrun_the_error(void **state)
{
	char error[OPTION_ERROR_ROOM + 1];
	struct values got;
	char word[3000];
	char *option[] = { word, NULL };
	char *value[] = { "--memory", word, NULL };
	char *many[] = { "a", "b", word + 2, NULL };

	(void)state;
	memset(word, 'x', sizeof(word));
	memcpy(word, "--", 2);
	word[sizeof(word) - 1] = '\0';
	error[OPTION_ERROR_ROOM] = 'Z';
	assert_false(parse(option, &got, error));
	assert_false(parse(many, &got, error));
	memcpy(word, "11", 2);
	assert_false(parse(value, &got, error));
	assert_int_equal(error[OPTION_ERROR_ROOM], 'Z');
}

static void the_first_argument_can_end_the_options(void **state)
{
	static const struct argument_def command[] = {
		{ "COMMAND", "", offsetof(struct values, image) },
	};
	const struct option_table main_table = { options, COUNT_OF(options), command, 1, true };
	char *argv[] = { "--quie", "copy", "--unknown", NULL };
	char error[OPTION_ERROR_ROOM];
	struct values got = { 0 };
	int used;

	(void)state;
	assert_true(options_parse(&main_table, 3, argv, &got, &used, error));
	assert_true(got.quiet);
	assert_string_equal(got.image, "copy");
	assert_int_equal(used, 2);
}

static void sizes_have_binary_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} cases[] = {
		{ "1", 1 },
		{ "64M", 64 << 20 },
		{ "64m", 64 << 20 },
		{ "64MiB", 64 << 20 },
		{ "2K", 2048 },
		{ "1G", 1 << 30 },
		{ "3T", 3ull << 40 },
		{ "18446744073709551614", UINT64_MAX - 1 },
		{ "0", 0 },
		{ "0K", 0 },
		{ "", 0 },
		{ "M", 0 },
		{ "-1", 0 },
		{ "+1", 0 },
		{ " 1", 0 },
		{ "1 ", 0 },
		{ "1.5G", 0 },
		{ "1MB", 0 }, /* 10^6 or 2^20? */
		{ "1Mi", 0 },
		{ "0x10", 0 },
		{ "16777216T", 0 }, /* 2^64 */
		{ "18446744073709551616", 0 },
		{ "99999999999999999999999K", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t bytes = 0;
		bool ok = parse_size(cases[i].text, &bytes);

		if (ok != (cases[i].bytes != 0) || bytes != cases[i].bytes)
			fail_msg("'%s': %d, %llu", cases[i].text, ok, (unsigned long long)bytes);
	}
}

static void help_is_wrapped_and_names_everything(void **state)
{
	char *text = NULL;
	size_t len = 0, column = 0;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	assert_non_null(to);
	options_print_help(&table, to);
	fclose(to);
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (options[i].kind != OPTION_GROUP && !strstr(text, options[i].name))
			fail_msg("no %s in the help", options[i].name);
	for (size_t i = 0; i < len; i++) {
		column = text[i] == '\n' ? 0 : column + 1;
		assert_true(column <= 79);
	}
	assert_non_null(strstr(text, "-o, --output FILE"));
	assert_non_null(strstr(text, "\nnew ones:\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_argparse_takes_is_taken_in_the_same_way),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(the_last_argument_can_take_all_that_follow),
		cmocka_unit_test(a_long_word_does_not_overrun_the_error),
		cmocka_unit_test(the_first_argument_can_end_the_options),
		cmocka_unit_test(sizes_have_binary_units),
		cmocka_unit_test(help_is_wrapped_and_names_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

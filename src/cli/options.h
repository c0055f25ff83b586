/* SPDX-License-Identifier: MIT */
/* cli/options.h - reads a command line into a struct, by a table.
 *
 * The rules are those of Python's argparse, because scripts were written against a tool that uses
 * it: options anywhere; --name=VALUE and --name VALUE; -xVALUE and -x VALUE; -xy for two flags;
 * "--" ends the options; the last value wins; a separate VALUE may not look like an option; "-" is
 * an argument. A prefix of a long option is taken if only one option begins so. Options that the
 * Python tool does not have (added) are looked at only if none of its own fits: a prefix that
 * worked there keeps its meaning whatever is added here.
 *
 * Ownership: strings stored are those of argv; lists of them belong to the values, until
 *            options_free(). Threads: none of this is shared. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Strings of argv in the order they were given; the array is options_free()'s. */
struct text_list {
	const char **texts;
	size_t count;
};

enum option_kind {
	OPTION_GROUP, /* no option: help is the title of the group that follows */
	OPTION_FLAG, /* bool */
	OPTION_TEXT, /* const char * */
	OPTION_SIZE, /* uint64_t, bytes: a number with K, M, G or T behind it, at least 1 */
	OPTION_COUNT, /* unsigned, 1..max */
	OPTION_CHOICE, /* unsigned: which of choices, counted from 1 */
	OPTION_LIST, /* struct text_list: all that are given */
	OPTION_PAIR, /* struct text_list: two values behind each other, all that are given */
};

struct option_def {
	enum option_kind kind;
	const char *name; /* long, without its dashes */
	char letter; /* 0: none */
	bool added; /* not an option of the Python tool */
	const char *value_name; /* NULL for flags */
	const char *help; /* a sentence or two, wrapped when printed; says the default */
	size_t place; /* offset of the value in the struct that is filled */
	unsigned max; /* of OPTION_COUNT */
	const char *const *choices; /* of OPTION_CHOICE, NULL behind the last */
};

struct argument_def {
	const char *name; /* in the usage line */
	const char *help;
	size_t place; /* of a const char *, left alone if the argument is not there */
	bool many; /* takes all that follow, at least one: place is of a struct text_list */
	/* Whether values say in another way what the argument would, so that it may be missing;
	 * NULL: nothing else does. */
	bool (*given_otherwise)(const void *values);
};

struct option_table {
	const struct option_def *options;
	size_t option_count;
	const struct argument_def *arguments; /* all have to be given; "many" only the last */
	size_t argument_count;
	/* Stop behind the first argument: the rest belongs to a sub-command. */
	bool first_argument_ends;
};

#define OPTION_ERROR_ROOM 512

/* Fills values (laid out as the table's places say; what is not given stays as it is) from
 * argv[0..argc-1], the program's name not among them. *used is how many of argv were read.
 * On a mistake: false, and one line in error (OPTION_ERROR_ROOM bytes). Whether all arguments are
 * there is options_complete()'s question, so that --help works without them. */
bool options_parse(const struct option_table *table, int argc, char *const argv[], void *values,
		   int *used, char *error);
bool options_complete(const struct option_table *table, const void *values, char *error);
/* Frees what options_parse() allocated in values, also after it failed. */
void options_free(const struct option_table *table, void *values);

/* The table as text: arguments, then options by group. */
void options_print_help(const struct option_table *table, FILE *to);

/* "64M" -> 67108864; also K, G, T, either case, with "iB" behind it. False if it is no size, is 0
 * or does not fit. */
bool parse_size(const char *text, uint64_t *bytes);

#endif

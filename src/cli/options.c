/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Where one run of options_parse() stands. */
struct parser {
	const struct option_table *table;
	int argc;
	char *const *argv;
	int next; /* index of the first one not read */
	size_t arguments; /* found so far */
	char *values;
	char *error;
};

static bool looks_like_option(const struct option_table *table, const char *arg);
static bool take_argument(struct parser *p, const char *arg);
static bool take_long(struct parser *p, const char *arg);
static bool take_letters(struct parser *p, const char *arg);
static bool store(struct parser *p, const struct option_def *def, const char *value);

__attribute__((format(printf, 2, 3))) static bool mistake(char *error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(error, OPTION_ERROR_ROOM, fmt, args);
	va_end(args);
	return false;
}

bool options_parse(const struct option_table *table, int argc, char *const argv[], void *values,
		   int *used, char *error)
{
	struct parser p = {
		.table = table, .argc = argc, .argv = argv, .values = values, .error = error
	};
	bool only_arguments = false;
	bool ok = true;

	while (ok && p.next < argc) {
		const char *arg = argv[p.next++];

		if (only_arguments || !looks_like_option(table, arg)) {
			ok = take_argument(&p, arg);
			if (table->first_argument_ends)
				break;
		} else if (!strcmp(arg, "--")) {
			only_arguments = true;
		} else {
			ok = arg[1] == '-' ? take_long(&p, arg) : take_letters(&p, arg);
		}
	}
	*used = p.next;
	return ok;
}

static bool is_given(const struct argument_def *def, const void *values)
{
	const char *place = (const char *)values + def->place;
	struct text_list list;
	const char *value;

	if (def->given_otherwise && def->given_otherwise(values))
		return true;
	if (def->many) {
		memcpy(&list, place, sizeof(list));
		return list.count;
	}
	memcpy(&value, place, sizeof(value));
	return value;
}

bool options_complete(const struct option_table *table, const void *values, char *error)
{
	char missing[OPTION_ERROR_ROOM] = "";
	size_t len = 0;

	for (size_t i = 0; i < table->argument_count; i++) {
		const struct argument_def *def = &table->arguments[i];

		if (!is_given(def, values) && len < sizeof(missing))
			len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s%s",
						len ? ", " : "", def->name);
	}
	if (!len)
		return true;
	return mistake(error, "required and not given: %.400s", missing);
}

static void free_list(void *values, size_t place)
{
	struct text_list *list = (void *)((char *)values + place);

	free(list->texts);
	*list = (struct text_list){ 0 };
}

void options_free(const struct option_table *table, void *values)
{
	for (size_t i = 0; i < table->argument_count; i++)
		if (table->arguments[i].many)
			free_list(values, table->arguments[i].place);
	for (size_t i = 0; i < table->option_count; i++)
		if (table->options[i].kind == OPTION_PAIR || table->options[i].kind == OPTION_LIST)
			free_list(values, table->options[i].place);
}

static const struct option_def *find_letter(const struct option_table *table, char letter)
{
	for (size_t i = 0; i < table->option_count; i++)
		if (table->options[i].letter == letter)
			return &table->options[i];
	return NULL;
}

/* argparse takes "-5" for an argument where no option is a number, and what has a space in it
 * unless it begins like an option that is known. */
static bool looks_like_option(const struct option_table *table, const char *arg)
{
	if (arg[0] != '-' || !arg[1])
		return false;
	if (arg[1] != '-' && arg[1 + strspn(arg + 1, "0123456789.")] == '\0')
		return false;
	if (!strchr(arg, ' '))
		return true;
	return arg[1] == '-' ? strchr(arg, '=') != NULL : find_letter(table, arg[1]) != NULL;
}

static bool append(struct parser *p, size_t place, const char *text)
{
	struct text_list *list = (void *)(p->values + place);
	const char **texts = reallocarray(list->texts, list->count + 1, sizeof(*texts));

	if (!texts)
		return mistake(p->error, "no memory for the arguments");
	list->texts = texts;
	list->texts[list->count++] = text;
	return true;
}

static bool take_argument(struct parser *p, const char *arg)
{
	const struct argument_def *def = &p->table->arguments[p->arguments];

	if (p->arguments == p->table->argument_count)
		return mistake(p->error, "one argument too many: '%.200s'", arg);
	if (def->many)
		return append(p, def->place, arg);
	memcpy(p->values + def->place, &arg, sizeof(arg));
	p->arguments++;
	return true;
}

/* Counts the options that begin with name[0..len-1]; *found is the exact one or the first. */
static unsigned match(const struct option_table *table, const char *name, size_t len, bool added,
		      const struct option_def **found)
{
	unsigned count = 0;

	for (size_t i = 0; i < table->option_count; i++) {
		const struct option_def *def = &table->options[i];

		if (def->kind == OPTION_GROUP || def->added != added ||
		    strncmp(def->name, name, len) != 0)
			continue;
		if (!def->name[len]) {
			*found = def;
			return 1;
		}
		if (!count++)
			*found = def;
	}
	return count;
}

static bool ambiguous(struct parser *p, const char *name, size_t len, bool added)
{
	char list[OPTION_ERROR_ROOM / 2] = "";
	size_t used = 0;

	for (size_t i = 0; i < p->table->option_count; i++) {
		const struct option_def *def = &p->table->options[i];

		if (def->kind != OPTION_GROUP && def->added == added &&
		    !strncmp(def->name, name, len) && used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s--%s",
						 used ? ", " : "", def->name);
	}
	return mistake(p->error, "option --%.*s is ambiguous: %s", (int)len, name, list);
}

static const struct option_def *find_long(struct parser *p, const char *name, size_t len)
{
	const struct option_def *old = NULL, *new = NULL;
	unsigned old_count = match(p->table, name, len, false, &old);
	unsigned new_count = match(p->table, name, len, true, &new);

	if (new_count && !new->name[len]) /* exact */
		return new;
	if (old_count == 1)
		return old;
	if (old_count > 1 || new_count > 1) {
		ambiguous(p, name, len, old_count == 0);
		return NULL;
	}
	if (!new_count)
		mistake(p->error, "unknown option --%.*s", (int)(len < 200 ? len : 200), name);
	return new;
}

/* The value that follows as an argv of its own, or NULL with the error made. */
static const char *take_value(struct parser *p, const char *dashes, const char *name)
{
	if (p->next < p->argc && !looks_like_option(p->table, p->argv[p->next]))
		return p->argv[p->next++];
	mistake(p->error, "option %s%s needs a value", dashes, name);
	return NULL;
}

/* An option of two values has no letter. */
static bool store_pair(struct parser *p, const struct option_def *def, const char *first)
{
	const char *second;

	if (p->next == p->argc || looks_like_option(p->table, p->argv[p->next]))
		return mistake(p->error, "option --%s needs two values: %s", def->name,
			       def->value_name);
	second = p->argv[p->next++];
	return append(p, def->place, first) && append(p, def->place, second);
}

static bool take_long(struct parser *p, const char *arg)
{
	const char *name = arg + 2;
	size_t len = strcspn(name, "=");
	const struct option_def *def = find_long(p, name, len);
	const char *value = name[len] ? name + len + 1 : NULL;

	if (!def)
		return false;
	if (def->kind == OPTION_FLAG && value)
		return mistake(p->error, "option --%s takes no value", def->name);
	if (def->kind != OPTION_FLAG && !value) {
		value = take_value(p, "--", def->name);
		if (!value)
			return false;
	}
	return def->kind == OPTION_PAIR ? store_pair(p, def, value) : store(p, def, value);
}

static bool take_letters(struct parser *p, const char *arg)
{
	for (const char *at = arg + 1; *at; at++) {
		const char letter[2] = { *at, '\0' };
		const struct option_def *def = find_letter(p->table, *at);
		const char *value = at + 1;

		if (!def)
			return mistake(p->error, "unknown option -%s",
				       isprint((unsigned char)*at) ? letter : "?");
		if (def->kind == OPTION_FLAG) {
			store(p, def, NULL);
			continue;
		}
		if (*value == '=')
			value++; /* argparse takes -o=FILE for -o FILE */
		else if (!*value)
			value = take_value(p, "-", letter);
		return value && store(p, def, value);
	}
	return true;
}

bool parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned shift = 0;
	unsigned long long n;

	if (!isdigit((unsigned char)*text))
		return false;
	n = strtoull(text, &end, 10);
	if (*end) {
		const char *unit = strchr(units, toupper((unsigned char)*end));

		if (!unit)
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (*end && strcmp(end, "iB") != 0)
			return false;
	}
	/* strtoull's own overflow gives ULLONG_MAX: refused too, shifted or not. */
	if (n == 0 || n >= UINT64_MAX >> shift)
		return false;
	*bytes = (uint64_t)n << shift;
	return true;
}

static bool store_count(struct parser *p, const struct option_def *def, const char *value)
{
	unsigned long n = 0;
	unsigned count;
	char *end = NULL;

	if (isdigit((unsigned char)*value))
		n = strtoul(value, &end, 10);
	if (!end || *end || n < 1 || n > def->max)
		return mistake(p->error, "option --%s: '%.100s' is not a number from 1 to %u",
			       def->name, value, def->max);
	count = (unsigned)n;
	memcpy(p->values + def->place, &count, sizeof(count));
	return true;
}

static bool store_choice(struct parser *p, const struct option_def *def, const char *value)
{
	char list[OPTION_ERROR_ROOM / 2] = "";
	size_t used = 0;

	for (unsigned i = 0; def->choices[i]; i++) {
		const unsigned choice = i + 1;

		if (!strcmp(value, def->choices[i])) {
			memcpy(p->values + def->place, &choice, sizeof(choice));
			return true;
		}
		if (used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", def->choices[i]);
	}
	return mistake(p->error, "option --%s: '%.100s' is none of %s", def->name, value, list);
}

static bool store(struct parser *p, const struct option_def *def, const char *value)
{
	char *place = p->values + def->place;
	uint64_t bytes;

	switch (def->kind) {
	case OPTION_FLAG:
		*(bool *)place = true;
		return true;
	case OPTION_TEXT:
		memcpy(place, &value, sizeof(value));
		return true;
	case OPTION_SIZE:
		if (!parse_size(value, &bytes))
			return mistake(p->error,
				       "option --%s: '%.100s' is not a size, such as 64M or 1G",
				       def->name, value);
		memcpy(place, &bytes, sizeof(bytes));
		return true;
	case OPTION_COUNT:
		return store_count(p, def, value);
	case OPTION_CHOICE:
		return store_choice(p, def, value);
	case OPTION_LIST:
		return append(p, def->place, value);
	case OPTION_PAIR: /* store_pair() */
	case OPTION_GROUP:
		break;
	}
	return false;
}

#define HELP_COLUMN 26u
#define HELP_WIDTH 79u

/* Prints text from HELP_COLUMN on, broken at spaces; the cursor is at column. */
static void print_wrapped(const char *text, unsigned column, FILE *to)
{
	if (column + 2 > HELP_COLUMN) {
		fputc('\n', to);
		column = 0;
	}
	fprintf(to, "%*s", (int)(HELP_COLUMN - column), "");
	column = HELP_COLUMN;
	while (*text) {
		unsigned len = (unsigned)strcspn(text, " ");

		if (column > HELP_COLUMN && column + 1 + len > HELP_WIDTH) {
			fprintf(to, "\n%*s", (int)HELP_COLUMN, "");
			column = HELP_COLUMN;
		} else if (column > HELP_COLUMN) {
			fputc(' ', to);
			column++;
		}
		fwrite(text, 1, len, to);
		column += len;
		text += len + strspn(text + len, " ");
	}
	fputc('\n', to);
}

void options_print_help(const struct option_table *table, FILE *to)
{
	for (size_t i = 0; i < table->argument_count; i++) {
		const struct argument_def *def = &table->arguments[i];
		int column = fprintf(to, "  %s%s", def->name, def->many ? "..." : "");

		print_wrapped(def->help, (unsigned)column, to);
	}
	for (size_t i = 0; i < table->option_count; i++) {
		const struct option_def *def = &table->options[i];
		int column;

		if (def->kind == OPTION_GROUP) {
			fprintf(to, "\n%s:\n", def->help);
			continue;
		}
		column = def->letter ? fprintf(to, "  -%c, --%s", def->letter, def->name)
				     : fprintf(to, "  --%s", def->name);
		if (def->value_name)
			column += fprintf(to, " %s", def->value_name);
		print_wrapped(def->help, (unsigned)column, to);
	}
}

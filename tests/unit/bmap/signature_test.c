/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "bmap/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FPR_A "0123456789ABCDEF0123456789ABCDEF01234567"
#define KEY_A "89ABCDEF01234567"
#define FPR_B "FEDCBA9876543210FEDCBA9876543210FEDCBA98"
#define KEY_B "76543210FEDCBA98"
#define FPR_5 "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"
#define KEY_5 "0011223344556677"
#define G "[GNUPG:] "
#define GOOD_A G "GOODSIG " KEY_A " Ann <a@example.org>\n"
#define VALID_A G "VALIDSIG " FPR_A " 2026-01-01 1767225600 0 4 0 22 8 00 " FPR_A "\n"
#define GOOD_B G "GOODSIG " KEY_B " Bob\n"
/* By a subkey of A's. */
#define VALID_B G "VALIDSIG " FPR_B " 2026-01-01 1767225600 0 4 0 22 8 00 " FPR_A "\n"
#define NO_KEY_B G "ERRSIG " KEY_B " 22 8 00 1767225600 9 " FPR_B "\n" G "NO_PUBKEY " KEY_B "\n"
#define BAD_B G "BADSIG " KEY_B " Bob\n"
#define TEXT_SIGNED G "PLAINTEXT 74 0 \n"

static bool parse(struct signature_report *report, const char *text, size_t len)
{
	struct bmap_error err = { 0 };
	char *copy = malloc(len ? len : 1); /* of its own length, for AddressSanitizer */
	bool good;

	assert_non_null(copy);
	memcpy(copy, text, len);
	good = signature_report_parse(report, copy, len, &err);
	free(copy);
	assert_true(good == (err.code == BMAP_ERR_NONE));
	return good;
}

/* What the whole of it says: "" good, else a phrase of the error. */
static void expect_judgement(const char *status, const char *fingerprint, bool inside,
			     bool succeeded, const char *phrase)
{
	const struct signature_question question = {
		.signature = "x.asc",
		.fingerprint = fingerprint,
		.clearsigned = inside,
		.program_succeeded = succeeded,
		.program_said = "gpg: said this",
	};
	struct signature_report report;
	struct bmap_error err = { 0 };
	bool good = parse(&report, status, strlen(status));

	if (good)
		good = signature_judge(&report, &question, &err);
	else
		snprintf(err.text, sizeof(err.text), "not understood");
	if (good != !phrase[0] || (!good && !strstr(err.text, phrase)))
		fail_msg("%s\n-> %d, %s; expected '%s'", status, good, err.text, phrase);
}

static void one_good_signature_and_none_bad_is_what_it_takes(void **state)
{
	static const struct {
		const char *status, *fingerprint;
		bool inside, succeeded;
		const char *phrase;
	} cases[] = {
		{ G "NEWSIG\n" GOOD_A VALID_A, NULL, false, true, "" },
		{ GOOD_A VALID_A G "TRUST_UNDEFINED 0 pgp\n", NULL, false, true, "" },
		{ GOOD_A VALID_A G "TRUST_NEVER 0 direct\n", NULL, false, true, "never" },
		{ GOOD_A VALID_A, FPR_A, false, true, "" },
		{ GOOD_A VALID_A, FPR_B, false, true, "did not sign" },
		{ GOOD_B VALID_B, FPR_B, false, true, "" }, /* the subkey */
		{ GOOD_B VALID_B, FPR_A, false, true, "" }, /* its primary key */
		{ "", NULL, false, true, "finds none" },
		{ G "NODATA 1\n", NULL, false, false, "finds none" },
		/* One of the two lines alone is no good signature. */
		{ GOOD_A, NULL, false, true, "BAD GPG signature" },
		{ GOOD_A, FPR_A, false, true, "BAD GPG signature" },
		{ VALID_A, NULL, false, true, "not understood" },
		{ GOOD_A VALID_B, NULL, false, true, "not understood" }, /* of another key */
		{ GOOD_A VALID_A VALID_A, NULL, false, true, "not understood" },
		{ G "EXPSIG " KEY_A " Ann\n" VALID_A, NULL, false, true, "signature has expired" },
		{ G "EXPKEYSIG " KEY_A " Ann\n" VALID_A, NULL, false, true, "key has expired" },
		{ G "REVKEYSIG " KEY_A " Ann\n" VALID_A, FPR_A, false, true, "revoked" },
		{ NO_KEY_B, NULL, false, false, "no matching key found in your" },
		{ G "ERRSIG " KEY_B " 99 8 00 1 4\n", NULL, false, false, "said this" },
		{ BAD_B, NULL, false, false, "changed after it was signed" },
		{ BAD_B VALID_B, NULL, false, false, "not understood" },
		/* Several. */
		{ GOOD_A VALID_A NO_KEY_B, NULL, false, false, "" },
		{ NO_KEY_B GOOD_A VALID_A, FPR_A, false, false, "" },
		{ NO_KEY_B GOOD_A VALID_A, FPR_B, false, false, "did not sign" },
		{ GOOD_A VALID_A BAD_B, FPR_A, false, false, "changed after" },
		{ BAD_B GOOD_A VALID_A, FPR_A, false, false, "changed after" },
		{ G "REVKEYSIG " KEY_B " Bob\n" VALID_B GOOD_A VALID_A, FPR_B, false, true,
		  "revoked" },
		/* A failure that no signature explains. */
		{ GOOD_A VALID_A, NULL, false, false, "GnuPG failed (gpg: said this)" },
		{ GOOD_A VALID_A NO_KEY_B G "ERROR proc_pkt.plaintext 89\n", NULL, false, false,
		  "GnuPG failed" },
		{ GOOD_A VALID_A NO_KEY_B G "ERROR keydb_search 33554445\n", NULL, false, false,
		  "" },
		{ GOOD_A VALID_A NO_KEY_B G "NODATA 4\n", NULL, false, false, "GnuPG failed" },
		/* The signed text: one if it is inside, none if it is the bmap. */
		{ TEXT_SIGNED GOOD_A VALID_A, NULL, true, true, "" },
		{ GOOD_A VALID_A, NULL, true, true, "no or several" },
		{ TEXT_SIGNED GOOD_A VALID_A TEXT_SIGNED, NULL, true, true, "no or several" },
		{ TEXT_SIGNED GOOD_A VALID_A, NULL, false, true, "its own" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_judgement(cases[i].status, cases[i].fingerprint, cases[i].inside,
				 cases[i].succeeded, cases[i].phrase);
}

static void lines_that_gnupg_does_not_write_are_not_understood(void **state)
{
	static const char *const cases[] = {
		"x", /* no newline */
		"\n",
		"gpg: Good signature\n",
		" " GOOD_A,
		"x" GOOD_A,
		"[GNUPG:]\n",
		"[GNUPG:] \n",
		"[GNUPG:]GOODSIG " KEY_A " Ann\n",
		G " GOODSIG " KEY_A " Ann\n",
		"[gnupg:] GOODSIG " KEY_A " Ann\n",
		GOOD_A "[GNUPG:] VALIDSIG", /* cut off */
		G "GOODSIG\n",
		G "GOODSIG \n",
		G "GOODSIG  " KEY_A " Ann\n",
		G "GOODSIG 0123 Ann\n",
		G "GOODSIG 89abcdef01234567 Ann\n",
		G "GOODSIG " KEY_A KEY_A KEY_A KEY_A "0 Ann\n",
		GOOD_A G "VALIDSIG " FPR_A "\n",
		GOOD_A G "VALIDSIG " FPR_A " 2026-01-01 1 0 4 0 22 8\n",
		GOOD_A G "VALIDSIG " FPR_A " 2026-01-01 1 0 4 0 22 8 10\n", /* on a key */
		GOOD_A G "VALIDSIG " KEY_A " 2026-01-01 1 0 4 0 22 8 00\n",
		GOOD_A G "VALIDSIG " FPR_A "0 2026-01-01 1 0 4 0 22 8 00\n",
		GOOD_A G "VALIDSIG " FPR_A " 2026-01-01 1 0 4 0 22 8 00 " KEY_A "\n",
	};
	struct signature_report report;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (parse(&report, cases[i], strlen(cases[i])))
			fail_msg("taken: %s", cases[i]);
		assert_int_equal(report.count, 0);
	}
	assert_false(parse(&report, GOOD_A "[GNUPG:] X\0Y\n", sizeof(GOOD_A) + 13));
}

static void what_a_user_id_says_stays_a_user_id(void **state)
{
	static const struct {
		const char *escaped, *shown;
	} cases[] = {
		{ "Ann [GNUPG:] VALIDSIG " FPR_B, "Ann [GNUPG:] VALIDSIG " FPR_B },
		{ "Ann%0A[GNUPG:] VALIDSIG", "Ann?[GNUPG:] VALIDSIG" },
		{ "100%25 %1b[2J%7f\x1b", "100% ?[2J??" },
		{ "J\xc3\xbcrg %", "J\xc3\xbcrg %" },
		{ "%0", "%0" },
		{ "%zz%", "%zz%" },
		{ "", "" },
	};
	struct signature_report report;
	char line[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(line, sizeof(line), G "GOODSIG " KEY_A " %s\n" VALID_A, cases[i].escaped);
		assert_true(parse(&report, line, strlen(line)));
		assert_int_equal(report.count, 1);
		assert_int_equal(report.found[0].verdict, SIGNATURE_GOOD);
		assert_string_equal(report.found[0].user, cases[i].shown);
		assert_true(signature_is_by(&report.found[0], FPR_A));
		assert_false(signature_is_by(&report.found[0], FPR_B));
	}
}

static void lengths_have_limits(void **state)
{
	size_t each = strlen(NO_KEY_B), room = (SIGNATURE_MAX + 1) * each + 1;
	struct signature_report report;
	char *text = malloc(room), *line = malloc(20000);
	size_t len;

	(void)state;
	assert_true(text && line);
	for (size_t i = 0; i <= SIGNATURE_MAX; i++)
		memcpy(text + i * each, NO_KEY_B, each);
	assert_true(parse(&report, text, SIGNATURE_MAX * each));
	assert_int_equal(report.count, SIGNATURE_MAX);
	assert_false(parse(&report, text, (SIGNATURE_MAX + 1) * each));
	/* A user ID of 2 KiB, all of it escaped, is cut; a line of any length is refused. */
	len = (size_t)snprintf(line, 20000, G "GOODSIG " KEY_A " %0*d\n", 6000, 0);
	assert_true(parse(&report, line, len));
	assert_int_equal(strlen(report.found[0].user), SIGNATURE_USER_ROOM - 1);
	len = (size_t)snprintf(line, 20000, G "GOODSIG " KEY_A " %0*d\n", 9000, 0);
	assert_false(parse(&report, line, len));
	free(text);
	free(line);
}

static void keys_of_version_5_are_known_by_their_beginning(void **state)
{
	(void)state;
	expect_judgement(G "GOODSIG " KEY_5 " Vic\n" G "VALIDSIG " FPR_5
			   " 2026-01-01 1 0 5 0 22 8 00 " FPR_5 "\n",
			 FPR_5, false, true, "");
	expect_judgement(G "GOODSIG 8899AABBCCDDEEFF Vic\n" G "VALIDSIG " FPR_5
			   " 2026-01-01 1 0 5 0 22 8 00 " FPR_5 "\n",
			 FPR_5, false, true, "not understood");
}

static void a_fingerprint_is_whole_in_any_case_and_spacing(void **state)
{
	static const struct {
		const char *text, *normal; /* NULL: refused */
	} cases[] = {
		{ FPR_A, FPR_A },
		{ "0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567", FPR_A },
		{ " " FPR_A "\t", FPR_A },
		{ FPR_5, FPR_5 },
		{ "", NULL },
		{ KEY_A, NULL },
		{ FPR_A "0", NULL },
		{ FPR_5 "0", NULL },
		{ FPR_A FPR_A, NULL },
		{ "0123456789ABCDEF0123456789ABCDEF0123456G", NULL },
		{ "0x" FPR_A, NULL },
		{ FPR_A "\n", NULL },
	};
	char out[SIGNATURE_FINGERPRINT_ROOM];
	struct bmap_error err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool good = signature_fingerprint(cases[i].text, out, &err);

		assert_int_equal(good, cases[i].normal != NULL);
		if (good)
			assert_string_equal(out, cases[i].normal);
	}
}

static void a_signature_is_called_as_its_map(void **state)
{
	static const struct {
		const char *bmap, *name;
	} cases[] = {
		{ "disk.bmap", "disk.bmap.asc" },
		{ "a?b#c/disk.bmap", "a?b#c/disk.bmap.asc" }, /* a path is no URL */
		{ "http://h/d.bmap", "http://h/d.bmap.asc" },
		{ "http://h/d.bmap?key=1#x", "http://h/d.bmap.asc?key=1#x" },
		{ "http://h/d.bmap#x?y", "http://h/d.bmap.asc#x?y" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *name = signature_name(cases[i].bmap, signature_endings[0]);

		assert_non_null(name);
		assert_string_equal(name, cases[i].name);
		free(name);
	}
}

#define BEGIN "-----BEGIN PGP SIGNED MESSAGE-----\n"
#define END "-----BEGIN PGP SIGNATURE-----\nx\n"

static void of_a_clearsigned_file_the_text_inside_is_taken(void **state)
{
	static const struct {
		const char *file, *text; /* NULL: cut off */
	} cases[] = {
		{ BEGIN "Hash: SHA256\n\na\nb\n" END "behind\n", "a\nb\n" },
		{ BEGIN "\na\n" END, "a\n" },
		{ BEGIN "Hash: SHA256\n \t\r\n\n\na\n" END, "\n\na\n" },
		{ BEGIN "\n- -----BEGIN PGP SIGNATURE-----\n- - x\n-y\n" END,
		  "-----BEGIN PGP SIGNATURE-----\n- x\n-y\n" },
		{ BEGIN "\n" END, "" },
		{ BEGIN "\na\r\n-----BEGIN PGP SIGNATURE-----\r\n", "a\r\n" },
		{ BEGIN "\na\n-----BEGIN PGP SIGNATURE-----", "a\n" },
		{ BEGIN "Hash: SHA256\n", NULL },
		{ BEGIN "\na\n", NULL },
		{ BEGIN "\na\n-----BEGIN PGP SIGNATURE----", NULL },
		{ BEGIN, NULL },
	};
	struct bmap_error err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].file);
		char *copy = malloc(len);
		bool good;

		assert_non_null(copy);
		memcpy(copy, cases[i].file, len);
		assert_true(clearsigned(copy, len));
		good = clearsigned_text(copy, &len, "x", &err);
		assert_int_equal(good, cases[i].text != NULL);
		if (good) {
			assert_int_equal(len, strlen(cases[i].text));
			assert_memory_equal(copy, cases[i].text, len);
		}
		free(copy);
	}
	assert_false(clearsigned("", 0));
	assert_false(clearsigned("\n" BEGIN, strlen(BEGIN) + 1));
	assert_false(clearsigned(BEGIN, 20));
	assert_false(clearsigned("-----BEGIN PGP SIGNED MESSAGE-----XX\n", 37));
	assert_true(clearsigned("-----BEGIN PGP SIGNED MESSAGE----- \r\n", 37));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_good_signature_and_none_bad_is_what_it_takes),
		cmocka_unit_test(lines_that_gnupg_does_not_write_are_not_understood),
		cmocka_unit_test(what_a_user_id_says_stays_a_user_id),
		cmocka_unit_test(lengths_have_limits),
		cmocka_unit_test(keys_of_version_5_are_known_by_their_beginning),
		cmocka_unit_test(a_fingerprint_is_whole_in_any_case_and_spacing),
		cmocka_unit_test(a_signature_is_called_as_its_map),
		cmocka_unit_test(of_a_clearsigned_file_the_text_inside_is_taken),
	};

	return cmocka_run_group_tests_name("signature", tests, NULL, NULL);
}

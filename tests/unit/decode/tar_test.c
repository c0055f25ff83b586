/* SPDX-License-Identifier: MIT */
#include "decode/decoder_internal.h"
#include "tar_make.h"
#include "unit_test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define MEDIUM .ring_bytes = 256 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB
static const struct decode_feed feeds[] = {
	{ MEDIUM, .input = FEED_ALL, .room = FEED_ALL, .room_max_bytes = 64 * KIB },
	{ MEDIUM, .input = FEED_LEAST, .room = FEED_RANDOM, .seed = 3, .room_max_bytes = 100 },
	{ MEDIUM, .input = FEED_RANDOM, .room = FEED_LEAST, .seed = 5, .room_max_bytes = 64 * KIB },
	{ MEDIUM, .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 6, .room_max_bytes = 1 },
};

static void expect_image(const struct test_bytes *source, const uint8_t *image, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
		struct decode_result r = decode_drive(&tar_decoder, source->data, source->len,
						      image, len, &feeds[i]);

		if (!r.good || !r.same)
			fail_msg("feed %zu: %s", i, r.good ? "other bytes" : r.err.text);
	}
}

#define IMAGE_BYTES 70001u

static void whatever_stands_before_the_image_is_passed(void **state)
{
	uint8_t *image = test_image(IMAGE_MIXED, IMAGE_BYTES, 1);
	struct test_bytes a = { 0 }, records = { 0 };
	char long_name[300];
	uint8_t *block;

	(void)state;
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	tar_record_add(&records, "comment", "about all of it");
	tar_pax_add(&a, 'g', &records);
	tar_header_add(&a, MAKE_USTAR, "folder/", '5', 0);
	tar_header_add(&a, MAKE_USTAR, "folder with a size", '5', 4096); /* space it may use */
	tar_header_add(&a, MAKE_GNU, "old folder/", '\0', 0);
	tar_header_add(&a, MAKE_USTAR, "link", '2', 0);
	tar_header_add(&a, MAKE_USTAR, "hard link with a size", '1', 999);
	tar_header_add(&a, MAKE_USTAR, "fifo", '6', 0);
	tar_header_add(&a, MAKE_GNU, "label", 'V', 0);
	tar_header_add(&a, MAKE_GNU, "dumped folder", 'D', 3);
	tar_data_add(&a, "Yx\0", 3);
	tar_header_add(&a, MAKE_GNU, "././@LongLink", 'K', sizeof(long_name));
	tar_data_add(&a, long_name, sizeof(long_name));
	tar_header_add(&a, MAKE_GNU, "././@LongLink", 'L', sizeof(long_name));
	tar_data_add(&a, long_name, sizeof(long_name));
	block = tar_header_add(&a, MAKE_GNU, "nnnn", '0', IMAGE_BYTES);
	memset(block + 124, 0, 12); /* base 256, although it need not be */
	block[124] = 0x80;
	block[133] = (uint8_t)(IMAGE_BYTES >> 16);
	block[134] = (uint8_t)(IMAGE_BYTES >> 8);
	block[135] = (uint8_t)IMAGE_BYTES;
	tar_sum(block);
	tar_data_add(&a, image, IMAGE_BYTES);
	tar_header_add(&a, MAKE_USTAR, "behind/", '5', 0);
	tar_end_add(&a);
	expect_image(&a, image, IMAGE_BYTES);
	test_bytes_free(&a);
	free(image);
}

static void the_size_in_a_pax_header_counts(void **state)
{
	uint8_t *image = test_image(IMAGE_MIXED, IMAGE_BYTES, 2);
	struct test_bytes a = { 0 }, records = { 0 };

	(void)state;
	tar_number_record_add(&records, "size", IMAGE_BYTES);
	tar_record_add(&records, "mtime", "1234567890.5");
	tar_pax_add(&a, 'x', &records);
	tar_header_add(&a, MAKE_USTAR, "disk.img", '0', 0);
	tar_data_add(&a, image, IMAGE_BYTES);
	tar_file_add(&a, "behind", "its own size again", 18);
	tar_end_add(&a);
	expect_image(&a, image, IMAGE_BYTES);
	test_bytes_free(&a);
	free(image);
}

static void files_of_any_length_come_out_whole(void **state)
{
	static const size_t lens[] = { 0, 1, 511, 512, 513, 1024, 3 * MIB + 5 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		uint8_t *image = test_image(IMAGE_NOISE, lens[i], 3);
		struct test_bytes a = { 0 };

		tar_file_add(&a, "disk.img", image, lens[i]);
		tar_end_add(&a);
		if (lens[i] < MIB)
			expect_image(&a, image, lens[i]);
		else
			assert_true(
				decode_drive(&tar_decoder, a.data, a.len, image, lens[i], &feeds[0])
					.same);
		test_bytes_free(&a);
		free(image);
	}
}

static void a_member_is_found_by_its_name_or_base_name(void **state)
{
	static const struct {
		const char *wanted, *bytes, *words; /* NULL: not there */
	} cases[] = {
		{ NULL, "1", "taking 'readme', the first of 4 files: --member NAME" },
		{ "readme", "1", "" },
		{ "disk.img", "22", "" },
		{ "a/disk.img", "22", "" },
		{ "./a/disk.img", "22", "" },
		{ "b/disk.img", "333", "" },
		{ "./b/disk.img", "333", "" },
		{ "long.img", "4444", "" },
		{ "disk", NULL, "no file 'disk' in the tar archive, which holds 'readme', " },
		{ "img", NULL, "'a/disk.img', './b/disk.img', '" },
		{ "a", NULL, "(4 in all): name one of them with --member" },
		{ "b/", NULL, "no file 'b/'" },
		{ "", NULL, "no file ''" },
		{ "\033[2J", NULL, "no file '?[2J'" },
	};
	struct test_bytes a = { 0 }, records = { 0 };

	(void)state;
	tar_file_add(&a, "readme", "1", 1);
	tar_header_add(&a, MAKE_USTAR, "b/", '5', 0);
	tar_file_add(&a, "a/disk.img", "22", 2);
	tar_file_add(&a, "./b/disk.img", "333", 3);
	tar_record_add(&records, "path", "of/no/such/limit/long.img");
	tar_pax_add(&a, 'x', &records);
	tar_file_add(&a, "of/no/such/li", "4444", 4);
	tar_end_add(&a);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct decode_feed feed = { SMALL, .room_max_bytes = 7, .member = cases[i].wanted };
		const char *bytes = cases[i].bytes ? cases[i].bytes : "";
		struct decode_result r = decode_drive(&tar_decoder, a.data, a.len,
						      (const uint8_t *)bytes, strlen(bytes), &feed);

		assert_int_equal(r.good, cases[i].bytes != NULL);
		assert_true(r.same);
		if (!r.good && !strstr(r.err.text, cases[i].words))
			fail_msg("'%s', wanted: %s", r.err.text, cases[i].words);
		if (r.good && strncmp(r.note, cases[i].words, strlen(cases[i].words)))
			fail_msg("'%s', wanted: %s", r.note, cases[i].words);
		if (r.good && !cases[i].words[0])
			assert_string_equal(r.note, "");
	}
	test_bytes_free(&a);
}

static void the_prefix_field_is_part_of_a_name_but_not_of_gnus(void **state)
{
	struct decode_feed feed = { SMALL, .room_max_bytes = 7, .member = "p/disk.img" };
	struct test_bytes a = { 0 };
	uint8_t *block;

	(void)state;
	block = tar_header_add(&a, MAKE_GNU, "disk.img", '0', 1);
	block[345] = 'p'; /* a time, in GNU's */
	tar_sum(block);
	tar_data_add(&a, "g", 1);
	block = tar_header_add(&a, MAKE_USTAR, "disk.img", '0', 1);
	block[345] = 'p';
	tar_sum(block);
	tar_data_add(&a, "u", 1);
	tar_end_add(&a);
	assert_true(decode_drive(&tar_decoder, a.data, a.len, (const uint8_t *)"u", 1, &feed).same);
	test_bytes_free(&a);
}

/* --- sparse files --- */

struct extent {
	size_t offset, len;
};

enum sparse { GNU, PAX_0_0, PAX_0_1, PAX_1_0 };

struct sparse_file {
	const char *why;
	size_t size;
	struct extent extents[40];
	size_t count;
};

static uint8_t *sparse_image(const struct sparse_file *f, struct test_bytes *stored)
{
	uint8_t *image = calloc(1, f->size + 1);

	for (size_t i = 0; i < f->count; i++) {
		uint8_t *noise = test_image(IMAGE_NOISE, f->extents[i].len, (uint32_t)i + 1);

		memcpy(image + f->extents[i].offset, noise, f->extents[i].len);
		test_bytes_add(stored, noise, f->extents[i].len);
		free(noise);
	}
	return image;
}

static void gnu_sparse_add(struct test_bytes *a, const struct sparse_file *f, size_t stored)
{
	uint8_t *block = tar_header_add(a, MAKE_GNU, "disk.img", 'S', stored);
	size_t at = 386, most = 4, next = 482;

	tar_put(block + 483, 12, f->size);
	for (size_t i = 0; i < f->count; i++, most--, at += 24) {
		if (!most) {
			block[next] = 1;
			block = test_bytes_room(a, 512);
			a->len += 512;
			at = 0;
			most = 21;
			next = 504;
		}
		tar_put(block + at, 12, f->extents[i].offset);
		tar_put(block + at + 12, 12, f->extents[i].len);
	}
	/* The first block may have moved. */
	tar_sum(a->data + a->len - 512 * (1 + (f->count > 4 ? (f->count - 4 + 20) / 21 : 0)));
}

static void pax_sparse_add(struct test_bytes *a, const struct sparse_file *f, enum sparse kind,
			   size_t stored)
{
	struct test_bytes records = { 0 }, text = { 0 };
	char number[64];

	for (size_t i = 0; kind == PAX_0_0 && i < f->count; i++) {
		tar_number_record_add(&records, "GNU.sparse.offset", f->extents[i].offset);
		tar_number_record_add(&records, "GNU.sparse.numbytes", f->extents[i].len);
	}
	if (kind == PAX_1_0) {
		snprintf(number, sizeof(number), "%zu\n", f->count);
		test_bytes_add(&text, number, strlen(number));
	}
	for (size_t i = 0; kind != PAX_0_0 && i < f->count; i++) {
		snprintf(number, sizeof(number), kind == PAX_1_0 ? "%zu\n%zu\n" : ",%zu,%zu",
			 f->extents[i].offset, f->extents[i].len);
		test_bytes_add(&text, number + (kind == PAX_0_1 && !i),
			       strlen(number) - (kind == PAX_0_1 && !i));
	}
	test_bytes_add(&text, "", 1); /* ends the string */
	if (kind == PAX_0_1)
		tar_record_add(&records, "GNU.sparse.map", (char *)text.data);
	if (kind == PAX_1_0) {
		tar_record_add(&records, "GNU.sparse.major", "1");
		tar_record_add(&records, "GNU.sparse.minor", "0");
	}
	if (kind != PAX_0_0)
		tar_record_add(&records, "GNU.sparse.name", "disk.img");
	tar_number_record_add(&records, kind == PAX_1_0 ? "GNU.sparse.realsize" : "GNU.sparse.size",
			      f->size);
	tar_pax_add(a, 'x', &records);
	if (kind == PAX_1_0)
		stored += (size_t)align_up(text.len - 1, 512);
	tar_header_add(a, MAKE_USTAR, "GNUSparseFile.1/disk.img", '0', stored);
	if (kind == PAX_1_0)
		tar_data_add(a, text.data, text.len - 1);
	test_bytes_free(&text);
}

static void sparse_add(struct test_bytes *a, const struct sparse_file *f, enum sparse kind,
		       const struct test_bytes *stored)
{
	if (kind == GNU)
		gnu_sparse_add(a, f, stored->len);
	else
		pax_sparse_add(a, f, kind, stored->len);
	tar_data_add(a, stored->data, stored->len);
}

static struct sparse_file many_extents(size_t count)
{
	struct sparse_file f = { "many extents", 0, { { 0 } }, count };

	for (size_t i = 0; i < count; i++) {
		f.extents[i] = (struct extent){ f.size + i % 3 * 512, 1 + i * 37 % 1400 };
		f.size = f.extents[i].offset + f.extents[i].len;
	}
	return f;
}

static void sparse_files_come_out_with_their_holes_as_zeros(void **state)
{
	const struct sparse_file files[] = {
		{ "hole at both ends", 50000, { { 4096, 5000 }, { 50000, 0 } }, 2 },
		{ "the same without the mark at its end", 50000, { { 4096, 5000 } }, 1 },
		{ "nothing but a hole", 100000, { { 100000, 0 } }, 1 },
		{ "no hole", 1000, { { 0, 1000 } }, 1 },
		{ "empty", 0, { { 0, 0 } }, 1 },
		{ "extents that touch", 3000, { { 0, 700 }, { 700, 0 }, { 700, 800 } }, 3 },
		many_extents(4),
		many_extents(5),
		many_extents(25),
		many_extents(26),
		many_extents(40),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		for (enum sparse kind = GNU; kind <= PAX_1_0; kind++) {
			struct test_bytes a = { 0 }, stored = { 0 };
			uint8_t *image = sparse_image(&files[i], &stored);

			print_message("%s, kind %d\n", files[i].why, kind);
			sparse_add(&a, &files[i], kind, &stored);
			tar_file_add(&a, "behind", "found", 5);
			tar_end_add(&a);
			expect_image(&a, image, files[i].size);
			/* and when it is another file's turn */
			for (size_t f = 0; f < ARRAY_LEN(small_feeds); f++) {
				struct decode_feed feed = small_feeds[f];

				feed.member = "behind";
				assert_true(decode_drive(&tar_decoder, a.data, a.len,
							 (const uint8_t *)"found", 5, &feed)
						    .same);
			}
			test_bytes_free(&a);
			test_bytes_free(&stored);
			free(image);
		}
	}
}

/* What tar(1) itself makes of a file with holes. */
static void sparse_files_of_tar_come_out_as_they_were(void **state)
{
	static const char *const formats[] = { "gnu", "posix --sparse-version=0.0",
					       "posix --sparse-version=0.1",
					       "posix --sparse-version=1.0" };
	const size_t size = 3 * MIB + 123;
	uint8_t *image = calloc(1, size), *noise = test_image(IMAGE_NOISE, size, 5);
	char folder[] = "/tmp/bmaptool-tar-XXXXXX", path[64], command[200];
	int fd;

	(void)state;
	if (system("tar --version 2>/dev/null | grep -q GNU")) {
		print_message("skipped: there is no GNU tar\n");
		free(image);
		free(noise);
		skip();
	}
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk.img", folder);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (size_t at = 8192; at + 4096 < size; at += 65536) {
		memcpy(image + at, noise + at, 4096);
		assert_int_equal(pwrite(fd, image + at, 4096, (off_t)at), 4096);
	}
	fsync(fd);
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct test_bytes a = { 0 };
		FILE *tar;
		size_t n;

		snprintf(command, sizeof(command), "tar -C %s -S --format=%s -cf - disk.img",
			 folder, formats[i]);
		tar = popen(command, "r");
		while ((n = fread(test_bytes_room(&a, 65536), 1, 65536, tar)))
			a.len += n;
		assert_int_equal(pclose(tar), 0);
		assert_in_range(a.len, 1, MIB);
		assert_true(decode_drive(&tar_decoder, a.data, a.len, image, size, &feeds[2]).same);
		expect_image(&a, image, size);
		test_bytes_free(&a);
	}
	unlink(path);
	rmdir(folder);
	free(image);
	free(noise);
}

/* --- ends --- */

static void the_end_is_two_zero_blocks_or_the_source_s_own(void **state)
{
	static const struct {
		const char *why;
		size_t zeros;
		const char *behind;
		const char *words; /* NULL: good */
	} ends[] = {
		{ "no end blocks", 0, "", NULL },
		{ "one", 512, "", NULL },
		{ "two", 1024, "", NULL },
		{ "padded to 20 blocks", 8192, "", NULL },
		{ "padded to no block", 1025, "", NULL },
		{ "cut in the first", 511, "", "truncated" },
		{ "cut in the second", 513, "", "truncated" },
		{ "garbage at once", 1024, "x", "trailing garbage at offset 2048" },
		{ "garbage later", 5000, "x", "trailing garbage at offset 6024" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct test_bytes a = { 0 };

		tar_file_add(&a, "disk.img", "image", 5);
		test_bytes_room(&a, ends[i].zeros);
		a.len += ends[i].zeros;
		test_bytes_add(&a, ends[i].behind, strlen(ends[i].behind));
		print_message("%s\n", ends[i].why);
		if (ends[i].words)
			expect_refused(&a, ends[i].words);
		else
			expect_image(&a, (const uint8_t *)"image", 5);
		test_bytes_free(&a);
	}
}

static void a_header_behind_a_zero_block_is_garbage(void **state)
{
	struct test_bytes a = { 0 };

	(void)state;
	tar_file_add(&a, "disk.img", "image", 5);
	test_bytes_room(&a, 512);
	a.len += 512;
	tar_file_add(&a, "disk.img", "image", 5);
	expect_refused(&a, "trailing garbage at offset 1536");
	test_bytes_free(&a);
}

struct small {
	struct test_bytes a, stored;
	uint8_t *image;
	size_t image_len, image_end;
};

static struct small small_new(enum sparse kind)
{
	static const struct sparse_file f = {
		"", 1500, { { 100, 100 }, { 300, 1 }, { 310, 1 }, { 320, 600 }, { 1000, 7 } }, 5
	};
	struct small s = { 0 };

	s.image = sparse_image(&f, &s.stored);
	s.image_len = f.size;
	tar_header_add(&s.a, MAKE_USTAR, "folder", '5', 0);
	sparse_add(&s.a, &f, kind, &s.stored);
	s.image_end = s.a.len;
	tar_file_add(&s.a, "readme", "behind", 6);
	tar_end_add(&s.a);
	return s;
}

static void small_free(struct small *s)
{
	test_bytes_free(&s->a);
	test_bytes_free(&s->stored);
	free(s->image);
}

static void an_archive_cut_short_anywhere_fails_at_its_end(void **state)
{
	(void)state;
	for (enum sparse kind = GNU; kind <= PAX_1_0; kind++) {
		struct small s = small_new(kind);

		for (size_t len = 0; len < s.a.len; len++) {
			/* The source's end is an end where a header could begin. */
			bool good =
				len >= s.image_end && len % 512 == 0 && len != s.image_end + 512;

			for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++) {
				struct decode_result r =
					decode_drive(&tar_decoder, s.a.data, len, s.image,
						     s.image_len, &small_feeds[i]);

				assert_int_equal(r.good, good);
				assert_true(r.same);
				if (!good)
					assert_int_equal(r.err.offset_bytes, len);
			}
		}
		small_free(&s);
	}
}

static bool is_header(const struct test_bytes *a, size_t block)
{
	return !memcmp(a->data + block + 257, "ustar", 5);
}

static void any_flipped_bit_of_a_header_fails_or_changes_nothing(void **state)
{
	struct small s = small_new(GNU);

	(void)state;
	for (size_t bit = 0; bit < s.a.len * 8; bit++) {
		size_t block = bit / 8 / 512 * 512;
		struct decode_result r;

		if (!is_header(&s.a, block) || block >= s.image_end || bit % 3)
			continue; /* tar has no checksum over data */
		s.a.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		r = decode_drive(&tar_decoder, s.a.data, s.a.len, s.image, s.image_len,
				 &small_feeds[0]);
		assert_true(!r.good || r.same);
		s.a.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	small_free(&s);
}

static void any_flipped_bit_of_a_map_or_pax_header_ends(void **state)
{
	(void)state;
	for (enum sparse kind = GNU; kind <= PAX_1_0; kind++) {
		struct small s = small_new(kind);

		size_t maps_end = s.image_end - (size_t)align_up(s.stored.len, 512);

		for (size_t bit = 512 * 8; bit < maps_end * 8; bit++) {
			struct decode_feed feed = small_feeds[0];

			/* Those were flipped above, and zeros are many. */
			if (is_header(&s.a, bit / 8 / 512 * 512) || !s.a.data[bit / 8])
				continue;
			feed.stop_bytes = 100000;
			s.a.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			/* the driver aborts where it does not end, or without an error */
			decode_drive(&tar_decoder, s.a.data, s.a.len, NULL, 0, &feed);
			s.a.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		small_free(&s);
	}
}

static void only_a_header_with_its_magic_and_checksum_is_an_archive(void **state)
{
	static uint8_t zeros[4096];
	struct test_bytes a = { 0 };
	uint8_t *block;
	int sum = 0;

	(void)state;
	/* A bare ext4 file system: two blocks of zeros, then the superblock. */
	zeros[1080] = 0x53;
	zeros[1081] = 0xEF;
	assert_null(decoder_detect(zeros, sizeof(zeros)));
	memcpy(zeros + 257, "ustar", 6); /* and no checksum */
	assert_null(decoder_detect(zeros, sizeof(zeros)));
	tar_header_add(&a, MAKE_V7, "disk.img", '0', 5);
	assert_null(decoder_detect(a.data, a.len));
	tar_header_add(&a, MAKE_GNU, "disk.img", '0', 5);
	assert_ptr_equal(decoder_detect(a.data + 512, 512), &tar_decoder);
	assert_null(decoder_detect(a.data + 512, 511));
	a.data[512] ^= 1;
	assert_null(decoder_detect(a.data + 512, 512));
	/* Bytes added as signed ones. */
	a.len = 0;
	block = tar_header_add(&a, MAKE_USTAR, "\xE4rger.img", '0', 5);
	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += (int8_t)block[i];
	snprintf((char *)block + 148, 8, "%06o", (unsigned)sum);
	assert_ptr_equal(decoder_detect(a.data, 512), &tar_decoder);
	test_bytes_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_stands_before_the_image_is_passed),
		cmocka_unit_test(the_size_in_a_pax_header_counts),
		cmocka_unit_test(files_of_any_length_come_out_whole),
		cmocka_unit_test(a_member_is_found_by_its_name_or_base_name),
		cmocka_unit_test(the_prefix_field_is_part_of_a_name_but_not_of_gnus),
		cmocka_unit_test(sparse_files_come_out_with_their_holes_as_zeros),
		cmocka_unit_test(sparse_files_of_tar_come_out_as_they_were),
		cmocka_unit_test(the_end_is_two_zero_blocks_or_the_source_s_own),
		cmocka_unit_test(a_header_behind_a_zero_block_is_garbage),
		cmocka_unit_test(an_archive_cut_short_anywhere_fails_at_its_end),
		cmocka_unit_test(any_flipped_bit_of_a_header_fails_or_changes_nothing),
		cmocka_unit_test(any_flipped_bit_of_a_map_or_pax_header_ends),
		cmocka_unit_test(only_a_header_with_its_magic_and_checksum_is_an_archive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

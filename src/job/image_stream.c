/* SPDX-License-Identifier: MIT */
#include "job/image_stream.h"
#include "base/checked.h"
#include "base/stop.h"
#include "base/threads.h"
#include "base/units.h"
#include "decode/gzip_provider.h"
#include "digest/digest.h"
#include "job/job_internal.h"
#include "job/stream_format.h"
#include "source/url.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* bench/: smaller rings stall the stages, larger ones leave the processor's caches. */
#define LEAST_RING_BYTES (16u * MIB)
/* Between decompression and archive, whose bytes are handed on at once. */
#define LEAST_ARCHIVE_RING_BYTES (4u * MIB)
/* Beside a window: what is in flight, and what the stages lag behind each other. */
#define WINDOW_SLACK_BYTES (8u * MIB)
#define DEFAULT_MEMORY_BYTES (256u * (uint64_t)MIB)
/* Decoders' states, hashers, the source reader of a stream. */
#define FIXED_BYTES (4u * (uint64_t)MIB)
#define MAX_HASH_THREADS 4u

uint64_t job_memory_bytes(uint64_t asked_bytes)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t quarter;

	if (asked_bytes)
		return asked_bytes;
	quarter =
		pages > 0 && page > 0 ? (uint64_t)pages / 4 * (uint64_t)page : DEFAULT_MEMORY_BYTES;
	return min_u64(DEFAULT_MEMORY_BYTES, quarter);
}

static bool is_stdin(const char *image)
{
	return !strcmp(image, "-");
}

static struct map_request map_request(struct image_stream *stream)
{
	const struct image_stream_options *options = &stream->options;

	return (struct map_request){
		.image = stream->image,
		.bmap = options->bmap,
		.signature = options->bmap_signature,
		.no_signature = options->no_signature,
		.keyring = options->keyring,
		.fingerprint = options->fingerprint,
		.stop = options->stop,
		.log = options->log,
		.digest = stream->bmap_digest,
	};
}

static bool load_map(struct image_stream *stream, struct bmap_error *err)
{
	const struct map_request request = map_request(stream);

	return map_find(&request, &stream->map, &stream->bmap_path, err);
}

static bool set_image(struct image_stream *stream, struct bmap_error *err)
{
	const struct image_stream_options *options = &stream->options;

	stream->image = url_to_local(options->image, err);
	if (!stream->image)
		return false;
	stream->image_name = url_display(stream->image);
	if (!stream->image_name)
		return bmap_error_memory(err, "image");
	if (!is_stdin(stream->image) || options->no_bmap)
		return true;
	if (!options->bmap)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "standard input: a bmap cannot be found beside it: name one "
				      "with --bmap (\"copy --nobmap\" needs none)");
	if (is_stdin(options->bmap))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "standard input: cannot be the image and its bmap, too");
	return true;
}

static void log_map(const struct image_stream *stream)
{
	const struct bmap_log *log = stream->options.log;
	const struct bmap_map *map = stream->map;
	char size[SIZE_TEXT_BYTES], mapped[SIZE_TEXT_BYTES];
	uint64_t bytes = bmap_mapped_bytes(map);

	log_info(log, "block map format version %u.%u", map->version_major, map->version_minor);
	log_info(log,
		 "%" PRIu64 " blocks of size %" PRIu64 " (%s), mapped %" PRIu64
		 " blocks (%s or %.1f%%)",
		 map->blocks_count, map->block_size_bytes, size_text(map->image_size_bytes, size),
		 map->mapped_blocks, size_text(bytes, mapped),
		 map->image_size_bytes ? 100.0 * (double)bytes / (double)map->image_size_bytes : 0);
}

/* A bmap in the image's place is a slip of the fingers that would end in a broken device. */
static bool refuse_bmap_as_image(const struct image_stream *stream, struct bmap_error *err)
{
	const struct source *source = stream->source;
	const uint8_t *head = source->head;
	size_t len = min_u64(source->head_len, 4096), i = 0;

	while (i < len && (head[i] == ' ' || (head[i] >= '\t' && head[i] <= '\r')))
		i++;
	if (i < len && head[i] == '<' && memmem(head + i, len - i, "<bmap", 5))
		return bmap_error_set(
			err, BMAP_ERR_USAGE,
			"%s: this is a bmap file, not an image: name the image first, "
			"and the bmap with --bmap",
			source->name);
	return true;
}

/* ISA-L is several times faster (bench/): to be without it is said once. */
static void say_gzip_provider(const struct image_stream *stream)
{
	bool fast = !strcmp(gzip_provider_name(), "ISA-L");

	if (stream->format && !strcmp(stream->format->name, "gzip"))
		log_message(stream->options.log, fast ? BMAP_LOG_DEBUG : BMAP_LOG_INFO,
			    "%s: decompressed by %s%s", stream->source->name, gzip_provider_name(),
			    fast ? "" : ": a build with ISA-L is several times faster");
}

static bool detect_format(struct image_stream *stream, struct bmap_error *err)
{
	struct source *source = stream->source;
	struct stream_format found;

	if (!source->head_len)
		return bmap_error_data(err, 0, "%s: is empty: there is no image in it",
				       source->name);
	if (!stream_format_detect(&found, source, stream->options.member,
				  stream->options.memory_bytes, stream->options.log, err))
		return false;
	stream->format = found.format;
	stream->archive = found.archive;
	stream->decoder_plan = found.plan;
	say_gzip_provider(stream);
	return stream->format || refuse_bmap_as_image(stream, err);
}

/* A raw image must be as long as its map says; of a device that holds one, only at least. */
static bool check_raw_size(const struct image_stream *stream, struct bmap_error *err)
{
	const struct source *source = stream->source;
	uint64_t size = stream->plan.image_size_bytes;

	if (stream->format || !source->has_size || !stream->map)
		return true;
	if (source->is_block_device ? source->size_bytes >= size : source->size_bytes == size)
		return true;
	return bmap_error_data(err, min_u64(size, source->size_bytes),
			       "%s: the image has %" PRIu64 " bytes, but its bmap %s says %" PRIu64
			       ": image and bmap do not belong together",
			       source->name, source->size_bytes, stream->bmap_path, size);
}

static void make_plan(struct image_stream *stream)
{
	const struct source *source = stream->source;
	uint64_t size = SIZE_UNKNOWN;

	if (stream->map)
		size = stream->map->image_size_bytes;
	else if (!stream->format && source->has_size)
		size = source->size_bytes;
	stream->plan = (struct image_plan){ .map = stream->map, .image_size_bytes = size };
	stream->mapped_bytes = stream->map ? bmap_mapped_bytes(stream->map) : size;
	stream->verifies = stream->map && stream->map->digests && !stream->options.no_verify;
}

/* The image ring, where another one lies between decompression and archive. */
static size_t archive_output_bytes(uint64_t memory)
{
	uint64_t bytes = min_u64(LEAST_RING_BYTES, align_down(memory / 4, RING_ALIGN_BYTES));

	return (size_t)max_u64(bytes, 2 * RING_ALIGN_BYTES);
}

static bool refuse_memory(const struct image_stream *stream, uint64_t window_bytes,
			  uint64_t need_bytes, struct bmap_error *err)
{
	uint64_t need_mib = div_round_up(need_bytes, MIB);
	char window[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES];

	size_text(stream->options.memory_bytes, limit);
	if (!window_bytes) /* also raw images, which have no format */
		return bmap_error_set(err, BMAP_ERR_MEMORY,
				      "%s: the memory limit of %s is too small for it: raise it "
				      "with --memory %" PRIu64 "M",
				      stream->source->name, limit, need_mib);
	return bmap_error_set(err, BMAP_ERR_MEMORY,
			      "%s: the %s stream needs a window of %s, more than the memory limit "
			      "of %s allows: raise it with --memory %" PRIu64 "M",
			      stream->source->name, stream->format->name,
			      size_text(window_bytes, window), limit, need_mib);
}

/* Chooses rings and workers so that all fits the memory limit. */
static bool size_ring(struct image_stream *stream, struct bmap_error *err)
{
	uint64_t memory = stream->options.memory_bytes, window = stream->decoder_plan.history_bytes;
	uint64_t each = stream->decoder_plan.worker_bytes, unit = stream->decoder_plan.unit_bytes,
		 ring = LEAST_RING_BYTES, rest = FIXED_BYTES;
	unsigned asked = stream->options.workers ? stream->options.workers : thread_cpu_count();
	unsigned workers = unit ? asked : 1;
	char text[SIZE_TEXT_BYTES];

	if (stream->archive) { /* what is sized here is the ring in front of it, then */
		stream->ring_bytes = archive_output_bytes(memory);
		rest += stream->ring_bytes;
		ring = LEAST_ARCHIVE_RING_BYTES;
	}
	if (window > memory || window + WINDOW_SLACK_BYTES + rest > memory)
		return refuse_memory(stream, window, window + WINDOW_SLACK_BYTES + rest, err);
	ring = max_u64(ring, window + WINDOW_SLACK_BYTES);
	/* A unit's place in the ring, one more so that a worker need not wait for the slowest
	 * consumer, and the worker's copy of its compressed bytes. */
	while (workers > 1 && (2 * workers + 1) * unit + workers * each + rest > memory)
		workers--;
	if (unit) {
		ring = max_u64(ring, (workers + 1) * unit);
		if (workers < asked)
			log_info(stream->options.log,
				 "%s: %u instead of %u decode workers: the "
				 "memory limit holds no more of its units of %s",
				 stream->source->name, workers, asked, size_text(unit, text));
	}
	ring = align_up(ring, RING_ALIGN_BYTES);
	if (ring + rest > memory)
		ring = max_u64(align_down(memory - min_u64(memory, rest), RING_ALIGN_BYTES),
			       2 * RING_ALIGN_BYTES);
	stream->workers = workers;
	*(stream->archive ? &stream->archive_ring_bytes : &stream->ring_bytes) = (size_t)ring;
	return true;
}

/* Source and format; the map may be there already. */
static bool open_source(struct image_stream *stream, struct bmap_error *err)
{
	const struct image_stream_options *options = &stream->options;

	stream->source = source_open_logged(stream->image, options->stop, options->log, err);
	return stream->source && detect_format(stream, err) &&
	       (options->no_bmap || stream->map || load_map(stream, err));
}

static bool plan_stream(struct image_stream *stream, struct bmap_error *err)
{
	make_plan(stream);
	return check_raw_size(stream, err) && size_ring(stream, err);
}

bool image_stream_open(struct image_stream *stream, const struct image_stream_options *options,
		       struct bmap_error *err)
{
	struct bmap_error dummy;
	struct map_request request;
	bool good;

	if (!err)
		err = &dummy;
	*stream = (struct image_stream){ .options = *options };
	stream->options.memory_bytes = job_memory_bytes(options->memory_bytes);
	request = map_request(stream);
	if (!map_request_check(&request, options->no_bmap, err))
		return false;
	/* A bmap that is broken or not there is said before a pipe is waited for. */
	good = set_image(stream, err) &&
	       (options->no_bmap || !options->bmap || load_map(stream, err)) &&
	       open_source(stream, err);
	if (good && stream->map)
		log_map(stream);
	if (!good || !plan_stream(stream, err)) {
		image_stream_close(stream, false);
		return false;
	}
	return true;
}

bool image_stream_open_again(struct image_stream *stream, struct image_stream *before,
			     struct bmap_error *err)
{
	*stream = (struct image_stream){ .options = before->options,
					 .map = before->map,
					 .bmap_path = before->bmap_path };
	memcpy(stream->bmap_digest, before->bmap_digest, sizeof(stream->bmap_digest));
	before->map = NULL;
	before->bmap_path = NULL;
	if (set_image(stream, err) && open_source(stream, err) && plan_stream(stream, err))
		return true;
	image_stream_close(stream, false);
	return false;
}

bool image_stream_open_beside(struct image_stream *stream, const struct image_stream *other,
			      struct bmap_stop *stop, struct bmap_error *err)
{
	*stream = (struct image_stream){ .options = other->options,
					 .map = other->map,
					 .map_is_borrowed = true };
	stream->options.no_verify = true;
	stream->options.sums = stream->options.digest_image = false;
	stream->options.log = NULL;
	stream->options.stop = stop;
	if (set_image(stream, err) && open_source(stream, err) && plan_stream(stream, err))
		return true;
	image_stream_close(stream, false);
	return false;
}

bool image_stream_repeatable(const struct image_stream *stream)
{
	return !is_stdin(stream->image) &&
	       (stream->source->seekable || url_is_remote(stream->image));
}

static bool start_hash(struct image_stream *stream, size_t consumers, unsigned threads,
		       bool (*on_bad)(void *, const struct bmap_bad_range *, struct bmap_error *),
		       void *arg, struct bmap_error *err)
{
	const struct hash_stage_config config = {
		.ring = stream->ring,
		.first_consumer = consumers,
		.threads = threads,
		.segments = stream->segments,
		.plan = &stream->plan,
		.job = stream->job,
		.on_bad = on_bad,
		.arg = arg,
	};

	if (!stream->verifies)
		return true;
	stream->hash = hash_stage_start(&config, err);
	return stream->hash;
}

static bool wants_sums(const struct image_stream *stream)
{
	return stream->options.sums && sum_stage_is_needed(stream->map, stream->verifies);
}

static bool start_sums(struct image_stream *stream, size_t consumer, struct bmap_error *err)
{
	const struct sum_stage_config config = {
		.ring = stream->ring,
		.consumer = consumer,
		.segments = stream->segments,
		.plan = &stream->plan,
		.only_without_digest = stream->verifies,
		.job = stream->job,
	};

	if (!wants_sums(stream))
		return true;
	stream->sums = sum_stage_start(&config, err);
	return stream->sums;
}

static bool start_decode(struct image_stream *stream, struct bmap_error *err)
{
	uint64_t memory = stream->options.memory_bytes;
	uint64_t rings = stream->ring_bytes + stream->archive_ring_bytes;
	const struct decode_stage_config config = {
		.source = stream->source,
		.format = stream->format,
		.decoder_plan = stream->decoder_plan,
		.archive = stream->archive,
		.archive_ring_bytes = stream->archive_ring_bytes,
		.member = stream->options.member,
		.ring = stream->ring,
		.segments = stream->segments,
		.plan = &stream->plan,
		.job = stream->job,
		.workers = stream->workers,
		.memory_bytes = max_u64(memory - min_u64(memory, rings), FIXED_BYTES),
		/* Where checksums cover every byte that is used, they judge; the container's own
		 * are for what they do not cover. */
		.check_content = !stream->verifies || stream->map->has_digest,
		.queue_depth = stream->options.queue_depth,
	};

	stream->decode = decode_stage_start(&config, err);
	return stream->decode;
}

/* bench/formats.py: one keeps up with any decoder that works alone; more of them only wake each
 * other. Beside decoders that use all processors, one for two of these where it has two lanes: a
 * second one would hash its own range alone, which costs more time, and that time is the decoders'.
 */
static unsigned hash_threads(const struct image_stream *stream)
{
	unsigned cpus = thread_cpu_count(), threads = cpus;

	if (!stream->verifies)
		return 0;
	if (stream->format && !stream->decoder_plan.unit_bytes)
		threads = cpus / 2;
	else if (stream->format && digest_pairs(stream->map->digest))
		threads = (cpus + 1) / 2;
	return (unsigned)min_u64(max_u64(threads, 1), MAX_HASH_THREADS);
}

bool image_stream_start(struct image_stream *stream, size_t consumers,
			bool (*on_bad)(void *, const struct bmap_bad_range *, struct bmap_error *),
			void *arg, struct bmap_error *err)
{
	unsigned threads = hash_threads(stream);

	stream->job = job_state_new(stream->options.log, err);
	if (!stream->job)
		return false;
	stream->stop = bmap_stop_new(err);
	if (!stream->stop)
		return false;
	stream->source->stop = stream->stop;
	if (stream->options.digest_image) {
		stream->file_digest = file_digest_new(stream->source, err);
		if (!stream->file_digest)
			return false;
	}
	stream->segments = segments_new(err);
	if (!stream->segments)
		return false;
	stream->ring = ring_new(stream->ring_bytes, consumers + threads + wants_sums(stream),
				RING_DOUBLE, stream->options.log, err);
	return stream->ring && start_hash(stream, consumers, threads, on_bad, arg, err) &&
	       start_sums(stream, consumers + threads, err) && start_decode(stream, err);
}

enum stream_event image_stream_wait(struct image_stream *stream, int timeout_ms)
{
	struct pollfd fds[2] = {
		{ .fd = job_bell_fd(stream->job), .events = POLLIN },
		{ .fd = stop_fd(stream->options.stop), .events = POLLIN },
	};
	int n = poll(fds, 2, timeout_ms);

	if (fds[0].revents)
		job_answer_bell(stream->job);
	if (bmap_stop_requested(stream->options.stop))
		return STREAM_STOPPED;
	return n > 0 ? STREAM_BELL : STREAM_TIMEOUT;
}

bool image_stream_complete(struct image_stream *stream)
{
	return decode_stage_ended(stream->decode) &&
	       (!stream->hash || hash_stage_ended(stream->hash)) &&
	       (!stream->sums || sum_stage_ended(stream->sums)) && !job_failed(stream->job, NULL);
}

void image_stream_stop(struct image_stream *stream)
{
	if (stream->stop)
		bmap_stop_request(stream->stop);
	if (stream->ring)
		ring_stop(stream->ring);
	if (stream->decode) {
		decode_stage_stop(stream->decode);
		decode_stage_join(stream->decode);
	}
	if (stream->hash)
		hash_stage_join(stream->hash);
	if (stream->sums)
		sum_stage_join(stream->sums);
}

void image_stream_close(struct image_stream *stream, bool keep_ring)
{
	image_stream_stop(stream);
	decode_stage_free(stream->decode);
	hash_stage_free(stream->hash);
	sum_stage_free(stream->sums);
	if (!keep_ring)
		ring_free(stream->ring);
	segments_free(stream->segments);
	job_state_free(stream->job);
	file_digest_free(stream->file_digest);
	source_close(stream->source);
	bmap_stop_free(stream->stop);
	if (!stream->map_is_borrowed)
		bmap_map_free(stream->map);
	free(stream->bmap_path);
	free(stream->image);
	free(stream->image_name);
	*stream = (struct image_stream){ 0 };
}

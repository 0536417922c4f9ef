/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of an index: a file beside the saved one that says, record after record, how it has changed
 * since. A record is on the disk before its change is seen, so what was acknowledged is there after any
 * crash; one that a crash has cut short is the last, and is dropped.
 *
 * A log belongs to one generation of the saved file. Saving makes the next one, which holds all that the
 * log says, and then an empty log: whatever a crash leaves between the two, a log of an earlier
 * generation is known to be in the file already.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "index.h"

#define MAGIC "\x89TQL\r\n\x1a\n"
#define VERSION 1

/**
 * struct log_header - the beginning of a log
 * @codec: CRC32C of what the codes of rows depend on
 */
struct log_header {
	uint8_t magic[8];
	uint32_t version, row_bytes;
	uint64_t generation;
	uint32_t codec;
	uint32_t crc;
};

/** struct log_record - a change; then ids, partitions if there are any, codes and second codes unless rows
 * are removed, and zeros up to a multiple of 8 */
struct log_record {
	uint32_t kind, zero;
	uint64_t n;
	uint32_t body_crc;
	uint32_t crc;
};

_Static_assert(sizeof(struct log_header) == 32, "the header of a log is 32 bytes");
_Static_assert(sizeof(struct log_record) == 24, "the head of a record is 24 bytes");

/**
 * struct tq_index_log - a log that is written
 * @bytes:  its length
 * @broken: what was written may not be taken back, or the log is not of the file: no more changes
 */
struct tq_index_log {
	int fd;
	uint64_t bytes;
	bool broken;
};

static uint32_t codec_crc(const struct tq_index *ix)
{
	char spec[TQ_SPEC_STRING_MAX] = "";
	uint32_t fixed[4] = {ix->dim, ix->metric, ix->nlist, tq_codebook_hash(ix->q)}, crc;

	tq_spec_print(&ix->spec, spec, sizeof(spec));
	crc = tq_crc32c(0, spec, strlen(spec));
	crc = tq_crc32c(crc, fixed, sizeof(fixed));
	crc = tq_crc32c(crc, ix->mean, ix->dim * sizeof(float));
	if (ix->centroids)
		crc = tq_crc32c(crc, ix->centroids, (size_t)ix->nlist * ix->dim * sizeof(float));
	if (ix->fine) {
		tq_spec_print(&ix->refine, spec, sizeof(spec));
		crc = tq_crc32c(crc, spec, strlen(spec));
	}
	return crc;
}

static struct log_header header_of(const struct tq_index *ix)
{
	struct log_header h = {.version = VERSION, .row_bytes = (uint32_t)(ix->row_bytes + ix->fine_bytes),
			       .generation = ix->generation, .codec = codec_crc(ix)};

	memcpy(h.magic, MAGIC, sizeof(h.magic));
	h.crc = tq_crc32c(0, &h, offsetof(struct log_header, crc));
	return h;
}

static char *path_of(struct tq_index *ix, const char *path, const char *ending)
{
	char *log = tq_alloc(ix->ctx, strlen(path) + strlen(ending) + 1);

	if (log)
		sprintf(log, "%s%s", path, ending);
	return log;
}

/* ---- reading ---- */

/* Bytes of a record's body, or 0 if they are more than @most */
static uint64_t body_bytes(const struct tq_index *ix, const struct log_record *r, uint64_t most)
{
	uint64_t row = sizeof(int64_t);

	if (r->kind != TQ_INDEX_REMOVE)
		row += ix->row_bytes + ix->fine_bytes + (ix->nlist > 1 ? sizeof(uint32_t) : 0);
	if (!r->n || r->n > most / row)
		return 0;
	row = (r->n * row + 7) / 8 * 8;
	return row <= most ? row : 0;
}

static int apply_record(struct tq_index *ix, const struct log_record *r, const uint8_t *body)
{
	struct tq_index_batch b = {.n = r->n, .ids = (const int64_t *)(const void *)body};
	size_t i;
	int ret;

	if (r->kind != TQ_INDEX_REMOVE) {
		body += r->n * sizeof(int64_t);
		if (ix->nlist > 1) {
			b.lists = (const uint32_t *)(const void *)body;
			body += r->n * sizeof(uint32_t);
		}
		b.codes = body;
		b.fine = body + r->n * ix->row_bytes;
	}
	for (i = 0; b.lists && i < b.n; i++)
		if (b.lists[i] >= ix->nlist)
			return tq_fail(TQ_ERR_FORMAT, "partition %u is not there", b.lists[i]);
	ret = tq_index_check_ids(ix, b.ids, b.n, r->kind != TQ_INDEX_ADD);
	if (ret)
		return ret == TQ_ERR_NOMEM ? ret : tq_fail(TQ_ERR_FORMAT, "%.400s", tq_error_text());
	return tq_index_change(ix, r->kind, &b);
}

/* The record at @at; @next receives where it ends, or @at where it is what a crash has left */
static int apply_at(struct tq_index *ix, const uint8_t *data, size_t bytes, size_t at, size_t *next)
{
	struct log_record r;
	uint64_t body;

	*next = at;
	if (bytes - at < sizeof(r))
		return TQ_OK;
	memcpy(&r, data + at, sizeof(r));
	if (r.crc != tq_crc32c(0, &r, offsetof(struct log_record, crc)))
		return TQ_OK;
	if (r.kind < TQ_INDEX_ADD || r.kind > TQ_INDEX_REMOVE || r.zero)
		return tq_fail(TQ_ERR_FORMAT, "change %u is not known", r.kind);
	at += sizeof(r);
	body = body_bytes(ix, &r, bytes - at);
	if (!body)
		return TQ_OK;
	if (tq_crc32c(0, data + at, body) != r.body_crc)
		return at + body == bytes ? TQ_OK :
					    tq_fail(TQ_ERR_CHECKSUM, "a record does not match its checksum");
	*next = at + body;
	return apply_record(ix, &r, data + at);
}

int tq_index_log_apply(struct tq_index *ix, const char *path, const void *data, size_t bytes,
		       size_t *valid)
{
	struct log_header want = header_of(ix), h;
	size_t at = sizeof(h), next;
	int ret;

	*valid = 0;
	if (bytes < sizeof(h))
		return tq_fail(TQ_ERR_FORMAT, "%s: has %zu bytes: too short for a log", path, bytes);
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.magic, MAGIC, sizeof(h.magic)) ||
	    h.crc != tq_crc32c(0, &h, offsetof(struct log_header, crc)))
		return tq_fail(TQ_ERR_FORMAT, "%s: is not the log of an index", path);
	if (h.version != VERSION)
		return tq_fail(TQ_ERR_VERSION, "%s: version %u is not known", path, h.version);
	if (h.generation < ix->generation)
		return TQ_OK;
	if (memcmp(&h, &want, sizeof(h)))
		return tq_fail(TQ_ERR_FORMAT, "%s: is the log of another index, or of a later one", path);
	for (;; at = next) {
		ret = apply_at(ix, data, bytes, at, &next);
		if (ret)
			return tq_fail(ret, "%s: at byte %zu: %.400s", path, at, tq_error_text());
		if (next == at)
			break;
	}
	*valid = at;
	return TQ_OK;
}

/* ---- writing ---- */

static int fail_io(const char *path, const char *what)
{
	return tq_fail(TQ_ERR_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

static int write_at(int fd, const void *data, size_t bytes, uint64_t *at)
{
	const char *from = data;
	ssize_t done;

	while (bytes) {
		done = pwrite(fd, from, bytes < (1u << 30) ? bytes : 1u << 30, (off_t)*at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		from += done;
		*at += (uint64_t)done;
		bytes -= (size_t)done;
	}
	return 0;
}

/* The pieces of a record's body, and how many bytes of zeros follow */
static size_t pieces_of(const struct tq_index *ix, enum tq_index_change_kind kind,
			const struct tq_index_batch *b, const void *piece[4], size_t size[4])
{
	size_t total;

	piece[0] = b->ids;
	size[0] = b->n * sizeof(*b->ids);
	piece[1] = b->lists;
	size[1] = kind != TQ_INDEX_REMOVE && b->lists ? b->n * sizeof(*b->lists) : 0;
	piece[2] = b->codes;
	size[2] = kind != TQ_INDEX_REMOVE ? b->n * ix->row_bytes : 0;
	piece[3] = b->fine;
	size[3] = kind != TQ_INDEX_REMOVE ? b->n * ix->fine_bytes : 0;
	total = size[0] + size[1] + size[2] + size[3];
	return (8 - total % 8) % 8;
}

int tq_index_log_put(struct tq_index *ix, enum tq_index_change_kind kind,
		     const struct tq_index_batch *b)
{
	static const uint8_t zeros[8];
	struct log_record r = {.kind = kind, .n = b->n};
	struct tq_index_log *log = ix->log;
	const void *piece[4];
	size_t size[4], pad = pieces_of(ix, kind, b, piece, size), i;
	uint64_t at = log->bytes;
	int bad;

	if (log->broken)
		return tq_fail(TQ_ERR_IO, "%s.log: an earlier write failed", ix->path);
	if (!b->n)
		return TQ_OK;
	for (i = 0; i < 4; i++)
		r.body_crc = tq_crc32c(r.body_crc, piece[i], size[i]);
	r.body_crc = tq_crc32c(r.body_crc, zeros, pad);
	r.crc = tq_crc32c(0, &r, offsetof(struct log_record, crc));
	bad = write_at(log->fd, &r, sizeof(r), &at);
	for (i = 0; i < 4; i++)
		bad = bad || write_at(log->fd, piece[i], size[i], &at);
	bad = bad || write_at(log->fd, zeros, pad, &at) || fdatasync(log->fd);
	if (!bad) {
		log->bytes = at;
		return TQ_OK;
	}
	fail_io(ix->path, "write the log");
	log->broken = ftruncate(log->fd, (off_t)log->bytes) || fdatasync(log->fd);
	return TQ_ERR_IO;
}

/* An empty log in place of what is there; it appears when it is complete. */
static int create_log(struct tq_index *ix, const char *path, int *fd)
{
	struct log_header h = header_of(ix);
	char *partial = path_of(ix, path, ".partial"), *slash;
	uint64_t at = 0;
	int ret = TQ_OK, dir;

	if (!partial)
		return TQ_ERR_NOMEM;
	*fd = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (*fd < 0 || flock(*fd, LOCK_EX | LOCK_NB) || write_at(*fd, &h, sizeof(h), &at) ||
	    fsync(*fd) || rename(partial, path)) {
		ret = fail_io(path, "create");
		if (*fd >= 0)
			unlink(partial);
	}
	slash = strrchr(partial, '/');
	if (slash)
		slash[slash == partial] = 0;
	dir = ret ? -1 : open(slash ? partial : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0) {
		fsync(dir);
		close(dir);
	}
	if (ret && *fd >= 0)
		close(*fd);
	tq_free(ix->ctx, partial);
	return ret;
}

/* ---- life ---- */

/* What is in an open log; @valid as tq_index_log_apply() */
static int apply_file(struct tq_index *ix, const char *path, int fd, uint64_t *bytes, size_t *valid)
{
	struct stat st;
	void *map;
	int ret;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return tq_fail(TQ_ERR_IO, "%s: is not a regular file", path);
	*bytes = (uint64_t)st.st_size;
	if (!*bytes)
		return tq_index_log_apply(ix, path, "", 0, valid);
	map = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return fail_io(path, "map");
	ret = tq_index_log_apply(ix, path, map, *bytes, valid);
	munmap(map, *bytes);
	return ret;
}

/* @fd: the log that was applied up to @valid of @bytes, or -1 */
static int start_writing(struct tq_index *ix, const char *path, int fd, uint64_t bytes, size_t valid)
{
	struct tq_index_log *log = tq_alloc(ix->ctx, sizeof(*log));
	int ret = TQ_OK;

	if (!log) {
		if (fd >= 0)
			close(fd);
		return TQ_ERR_NOMEM;
	}
	if (!valid) {
		if (fd >= 0)
			close(fd);
		ret = create_log(ix, path, &fd);
		valid = sizeof(struct log_header);
	} else if (bytes > valid && (ftruncate(fd, (off_t)valid) || fdatasync(fd))) {
		ret = fail_io(path, "cut off what a crash has left");
		close(fd);
	}
	if (ret) {
		tq_free(ix->ctx, log);
		return ret;
	}
	log->fd = fd;
	log->bytes = valid;
	ix->log = log;
	return TQ_OK;
}

int tq_index_log_attach(struct tq_index *ix, const char *path, bool write)
{
	char *log = path_of(ix, path, ".log");
	uint64_t bytes = 0;
	size_t valid = 0;
	int fd, ret = TQ_OK;

	ix->path = path_of(ix, path, "");
	if (!log || !ix->path) {
		tq_free(ix->ctx, log);
		return TQ_ERR_NOMEM;
	}
	fd = open(log, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno != ENOENT)
		ret = fail_io(log, "open");
	if (fd >= 0) {
		if (write && flock(fd, LOCK_EX | LOCK_NB))
			ret = tq_fail(TQ_ERR_IO, "%s: is in use", log);
		if (!ret)
			ret = apply_file(ix, log, fd, &bytes, &valid);
		if (!ret && valid && bytes > valid)
			tq_log(ix->ctx, TQ_LOG_WARN, "%s: a write was cut short: %llu bytes are dropped", log,
			       (unsigned long long)(bytes - valid));
		if (ret || !write)
			close(fd);
	}
	if (!ret && write)
		ret = start_writing(ix, log, fd, bytes, valid);
	tq_free(ix->ctx, log);
	return ret;
}

uint64_t tq_index_log_generation(struct tq_index *ix, const char *path)
{
	char *log = path_of(ix, path, ".log");
	uint64_t generation = 0;
	struct log_header h;
	int fd;

	if (!log)
		return 0;
	fd = open(log, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0) {
		if (pread(fd, &h, sizeof(h), 0) == sizeof(h) && !memcmp(h.magic, MAGIC, sizeof(h.magic)))
			generation = h.generation + 1;
		close(fd);
	}
	tq_free(ix->ctx, log);
	return generation;
}

int tq_index_log_renew(struct tq_index *ix)
{
	char *path = path_of(ix, ix->path, ".log");
	int fd, ret = path ? create_log(ix, path, &fd) : TQ_ERR_NOMEM;

	tq_free(ix->ctx, path);
	ix->log->broken = ret;
	if (ret)
		return ret;
	close(ix->log->fd);
	ix->log->fd = fd;
	ix->log->bytes = sizeof(struct log_header);
	return TQ_OK;
}

void tq_index_log_close(struct tq_index *ix)
{
	if (!ix->log)
		return;
	close(ix->log->fd);
	tq_free(ix->ctx, ix->log);
	ix->log = NULL;
}

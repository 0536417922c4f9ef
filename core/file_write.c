/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Writing a .tq file: everything goes through one buffer into a file of another name beside the
 * final one; the header comes last, and the rename after the data is on the disk. So a file under
 * its own name is always complete, and whoever has the old one mapped keeps it.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core.h"
#include "file.h"

#define BUFFER_BYTES 65536
#define NAME_TRIES 16

struct tq_file_writer {
	struct tq_context *ctx;
	int fd;
	int status;
	uint64_t at;
	uint32_t used;
	char *path;
	char *partial;
	unsigned char *buffer;
	struct tq_file_header header;
	struct tq_file_entry table[TQ_FILE_MAX_SECTIONS];
};

static int fail_io(struct tq_file_writer *w, const char *what)
{
	w->status = TQ_ERR_IO;
	return tq_fail(TQ_ERR_IO, "%s: cannot %s: %s", w->path, what, strerror(errno));
}

static int write_out(struct tq_file_writer *w, const void *data, size_t bytes)
{
	const unsigned char *from = data;

	while (bytes) {
		ssize_t done = write(w->fd, from, bytes < SSIZE_MAX ? bytes : SSIZE_MAX);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return fail_io(w, "write");
		from += done;
		bytes -= (size_t)done;
	}
	return TQ_OK;
}

static int flush(struct tq_file_writer *w)
{
	uint32_t used = w->used;

	w->used = 0;
	return write_out(w, w->buffer, used);
}

static int put(struct tq_file_writer *w, const void *data, size_t bytes)
{
	int ret = TQ_OK;

	if (w->used + bytes > BUFFER_BYTES)
		ret = flush(w);
	if (ret == TQ_OK && bytes > BUFFER_BYTES) {
		ret = write_out(w, data, bytes);
	} else if (ret == TQ_OK && bytes) {
		memcpy(w->buffer + w->used, data, bytes);
		w->used += (uint32_t)bytes;
	}
	w->at += bytes;
	return ret;
}

static int put_padding(struct tq_file_writer *w)
{
	static const unsigned char zero[TQ_FILE_ALIGN];

	return put(w, zero, tq_file_pad(w->at));
}

static struct tq_file_entry *current_section(struct tq_file_writer *w)
{
	return &w->table[w->header.nsections - 1];
}

static int section_begin(struct tq_file_writer *w, uint32_t type, uint32_t flags)
{
	int ret = put_padding(w);

	if (ret != TQ_OK)
		return ret;
	w->table[w->header.nsections++] =
		(struct tq_file_entry){.type = type, .flags = flags, .at = w->at};
	return TQ_OK;
}

static int section_write(struct tq_file_writer *w, const void *data, size_t bytes)
{
	struct tq_file_entry *section = current_section(w);

	section->crc = tq_crc32c(section->crc, data, bytes);
	section->bytes += bytes;
	return put(w, data, bytes);
}

/** open_partial - create PATH.partial-RANDOM, new, with the mode that the umask allows */
static int open_partial(struct tq_file_writer *w)
{
	size_t room = strlen(w->path) + 32;

	w->partial = tq_alloc(w->ctx, room);
	if (!w->partial)
		return TQ_ERR_NOMEM;
	for (int i = 0; i < NAME_TRIES; i++) {
		uint64_t random;

		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return fail_io(w, "get a random name");
		snprintf(w->partial, room, "%s.partial-%016" PRIx64, w->path, random);
		w->fd = open(w->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (w->fd >= 0)
			return TQ_OK;
		if (errno != EEXIST)
			break;
	}
	return fail_io(w, "create");
}

static int write_prologue(struct tq_file_writer *w, const struct tq_file_prologue *p)
{
	char spec[TQ_SPEC_STRING_MAX];
	int ret = tq_spec_print(p->spec, spec, sizeof(spec));

	if (ret == TQ_OK)
		ret = put(w, &w->header, sizeof(w->header));
	if (ret == TQ_OK)
		ret = section_begin(w, TQ_SECTION_SPEC, 0);
	if (ret == TQ_OK)
		ret = section_write(w, spec, strlen(spec));
	if (ret == TQ_OK && p->centre)
		ret = section_begin(w, TQ_SECTION_CENTRE, 0);
	if (ret == TQ_OK && p->centre)
		ret = section_write(w, p->centre, (size_t)p->dim * sizeof(*p->centre));
	if (ret == TQ_OK && p->split)
		ret = section_begin(w, TQ_SECTION_SPLIT, 0);
	if (ret == TQ_OK && p->split)
		ret = section_write(w, p->split, p->split_bytes);
	if (ret == TQ_OK)
		ret = section_begin(w, TQ_SECTION_CODES, 0);
	return ret;
}

static void release(struct tq_file_writer *w)
{
	struct tq_context *ctx = w->ctx;

	if (w->fd >= 0)
		close(w->fd);
	tq_free(ctx, w->buffer);
	tq_free(ctx, w->partial);
	tq_free(ctx, w->path);
	tq_free(ctx, w);
}

int tq_file_begin(struct tq_context *ctx, const char *path, const struct tq_file_prologue *prologue,
		  struct tq_file_writer **writer)
{
	struct tq_file_writer *w;
	struct stat at_path;
	int ret;

	*writer = NULL;
	if (stat(path, &at_path) == 0 && !S_ISREG(at_path.st_mode))
		return tq_fail(TQ_ERR_IO, "%s: is there already and is not a regular file", path);
	w = tq_alloc(ctx, sizeof(*w));
	if (!w)
		return TQ_ERR_NOMEM;
	w->ctx = ctx;
	w->fd = -1;
	w->path = tq_alloc(ctx, strlen(path) + 1);
	w->buffer = tq_alloc(ctx, BUFFER_BYTES);
	ret = TQ_ERR_NOMEM;
	if (!w->path || !w->buffer)
		goto err_release;
	strcpy(w->path, path);
	memcpy(w->header.magic, TQ_FILE_MAGIC, sizeof(w->header.magic));
	w->header.version = TQ_FILE_VERSION;
	w->header.header_bytes = sizeof(w->header);
	w->header.seed = prologue->spec->seed;
	w->header.dim = prologue->dim;
	w->header.row_bytes = prologue->row_bytes;
	w->header.codebook_hash = prologue->codebook_hash;
	ret = open_partial(w);
	if (ret != TQ_OK)
		goto err_release;
	ret = write_prologue(w, prologue);
	if (ret != TQ_OK)
		goto err_unlink;
	*writer = w;
	return TQ_OK;

err_unlink:
	unlink(w->partial);
err_release:
	release(w);
	return ret;
}

int tq_file_create(struct tq_context *ctx, const char *path, const struct tq_quantizer *q,
		   struct tq_file_writer **writer)
{
	struct tq_file_prologue prologue;

	if (!ctx || !path || !q || !writer)
		return tq_fail(TQ_ERR_ARG, "tq_file_create: NULL argument");
	prologue = (struct tq_file_prologue){.spec = tq_quantizer_spec(q), .centre = tq_quantizer_centre(q), .dim = tq_dim(q),
					     .row_bytes = (uint32_t)tq_code_size(q), .codebook_hash = tq_codebook_hash(q)};
	return tq_file_begin(ctx, path, &prologue, writer);
}

/** check_usable - a writer that failed once fails always */
static int check_usable(const struct tq_file_writer *w, const char *call)
{
	if (!w)
		return tq_fail(TQ_ERR_ARG, "%s: writer is NULL", call);
	if (w->status != TQ_OK)
		return tq_fail(w->status, "%s: an earlier write failed", w->path);
	return TQ_OK;
}

int tq_file_append(struct tq_file_writer *writer, const void *codes, size_t n)
{
	int ret = check_usable(writer, "tq_file_append");
	size_t bytes;

	if (ret != TQ_OK)
		return ret;
	if (!codes && n)
		return tq_fail(TQ_ERR_ARG, "tq_file_append: codes is NULL");
	if (current_section(writer)->type != TQ_SECTION_CODES)
		return tq_fail(TQ_ERR_ARG, "tq_file_append: another section was begun");
	if (__builtin_mul_overflow(n, (size_t)writer->header.row_bytes, &bytes))
		return tq_fail(TQ_ERR_ARG, "tq_file_append: n = %zu is too large", n);
	ret = section_write(writer, codes, bytes);
	if (ret == TQ_OK)
		writer->header.count += n;
	return ret;
}

int tq_file_section_begin(struct tq_file_writer *writer, uint32_t type, uint32_t flags)
{
	int ret = check_usable(writer, "tq_file_section_begin");

	if (ret != TQ_OK)
		return ret;
	if (type <= TQ_SECTION_CODES || type == TQ_SECTION_SPLIT)
		return tq_fail(TQ_ERR_ARG, "tq_file_section_begin: type %u is the library's", type);
	if (!tq_file_type_known(type) && !(flags & TQ_SECTION_IGNORABLE))
		return tq_fail(TQ_ERR_ARG, "tq_file_section_begin: type %u is nobody's", type);
	if (flags & ~TQ_SECTION_IGNORABLE)
		return tq_fail(TQ_ERR_ARG, "tq_file_section_begin: unknown flags 0x%x", flags);
	if (writer->header.nsections == TQ_FILE_MAX_SECTIONS)
		return tq_fail(TQ_ERR_FULL, "%s: more than %d sections", writer->path,
			       TQ_FILE_MAX_SECTIONS);
	return section_begin(writer, type, flags);
}

int tq_file_section_write(struct tq_file_writer *writer, const void *data, size_t bytes)
{
	int ret = check_usable(writer, "tq_file_section_write");

	if (ret != TQ_OK)
		return ret;
	if (!data && bytes)
		return tq_fail(TQ_ERR_ARG, "tq_file_section_write: data is NULL");
	if (current_section(writer)->type == TQ_SECTION_CODES)
		return tq_fail(TQ_ERR_ARG, "tq_file_section_write: no section was begun");
	return section_write(writer, data, bytes);
}

/** check_ids - what a reader would refuse is not written */
static int check_ids(const struct tq_file_writer *w)
{
	for (uint32_t i = 0; i < w->header.nsections; i++)
		if (w->table[i].type == TQ_SECTION_IDS &&
		    (w->table[i].bytes % 8 || w->table[i].bytes / 8 != w->header.count))
			return tq_fail(TQ_ERR_ARG,
				       "%s: %" PRIu64 " bytes of ids for %" PRIu64 " rows", w->path,
				       w->table[i].bytes, w->header.count);
	return TQ_OK;
}

/** finish_frame - table and header: from here on the file is complete */
static int finish_frame(struct tq_file_writer *w)
{
	size_t table_bytes = w->header.nsections * sizeof(w->table[0]);
	int ret = put_padding(w);

	if (ret == TQ_OK)
		ret = put(w, w->table, table_bytes);
	if (ret == TQ_OK)
		ret = flush(w);
	if (ret != TQ_OK)
		return ret;
	w->header.file_bytes = w->at;
	w->header.table_crc = tq_crc32c(0, w->table, table_bytes);
	w->header.header_crc =
		tq_crc32c(0, &w->header, offsetof(struct tq_file_header, header_crc));
	if (lseek(w->fd, 0, SEEK_SET) != 0)
		return fail_io(w, "seek");
	return write_out(w, &w->header, sizeof(w->header));
}

/** sync_directory - the new name reaches the disk; file systems that cannot do this say EINVAL */
static int sync_directory(struct tq_file_writer *w)
{
	char *slash = strrchr(w->partial, '/');
	int fd, ret;

	if (slash)
		slash[slash == w->partial] = 0;
	fd = open(slash ? w->partial : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_io(w, "open the directory");
	ret = fsync(fd);
	if (ret && errno != EINVAL)
		fail_io(w, "sync the directory");
	close(fd);
	return w->status;
}

int tq_file_commit(struct tq_file_writer *writer)
{
	int ret = check_usable(writer, "tq_file_commit");
	int fd;

	if (!writer)
		return ret;
	if (ret == TQ_OK)
		ret = check_ids(writer);
	if (ret == TQ_OK)
		ret = finish_frame(writer);
	if (ret == TQ_OK && fsync(writer->fd))
		ret = fail_io(writer, "sync");
	fd = writer->fd;
	writer->fd = -1;
	if (close(fd) && ret == TQ_OK)
		ret = fail_io(writer, "close");
	if (ret == TQ_OK && rename(writer->partial, writer->path))
		ret = fail_io(writer, "rename");
	if (ret == TQ_OK)
		ret = sync_directory(writer);
	else
		unlink(writer->partial);
	release(writer);
	return ret;
}

void tq_file_abort(struct tq_file_writer *writer)
{
	if (!writer)
		return;
	unlink(writer->partial);
	release(writer);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Reading a .tq file: map it, have it checked (file_check.c), hand out what is in it. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core.h"
#include "file.h"

int tq_file_fail(const struct tq_file *f, int code, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return tq_fail(code, "%s: %s", f->path, text);
}

static int map_file(struct tq_file *f)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	void *map;
	int ret;

	if (fd < 0)
		return tq_file_fail(f, TQ_ERR_IO, "cannot open: %s", strerror(errno));
	ret = fstat(fd, &st);
	if (ret) {
		ret = tq_file_fail(f, TQ_ERR_IO, "cannot stat: %s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		ret = tq_file_fail(f, TQ_ERR_IO, "is not a regular file");
	} else if ((uint64_t)st.st_size < sizeof(struct tq_file_header)) {
		ret = tq_file_fail(f, TQ_ERR_FORMAT, "has %jd bytes: too short for a .tq file",
				   (intmax_t)st.st_size);
	} else if ((uint64_t)st.st_size > SIZE_MAX) {
		ret = tq_file_fail(f, TQ_ERR_UNSUPPORTED, "is too large to map on this machine");
	} else {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map == MAP_FAILED) {
			ret = tq_file_fail(f, TQ_ERR_IO, "cannot map: %s", strerror(errno));
		} else {
			f->map = map;
			f->bytes = (size_t)st.st_size;
		}
	}
	close(fd);
	return ret;
}

static int make_file(struct tq_context *ctx, const char *path, struct tq_file **file)
{
	struct tq_file *f = tq_alloc(ctx, sizeof(*f));

	if (!f)
		return TQ_ERR_NOMEM;
	f->ctx = ctx;
	f->path = tq_alloc(ctx, strlen(path) + 1);
	if (!f->path) {
		tq_free(ctx, f);
		return TQ_ERR_NOMEM;
	}
	strcpy(f->path, path);
	*file = f;
	return TQ_OK;
}

int tq_file_open_memory(struct tq_context *ctx, const void *data, size_t bytes, uint32_t flags,
			struct tq_file **file)
{
	struct tq_file *f;
	int ret = make_file(ctx, "memory", &f);

	*file = NULL;
	if (ret)
		return ret;
	f->map = data;
	f->bytes = bytes;
	f->borrowed = true;
	ret = bytes < sizeof(*f->header) ? tq_file_fail(f, TQ_ERR_FORMAT, "has %zu bytes: too short for a .tq file",
							 bytes) :
					   tq_file_check(f, flags);
	if (ret)
		tq_file_close(f);
	else
		*file = f;
	return ret;
}

int tq_file_open(struct tq_context *ctx, const char *path, uint32_t flags, struct tq_file **file)
{
	struct tq_file *f;
	int ret;

	if (!ctx || !path || !file)
		return tq_fail(TQ_ERR_ARG, "tq_file_open: NULL argument");
	*file = NULL;
	if (flags & ~TQ_FILE_DEFER)
		return tq_fail(TQ_ERR_ARG, "tq_file_open: unknown flags 0x%x", flags);
	ret = make_file(ctx, path, &f);
	if (ret)
		return ret;
	ret = map_file(f);
	if (ret == TQ_OK)
		ret = tq_file_check(f, flags);
	if (ret != TQ_OK)
		tq_file_close(f);
	else
		*file = f;
	return ret;
}

void tq_file_close(struct tq_file *file)
{
	struct tq_context *ctx;

	if (!file)
		return;
	ctx = file->ctx;
	if (file->map && !file->borrowed)
		munmap((void *)(uintptr_t)file->map, file->bytes);
	tq_free(ctx, file->path);
	tq_free(ctx, file);
}

int tq_file_verify(const struct tq_file *file)
{
	int ret = TQ_OK;

	if (!file)
		return tq_fail(TQ_ERR_ARG, "tq_file_verify: file is NULL");
	for (uint32_t i = 0; i < file->header->nsections; i++)
		if (tq_file_is_deferred(file->table[i].type))
			ret = ret ? ret : tq_file_check_crc(file, &file->table[i]);
	return ret;
}

int tq_file_quantizer(const struct tq_file *file, const struct tq_quantizer_options *options,
		      struct tq_quantizer **out)
{
	struct tq_quantizer_options with_centre = {.struct_size = sizeof(with_centre)};

	if (!file)
		return tq_fail(TQ_ERR_ARG, "tq_file_quantizer: file is NULL");
	if (file->split)
		return tq_fail(TQ_ERR_UNSUPPORTED, "%s: holds rows of two groups of channels: tq_file_split()", file->path);
	if (options) {
		if (options->struct_size != sizeof(*options))
			return tq_fail(TQ_ERR_ARG, "tq_file_quantizer: options has another size");
		if (options->centre)
			return tq_fail(TQ_ERR_ARG, "tq_file_quantizer: the centre is the file's");
		with_centre = *options;
	}
	with_centre.centre = tq_file_centre(file);
	return tq_quantizer_create(file->ctx, &file->spec, file->header->dim, &with_centre, out);
}

const void *tq_file_codes(const struct tq_file *file)
{
	return file->map + file->codes->at;
}

uint64_t tq_file_count(const struct tq_file *file)
{
	return file->header->count;
}

uint32_t tq_file_dim(const struct tq_file *file)
{
	return file->header->dim;
}

size_t tq_file_code_size(const struct tq_file *file)
{
	return file->header->row_bytes;
}

const struct tq_spec *tq_file_spec(const struct tq_file *file)
{
	return &file->spec;
}

const float *tq_file_centre(const struct tq_file *file)
{
	return file->centre ? (const void *)(file->map + file->centre->at) : NULL;
}

uint32_t tq_file_codebook_hash(const struct tq_file *file)
{
	return file->header->codebook_hash;
}

int tq_file_section_at(const struct tq_file *file, size_t index, struct tq_file_section *section)
{
	const struct tq_file_entry *e;

	if (!file || !section || section->struct_size != sizeof(*section))
		return tq_fail(TQ_ERR_ARG,
			       "tq_file_section: file, section or struct_size is wrong");
	if (index >= file->header->nsections)
		return tq_fail(TQ_ERR_RANGE, "%s: has %u sections", file->path,
			       file->header->nsections);
	e = &file->table[index];
	section->type = e->type;
	section->flags = e->flags;
	section->crc = e->crc;
	section->at = e->at;
	section->bytes = e->bytes;
	section->data = file->map + e->at;
	return TQ_OK;
}

const char *tq_section_type_name(uint32_t type)
{
	static const char *const names[] = {"unknown", "spec",	"centre", "codes",
					    "ids",     "index", "kv",     "refine", "split"};

	if (type >= TQ_SECTION_PRIVATE)
		return "private";
	return names[type < sizeof(names) / sizeof(names[0]) ? type : 0];
}

/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli.h"
#include "npy.h"
#include "vectors.h"

static int fail_output(const struct output *out, const char *what)
{
	return cli_fail(CLI_UNMET, "%s: cannot %s: %s", out->path, what, strerror(errno));
}

int output_open(struct output *out, const char *path)
{
	struct stat st;
	int fd;

	*out = (struct output){.path = path};
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return cli_fail(CLI_UNMET, "%s: is there already and is not a regular file", path);
	if (asprintf(&out->partial, "%s.partial-%ld", path, (long)getpid()) < 0) {
		out->partial = NULL;
		return cli_fail(CLI_UNMET, "out of memory");
	}
	fd = open(out->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0) {
		fail_output(out, "create");
		goto err_free;
	}
	out->file = fdopen(fd, "w");
	if (!out->file) {
		fail_output(out, "create");
		goto err_close;
	}
	return 0;

err_close:
	close(fd);
	unlink(out->partial);
err_free:
	free(out->partial);
	out->partial = NULL;
	return CLI_UNMET;
}

int output_write(struct output *out, const void *data, size_t bytes)
{
	if (fwrite(data, 1, bytes, out->file) != bytes)
		return fail_output(out, "write");
	return 0;
}

int output_commit(struct output *out)
{
	int ret = 0;

	if (fflush(out->file) || ferror(out->file) || fsync(fileno(out->file)))
		ret = fail_output(out, "write");
	if (fclose(out->file) && !ret)
		ret = fail_output(out, "close");
	out->file = NULL;
	if (!ret && rename(out->partial, out->path))
		ret = fail_output(out, "rename");
	if (ret)
		unlink(out->partial);
	free(out->partial);
	out->partial = NULL;
	return ret;
}

void output_abort(struct output *out)
{
	if (out->file)
		fclose(out->file);
	out->file = NULL;
	if (out->partial)
		unlink(out->partial);
	free(out->partial);
	out->partial = NULL;
}

int vectors_create(struct output *out, const char *path, int dtype, uint32_t dim, uint64_t count)
{
	struct npy_header header = {.dtype = dtype, .dims = 2, .shape = {count, dim}};
	char text[256];
	int kind = vectors_kind_of(path);
	int ret;

	*out = (struct output){.path = path};
	if (kind < 0)
		return vectors_unknown_kind(path);
	if (kind == VECTORS_BVECS)
		return cli_fail(CLI_USAGE, "%s: .bvecs files are not written", path);
	if (kind != VECTORS_NPY && dtype != TQ_F32)
		return cli_fail(CLI_USAGE, "%s: only .npy files hold f16", path);
	ret = output_open(out, path);
	if (!ret && kind == VECTORS_NPY)
		ret = output_write(out, text, npy_format(&header, text, sizeof(text)));
	return ret;
}

int vectors_write(struct output *out, int dtype, uint32_t dim, const void *rows, uint64_t n)
{
	size_t row_bytes = dim * tq_dtype_size(dtype);
	int ret = 0;

	if (vectors_kind_of(out->path) != VECTORS_FVECS)
		return output_write(out, rows, n * row_bytes);
	for (uint64_t i = 0; i < n && !ret; i++) {
		ret = output_write(out, &dim, sizeof(dim));
		if (!ret)
			ret = output_write(out, (const char *)rows + i * row_bytes, row_bytes);
	}
	return ret;
}

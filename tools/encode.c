/* SPDX-License-Identifier: Apache-2.0 */

/* tq encode and tq decode: batches of rows from one file to the other. */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "coder.h"
#include "json.h"
#include "commands.h"
#include "vectors.h"

#define BATCH_BYTES (4u << 20)

struct encode_options {
	struct settings common;
	const char *spec;
	struct coder_options coder;
	const char *type;
};

/** batch_rows - rows that fit into BATCH_BYTES, at least one */
static uint64_t batch_rows(uint64_t row_bytes)
{
	return row_bytes < BATCH_BYTES ? BATCH_BYTES / row_bytes : 1;
}

static int parse_options(int argc, char **argv, struct encode_options *o, const char *usage)
{
	static const struct option options[] = {
		{"spec", required_argument, NULL, 's'},
		{"centre", required_argument, NULL, 'c'},
		{"type", required_argument, NULL, 't'},
		CODER_OPTIONS,
		SETTINGS_OPTIONS,
		{0},
	};
	int letter, ret = 0;

	while (!ret && (letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (letter == 's')
			o->spec = optarg;
		else if (letter == 'c')
			o->coder.centre = optarg;
		else if (letter == 't')
			o->type = optarg;
		else if (letter == CODER_SPLIT || letter == CODER_CHANNELS)
			ret = coder_take(&o->coder, letter, optarg);
		else
			ret = settings_take(&o->common, letter, optarg);
	}
	return ret ? ret : settings_operands(argc - optind, argv + optind, 2, usage);
}

/** check_output - the name of the codes, so that no mix-up of arguments replaces vectors */
static int check_output(const char *path)
{
	size_t n = strlen(path);

	if (n > 3 && !strcmp(path + n - 3, ".tq"))
		return 0;
	return cli_fail(CLI_USAGE, "%s: name does not end in .tq", path);
}

static void report(const struct settings *s, const char *in, const char *out,
		   const struct coder *c, uint64_t rows)
{
	char spec[CODER_TEXT], drivers[CODER_TEXT];
	struct json j;

	coder_spec(c, spec, sizeof(spec));
	coder_drivers(c, drivers, sizeof(drivers));
	if (!s->json) {
		printf("%s: %" PRIu64 " rows of %u, %zu bytes each (%.3f bits per coordinate)\n",
		       out, rows, coder_dim(c), coder_code_size(c),
		       bits_per_coordinate(coder_code_size(c), coder_dim(c)));
		printf("spec %s\ndrivers %s\n", spec, drivers);
		return;
	}
	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "input", in);
	json_string(&j, "output", out);
	json_unsigned(&j, "rows", rows);
	json_unsigned(&j, "dim", coder_dim(c));
	json_unsigned(&j, "bytes_per_row", coder_code_size(c));
	json_number(&j, "bits_per_coordinate", bits_per_coordinate(coder_code_size(c), coder_dim(c)));
	json_string(&j, "spec", spec);
	json_string(&j, "drivers", drivers);
	json_object_end(&j);
}

/** encode_rows - all rows of @in into @out; a failure names the row of the file, not of the batch
 */
static int encode_rows(const struct coder *c, const struct vectors *in,
		       struct tq_file_writer *out)
{
	uint64_t batch = batch_rows(in->row_bytes), n;
	void *rows = malloc(batch * vectors_room(in));
	void *codes = malloc(batch * coder_code_size(c));
	int status, ret = 0;

	if (!rows || !codes)
		ret = cli_fail(CLI_UNMET, "out of memory");
	for (uint64_t first = 0; first < in->count && !ret; first += n) {
		n = in->count - first < batch ? in->count - first : batch;
		progress("encode", first, in->count);
		ret = interrupted();
		if (!ret)
			ret = vectors_read(in, first, n, rows);
		if (ret)
			break;
		status = coder_encode(c, rows, in->dtype, n, codes);
		if (status == TQ_ERR_NONFINITE && tq_error_row() != TQ_NO_ROW)
			ret = vectors_nonfinite(in->path, first + tq_error_row());
		else if (status == TQ_ERR_RANGE && tq_error_row() != TQ_NO_ROW)
			ret = cli_fail(CLI_USAGE, "%s: row %" PRIu64 ": %s", in->path,
				       first + tq_error_row(), tq_status_text(status));
		else if (status != TQ_OK)
			ret = cli_fail_status(status, in->path);
		else if (tq_file_append(out, codes, n) != TQ_OK)
			ret = cli_fail(CLI_UNMET, "%s", tq_error_text());
	}
	if (!ret)
		progress("encode", in->count, in->count);
	free(codes);
	free(rows);
	return ret;
}

static int encode_file(const struct encode_options *o, struct tq_context *ctx,
		       const struct vectors *in, const char *out_path)
{
	struct tq_file_writer *out;
	struct coder c;
	int ret = coder_make(ctx, o->spec, &o->coder, in, &c);

	if (!ret && !c.split && (o->coder.split || o->coder.channels))
		ret = cli_fail(CLI_USAGE, "--split and --split-channels need a --spec for each group: 'A / B'");
	if (!ret && coder_create_file(ctx, out_path, &c, &out) != TQ_OK)
		ret = cli_fail(CLI_UNMET, "%s", tq_error_text());
	if (ret)
		goto err_close;
	ret = encode_rows(&c, in, out);
	if (ret)
		tq_file_abort(out);
	else if (tq_file_commit(out) != TQ_OK)
		ret = cli_fail(CLI_UNMET, "%s", tq_error_text());
	else
		report(&o->common, in->path, out_path, &c, in->count);

err_close:
	coder_close(&c);
	return ret;
}

int command_encode(int argc, char **argv)
{
	struct encode_options o = {0};
	struct tq_context *ctx;
	struct vectors in;
	int ret = parse_options(argc, argv, &o, "tq encode IN OUT.tq [--spec S]");

	if (ret)
		return ret;
	if (o.type)
		return cli_fail(CLI_USAGE, "--type belongs to 'tq decode'");
	ret = check_output(argv[optind + 1]);
	if (ret)
		return ret;
	catch_interrupt();
	ret = vectors_open(&in, argv[optind], o.common.dim, VECTORS_TRAIN);
	if (ret)
		return ret;
	ret = settings_context(&o.common, &ctx);
	if (ret)
		goto err_close;
	ret = encode_file(&o, ctx, &in, argv[optind + 1]);
	if (!ret)
		ret = cli_flush();
	tq_context_destroy(ctx);
err_close:
	vectors_close(&in);
	return ret;
}

static int decode_rows(const struct coder *c, const struct tq_file *in, int dtype, struct output *out)
{
	size_t row_bytes = coder_dim(c) * tq_dtype_size(dtype);
	uint64_t batch = batch_rows(row_bytes), count = tq_file_count(in), n;
	const unsigned char *codes = tq_file_codes(in);
	void *rows = malloc(batch * row_bytes);
	int status, ret = rows ? 0 : cli_fail(CLI_UNMET, "out of memory");

	for (uint64_t first = 0; first < count && !ret; first += n) {
		n = count - first < batch ? count - first : batch;
		progress("decode", first, count);
		ret = interrupted();
		if (ret)
			break;
		status = coder_decode(c, codes + first * coder_code_size(c), n, rows, dtype);
		ret = status == TQ_OK ? vectors_write(out, dtype, coder_dim(c), rows, n)
				      : cli_fail_status(status, NULL);
	}
	if (!ret)
		progress("decode", count, count);
	free(rows);
	return ret;
}

static int decode_file(const struct encode_options *o, struct tq_context *ctx, const char *in_path,
		       const char *out_path, int dtype)
{
	struct output out = {0};
	struct coder c;
	struct tq_file *in;
	int ret, status = tq_file_open(ctx, in_path, 0, &in);

	if (status != TQ_OK)
		return cli_fail_status(status, in_path);
	ret = coder_of_file(in, in_path, &c);
	if (ret)
		goto err_close;
	ret = vectors_create(&out, out_path, dtype, coder_dim(&c), tq_file_count(in), VECTORS_TRAIN);
	if (!ret)
		ret = decode_rows(&c, in, dtype, &out);
	if (!ret)
		ret = output_commit(&out);
	output_abort(&out);
	if (!ret)
		report(&o->common, in_path, out_path, &c, tq_file_count(in));
err_close:
	coder_close(&c);
	tq_file_close(in);
	return ret;
}

int command_decode(int argc, char **argv)
{
	struct encode_options o = {0};
	struct tq_context *ctx;
	int dtype, ret = parse_options(argc, argv, &o, "tq decode IN.tq OUT [--type f32|f16]");

	if (ret)
		return ret;
	if (o.spec || o.coder.centre || o.coder.split || o.coder.channels || o.common.dim)
		return cli_fail(CLI_USAGE, "%s belongs to 'tq encode'",
				o.spec		     ? "--spec"
				: o.coder.centre     ? "--centre"
				: o.coder.split	     ? "--split"
				: o.coder.channels   ? "--split-channels"
						     : "--dim");
	dtype = o.type && !strcmp(o.type, "f16") ? TQ_F16 : TQ_F32;
	if (o.type && strcmp(o.type, "f16") && strcmp(o.type, "f32"))
		return cli_fail(CLI_USAGE, "--type: '%s' is neither f32 nor f16", o.type);
	catch_interrupt();
	ret = settings_context(&o.common, &ctx);
	if (ret)
		return ret;
	ret = decode_file(&o, ctx, argv[optind], argv[optind + 1], dtype);
	if (!ret)
		ret = cli_flush();
	tq_context_destroy(ctx);
	return ret;
}

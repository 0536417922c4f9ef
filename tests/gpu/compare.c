/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode and decode with one driver against scalar, byte for byte, over dimensions, bit widths,
 * rotations, corrections, centres and input types. Usage: compare DRIVER. Last line: N passed, N failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tq/tq.h"

#define ROWS 37

static unsigned passed, failed;
static uint64_t state = 88172645463325252u;

static float noise(void)
{
	float s = 0.0f;
	int i;

	for (i = 0; i < 4; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		s += (float)(int64_t)state / 9.3e18f;
	}
	return s;
}

static int make(struct tq_context *ctx, const char *text, uint32_t d, const char *driver,
		const float *centre, struct tq_quantizer **q)
{
	struct tq_quantizer_options o = { .struct_size = sizeof(o), .driver = driver };
	struct tq_spec spec;

	tq_spec_init(&spec);
	if (tq_spec_parse(&spec, text))
		return 1;
	o.centre = spec.center ? centre : NULL;
	return tq_quantizer_create(ctx, &spec, d, &o, q);
}

static void one(struct tq_context *ctx, const char *text, uint32_t d, int dtype, const char *driver)
{
	static float x[ROWS * 4096], centre[4096], y[2][ROWS * 4096];
	static uint16_t h[ROWS * 4096];
	static unsigned char codes[2][ROWS * 8300];
	const void *in = x;
	struct tq_quantizer *q[2] = { NULL, NULL };
	size_t i, size;
	int k, bad = 0;

	for (i = 0; i < (size_t)ROWS * d; i++) {
		x[i] = noise() * (i / d == 3 ? 1e-30f : i / d == 4 ? 1e30f : 1.0f);
		if (i / d == 5)
			x[i] = 0.0f;
		if (i / d == 6)
			x[i] = i % d == d / 2 ? 3.0f : -0.0f;
		memcpy(&k, &x[i], 4);
		h[i] = (uint16_t)((unsigned)k >> 16);
		if (i < d)
			centre[i] = noise();
	}
	if (dtype == TQ_BF16)
		in = h;
	for (k = 0; k < 2; k++) {
		if (make(ctx, text, d, k ? driver : "scalar", centre, &q[k]) ||
		    tq_encode_as(q[k], in, dtype, d, ROWS, codes[k]) ||
		    tq_decode(q[k], codes[0], ROWS, y[k], d)) {
			printf("%s d=%u dtype=%d driver %s: %s\n", text, d, dtype, k ? driver : "scalar", tq_error_text());
			failed++;
			goto out;
		}
	}
	size = tq_code_size(q[0]);
	for (i = 0; i < ROWS && !bad; i++)
		if (memcmp(codes[0] + i * size, codes[1] + i * size, size)) {
			bad = 1;
			printf("%s d=%u dtype=%d: encode differs in row %zu:", text, d, dtype, i);
			for (k = 0; k < 16; k++)
				printf(" %02x", codes[k / 8][i * size + (unsigned)k % 8]);
			putchar('\n');
		}
	if (memcmp(y[0], y[1], sizeof(float) * ROWS * d)) {
		bad = 1;
		printf("%s d=%u dtype=%d: decode differs\n", text, d, dtype);
	}
	if (bad)
		failed++;
	else
		passed++;
out:
	tq_quantizer_destroy(q[0]);
	tq_quantizer_destroy(q[1]);
}

int main(int argc, char **argv)
{
	static const uint32_t dims[] = { 1, 2, 3, 7, 64, 80, 96, 100, 128, 200, 256, 576, 768, 1000, 1536, 3072 };
	static const char *const corrections[] = { "none", "norm", "ls", "unbiased", "qjl:gauss", "qjl:ortho", "qjl:rht" };
	static const char *const centers[] = { "off", "data", "both" };
	static const char *const rotations[] = { "rht:1", "rht:2", "rht:3", "givens:5", "none", "haar" };
	struct tq_context *ctx;
	char text[200];
	unsigned i, b, c, n = 0;

	if (argc < 2 || tq_context_create(NULL, &ctx)) {
		fprintf(stderr, "compare DRIVER: %s\n", tq_error_text());
		return 2;
	}
	for (i = argc > 2 ? (unsigned)atoi(argv[2]) : 0; i < sizeof(dims) / sizeof(dims[0]); i += argc > 2 ? 4 : 1)
		for (b = 1; b <= 8; b++)
			for (c = 0; c < 7; c++, n++) {
				const char *rot = rotations[n % 6];

				if ((c == 4 || c == 5 || !strcmp(rot, "haar")) && dims[i] > 256)
					continue;
				snprintf(text, sizeof(text), "rotation=%s code=%s bits=%u correction=%s effort=%u center=%s scale=%s",
					 rot, n % 4 == 3 ? "uniform" : "lm", b, corrections[c], n % 2, centers[n % 3],
					 n % 5 ? "f32" : "bf16");
				one(ctx, text, dims[i], n % 2 ? TQ_BF16 : TQ_F32, argv[1]);
			}
	tq_context_destroy(ctx);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device calls on a GPU, as an embedder with the CUDA runtime uses them: "bench check" compares with the
 * host over many specs, "bench time" measures. Figures are medians of events round one call, behind a kernel
 * that keeps the GPU busy while the host queues the work; buffers are larger than the cache or rotated.
 */
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <algorithm>
#include <functional>
#include <vector>
#include "tq/tq.h"

#define CK(x)                                                                                      \
	do {                                                                                       \
		cudaError_t ck_err = (x);                                                          \
		if (ck_err) {                                                                      \
			printf("%s:%d: %s\n", __FILE__, __LINE__, cudaGetErrorString(ck_err));     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
#define TQ(x)                                                                                      \
	do {                                                                                       \
		if (x) {                                                                           \
			printf("%s:%d: %s\n", __FILE__, __LINE__, tq_error_text());                \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static struct tq_context *ctx;
static cudaStream_t stream;
static struct tq_queue *queue;

/* ---- data ---- */

__device__ static float draw(uint64_t i)
{
	uint64_t z = i * 0x9e3779b97f4a7c15ull + 0x1234567;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return ((float)(z & 0xffff) + (float)(z >> 16 & 0xffff) + (float)(z >> 32 & 0xffff) + (float)(z >> 48) - 131070.0f) *
	       (1.0f / 37837.0f);
}

__global__ static void fill_bf16(uint16_t *x, size_t n, uint64_t seed)
{
	for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
		x[i] = (uint16_t)(__float_as_uint(draw(i + seed)) >> 16);
}

__global__ static void fill_f32(float *x, size_t n, uint64_t seed)
{
	for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
		x[i] = draw(i + seed);
}

/* rows of random indices; the scale, a float or half of about 1, is the row's first @scale bytes */
__global__ static void fill_codes(uint8_t *x, size_t rows, unsigned row, unsigned scale, uint64_t seed)
{
	for (size_t r = blockIdx.x; r < rows; r += gridDim.x)
		for (unsigned i = threadIdx.x; i < row; i += blockDim.x) {
			uint64_t z = (r * row + i + seed) * 0x9e3779b97f4a7c15ull;
			uint8_t v = (uint8_t)((z ^ z >> 29) * 0xbf58476d1ce4e5b9ull >> 56);

			if (i < scale)
				v = i == scale - 1 ? (scale == 4 ? 0x3f : 0x3c) : scale == 4 && i == 2 ? v | 0x80 : v;
			x[r * row + i] = v;
		}
}

__global__ static void spin(long long cycles)
{
	for (long long start = clock64(); clock64() - start < cycles;)
		;
}

__global__ static void read_all(const uint4 *x, size_t n, unsigned *out)
{
	size_t step = (size_t)gridDim.x * blockDim.x;
	uint4 s = {};

	for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += 4 * step)
#pragma unroll
		for (int k = 0; k < 4; k++)
			if (i + k * step < n) {
				uint4 v = __ldcs(x + i + k * step);

				s.x ^= v.x;
				s.y ^= v.y;
				s.z ^= v.z;
				s.w ^= v.w;
			}
	if ((s.x ^ s.y ^ s.z ^ s.w) == 0x12345)
		*out = s.x;
}

template <class T> static T *device(size_t n)
{
	void *p;

	CK(cudaMalloc(&p, n * sizeof(T) + 256));
	CK(cudaMemset(p, 0x5b, n * sizeof(T) + 256));
	return (T *)p;
}

template <class T> static std::vector<T> fetch(const T *p, size_t n)
{
	std::vector<T> v(n);

	CK(cudaStreamSynchronize(stream));
	CK(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
	return v;
}

static struct tq_quantizer *quantizer(const char *text, uint32_t d)
{
	struct tq_quantizer_options o = { sizeof(o) };
	struct tq_quantizer *q;
	struct tq_spec spec;
	std::vector<float> centre(d);

	for (uint32_t i = 0; i < d; i++)
		centre[i] = (float)(i % 7) * 0.05f;
	tq_spec_init(&spec);
	TQ(tq_spec_parse(&spec, text));
	o.centre = spec.center ? centre.data() : NULL;
	TQ(tq_quantizer_create(ctx, &spec, d, &o, &q));
	return q;
}

/* ---- check ---- */

static unsigned passed, failed;

static void verdict(bool ok, const char *what, const char *spec, unsigned d)
{
	if (ok)
		passed++;
	else
		failed++;
	if (!ok)
		printf("DIFFERS: %s, %s, d=%u\n", what, spec, d);
}

static void open_all(void)
{
	TQ(tq_context_create(NULL, &ctx));
	TQ(tq_queue_wrap_cuda(ctx, 0, stream, &queue));
}

static void close_all(void)
{
	tq_queue_destroy(queue);
	tq_context_destroy(ctx);
}

/* Are the best rows those of the host's scores? */
static bool same_best(const std::vector<float> &score, size_t n, size_t nq, size_t k, const std::vector<int64_t> &ids,
		      const std::vector<float> &best)
{
	std::vector<int64_t> order(n);
	bool same = true;

	for (size_t i = 0; i < nq; i++) {
		const float *s = score.data() + i * n;

		for (size_t j = 0; j < n; j++)
			order[j] = (int64_t)j;
		std::partial_sort(order.begin(), order.begin() + std::min(k, n), order.end(),
				  [&](int64_t a, int64_t b) { return s[a] > s[b] || (s[a] == s[b] && a < b); });
		for (size_t j = 0; j < k; j++)
			same = same && (j < n ? ids[i * k + j] == order[j] && best[i * k + j] == s[order[j]] : ids[i * k + j] == -1);
	}
	return same;
}

/* All device calls on @n rows, recorded into a graph and replayed, against the host */
static void check(const char *text, uint32_t d, size_t n, size_t nq, size_t k)
{
	struct tq_quantizer *q = quantizer(text, d);
	struct tq_device_codec *codec;
	size_t size = tq_code_size(q);
	int ret = tq_device_codec_create(q, queue, &codec);

	if (ret) {
		printf("DIFFERS: %s, d=%u: %s\n", text, d, tq_error_text());
		failed++;
		tq_quantizer_destroy(q);
		close_all();
		open_all();
		return;
	}
	float *x = device<float>(n * d), *y = device<float>(n * d), *query = device<float>(nq * d),
	      *scores = device<float>(nq * n), *best = device<float>(nq * k);
	int64_t *ids = device<int64_t>(nq * k);
	uint8_t *codes = device<uint8_t>(n * size), *prepared = device<uint8_t>(nq * tq_device_query_size(codec)),
		*scratch = device<uint8_t>(tq_topk_scratch(codec, nq, n, k));
	cudaGraph_t graph;
	cudaGraphExec_t exec;

	fill_f32<<<1024, 256, 0, stream>>>(x, n * d, d);
	fill_f32<<<64, 256, 0, stream>>>(query, nq * d, 99);
	CK(cudaStreamSynchronize(stream));
	CK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	TQ(tq_encode_async(codec, queue, x, TQ_F32, d, n, codes));
	TQ(tq_decode_async(codec, queue, codes, n, y, TQ_F32, d));
	TQ(tq_query_prepare_async(codec, queue, query, d, nq, prepared));
	TQ(tq_score_async(codec, queue, prepared, nq, codes, n, scores, n, NULL));
	TQ(tq_topk_async(codec, queue, prepared, nq, codes, n, k, ids, best, scratch));
	CK(cudaStreamEndCapture(stream, &graph));
	CK(cudaGraphInstantiate(&exec, graph, 0));
	for (int i = 0; i < 2; i++)
		CK(cudaGraphLaunch(exec, stream));
	CK(cudaStreamSynchronize(stream));

	std::vector<float> hx = fetch(x, n * d), hq = fetch(query, nq * d), want(n * d), ws(nq * n);
	std::vector<uint8_t> wc(n * size), hp(nq * tq_query_size(q) + 64);
	uint8_t *at = hp.data() + (-(uintptr_t)hp.data() & 63);

	TQ(tq_encode(q, hx.data(), d, n, wc.data()));
	TQ(tq_decode(q, wc.data(), n, want.data(), d));
	TQ(tq_query_prepare(q, hq.data(), d, nq, at));
	TQ(tq_score(q, at, nq, wc.data(), n, ws.data(), n));
	verdict(fetch(codes, n * size) == wc, "codes", text, d);
	verdict(!memcmp(fetch(y, n * d).data(), want.data(), n * d * 4), "decoded rows", text, d);
	verdict(!memcmp(fetch(scores, nq * n).data(), ws.data(), nq * n * 4), "scores", text, d);
	verdict(same_best(ws, n, nq, k, fetch(ids, nq * k), fetch(best, nq * k)), "best rows", text, d);
	CK(cudaGraphExecDestroy(exec));
	CK(cudaGraphDestroy(graph));
	for (void *p : { (void *)x, (void *)y, (void *)query, (void *)scores, (void *)best, (void *)ids, (void *)codes,
			 (void *)prepared, (void *)scratch })
		CK(cudaFree(p));
	tq_device_codec_destroy(codec);
	tq_quantizer_destroy(q);
}

/* A row that encoders may take for an ordinary one: zeros of both signs, one or two values, small ones among large */
static void strange_row(float *x, uint32_t d, size_t row)
{
	float big = ldexpf(1.0f, (int)(row / 8 % 5) * 6 - 12);

	for (uint32_t i = 0; i < d; i++) {
		uint32_t h = (uint32_t)(row * 977 + i + 1) * 2654435761u >> 8;
		float v = (float)(h % 8191) / 4095.0f - 1.0f;

		switch (row % 8) {
		case 0: v = row % 3 ? 0.0f : -0.0f; break;
		case 1: v = i == row % d ? (row & 16 ? big : -big) : 0.0f; break;
		case 2: v = i == 3 ? big : i == 3 + row % (d - 4) ? -big : h & 1 ? 0.0f : -0.0f; break;
		case 3: v = h & 64 ? big : -big; break;
		case 4: v = i % 5 ? v : v * (row & 8 ? 6e-8f : 1e-13f); break;
		case 5: v = i % 7 ? v * big : 0.0f; break;
		case 6: v = v * 1e-4f * big; break;
		}
		x[i] = v;
	}
}

/* Encode of such rows, of all types, against the host; f32 also far from 1 */
static void check_strange(const char *text, uint32_t d)
{
	const size_t n = 1003;
	struct tq_quantizer *q = quantizer(text, d);
	struct tq_device_codec *codec;
	size_t size = tq_code_size(q);
	std::vector<float> x(n * d), y(n * d);
	std::vector<uint16_t> h(n * d);
	std::vector<uint8_t> want(n * size);

	TQ(tq_device_codec_create(q, queue, &codec));
	for (int type = 0; type < 5; type++) {
		int dtype = type < 3 ? TQ_F32 : type == 3 ? TQ_F16 : TQ_BF16;
		float f = type == 1 ? 1e-30f : type == 2 ? 1e25f : 1.0f;
		uint8_t *codes = device<uint8_t>(n * size);
		float *at = device<float>(n * d);

		for (size_t i = 0; i < n; i++)
			strange_row(x.data() + i * d, d, i);
		for (size_t i = 0; i < n * d; i++) {
			x[i] *= f;
			if (strstr(text, "scale=f16"))
				x[i] = fminf(fmaxf(x[i], -1e3f), 1e3f);
			__half f16 = __float2half(x[i]);
			__nv_bfloat16 b16 = __float2bfloat16(x[i]);

			memcpy(&h[i], dtype == TQ_F16 ? (void *)&f16 : (void *)&b16, 2);
			y[i] = dtype == TQ_F32 ? x[i] : dtype == TQ_F16 ? __half2float(f16) : __bfloat162float(b16);
		}
		CK(cudaMemcpy(at, dtype == TQ_F32 ? (void *)x.data() : (void *)h.data(), n * d * (dtype == TQ_F32 ? 4 : 2),
			      cudaMemcpyHostToDevice));
		CK(cudaDeviceSynchronize()); /* a copy from pageable memory may return before it has ended */
		TQ(tq_encode_async(codec, queue, at, dtype, d, n, codes));
		TQ(tq_encode(q, y.data(), d, n, want.data()));
		verdict(fetch(codes, n * size) == want, type == 4 ? "codes of strange bf16" : type == 3 ? "codes of strange f16" :
			"codes of strange f32", text, d);
		CK(cudaFree(codes));
		CK(cudaFree(at));
	}
	tq_device_codec_destroy(codec);
	tq_quantizer_destroy(q);
}

/* The kernels for short rows: every number of bits, correction and rotation */
static void check_short(bool brief)
{
	static const char *const fits[] = { "ls", "none", "unbiased", "norm" }, *const scales[] = { "f32", "f16", "bf16" };
	char text[160];
	unsigned turn = 0;

	for (uint32_t d = 64; d <= 128; d *= 2)
		for (int bits = 1; bits <= 4; bits++)
			for (int k = 0; k < 4; k++, turn++) {
				if (brief && k != bits - 1)
					continue;
				snprintf(text, sizeof(text), "bits=%d correction=%s rotation=rht:%u scale=%s code=%s", bits, fits[k],
					 1 + turn % 3, scales[turn / 3 % 3], turn % 5 || bits < 2 ? "lm" : "uniform");
				check_strange(text, d);
				check(text, d, brief ? 333 : 5003, 2, 10);
			}
}

/* The kernels of a warp to a tile: windows that begin with chunks and others, every number of bits, correction and rotation */
static void check_warp(bool brief)
{
	static const uint32_t dims[] = { 256, 96, 1536, 100, 768, 512, 1000, 192, 2048, 65, 1024, 3072, 320, 384, 4096, 129 };
	static const char *const fits[] = { "ls", "none", "unbiased", "norm" }, *const scales[] = { "f32", "f16", "bf16" };
	static const char *const more[] = { "", " center=both", "", " center=data" };
	char text[160];
	unsigned turn = 0;

	for (uint32_t d : dims)
		for (int bits = 1; bits <= 8; bits++, turn++) {
			if (brief && (d > 256 || turn % 4))
				continue;
			snprintf(text, sizeof(text), "bits=%d correction=%s rotation=rht:%u scale=%s code=%s effort=%u%s", bits, fits[turn / 2 % 4],
				 1 + turn % 3, scales[turn / 3 % 3], turn % 5 || bits < 2 ? "lm" : "uniform", turn / 8 % 2,
				 more[turn / 5 % 4]);
			check_strange(text, d);
			check(text, d, brief ? 333 : 2003, 2, 10);
		}
}

static void check_all(bool brief)
{
	static const uint32_t dims[] = { 128, 64, 96, 80, 256, 100, 33, 1000, 1536, 7 };
	static const char *const scales[] = { "f32", "f16", "bf16" }, *const fits[] = { "ls", "none", "unbiased", "norm" };
	static const char *const more[] = { "bits=4 query=s16", "bits=4 query=f32", "bits=4 correction=qjl:rht",
					    "bits=4 center=both", "bits=3 center=data effort=1", "bits=5 code=uniform",
					    "bits=7 code=uniform query=s8", "bits=4 rotation=rht:3", "bits=2 rotation=rht:1",
					    "bits=4 rotation=givens:3", "bits=8 query=s8", "bits=4 rotation=none",
					    "code=sign bits=1" };
	char text[160];
	unsigned turn = 0;

	for (uint32_t d : dims) {
		if (brief && d != 128 && d != 100)
			continue;
		for (int bits = 1; bits <= 8; bits++, turn++) {
			snprintf(text, sizeof(text), "bits=%d scale=%s correction=%s", bits, scales[turn % 3],
				 bits <= 4 ? fits[turn / 3 % 4] : "ls");
			check(text, d, brief ? 777 : d > 300 ? 4099 : 20011, 1 + turn * 7 % 20, 100);
		}
	}
	for (const char *s : more)
		check(s, brief ? 100 : 128, brief ? 333 : 9001, 9, 10);
	if (brief)
		return;
	check("bits=4", 1536, 5003, 64, 1000);
	check("bits=4", 128, 300001, 2, 1024);
	check("bits=4 scale=f16 correction=ls", 128, 50001, 4, 1);
	check("bits=4 scale=f16 correction=none", 64, 50001, 8, 3);
}

/* Trellis codes: every table, scales, corrections, queries, rows and segments of all shapes */
static void check_trellises(bool brief)
{
	static const uint32_t dims[] = { 128, 136, 33, 200, 80, 96, 1000, 1536 };
	static const char *const scales[] = { "f32", "f16", "bf16" }, *const fits[] = { "ls", "none", "unbiased", "norm" };
	static const char *const more[] = { " query=s16", " query=f32", " center=both", " center=data", " rotation=haar" };
	char text[160];
	unsigned turn = 0;

	for (uint32_t d : dims)
		for (int window = 8; window <= 9 && (!brief || d <= 136); window++)
			for (int bits = 1; bits <= 4; bits++, turn++) {
				snprintf(text, sizeof(text), "code=tcq:%d bits=%d scale=%s correction=%s%s", window, bits, scales[turn % 3],
					 fits[turn / 3 % 4], turn % 3 == 1 ? more[turn / 3 % 5] : "");
				check(text, d, brief ? 77 : d > 300 ? 61 : 301, 1 + turn * 7 % 20, 10);
			}
}

/* Fractions of a bit likewise: rows whose last word lacks digits, of one block and of many */
static void check_fractions(bool brief)
{
	static const uint32_t dims[] = { 128, 33, 97, 1000, 1536 };
	static const char *const bits[] = { "1.6", "2.33", "2.5", "3.5", "4.5" };
	static const char *const scales[] = { "f32", "f16", "bf16" }, *const fits[] = { "ls", "none", "unbiased", "norm" };
	static const char *const more[] = { "", " query=s16 effort=1", " query=f32", " center=both", " center=data effort=1",
					    " rotation=haar", " rotation=givens:3" };
	char text[160];
	unsigned turn = 0;

	for (uint32_t d : dims)
		for (const char *b : bits) {
			if (brief && d != 128 && d != 97)
				continue;
			for (int k = 0; k < (brief ? 1 : 3); k++, turn++) {
				snprintf(text, sizeof(text), "bits=%s scale=%s correction=%s%s", b, scales[turn % 3], fits[turn / 3 % 4],
					 more[turn % 7]);
				check(text, d, brief ? 77 : d > 300 ? 301 : 3001, 1 + turn * 7 % 20, 10);
			}
		}
}

/* ---- time ---- */

static double read_rate;

static double median_ms(int times, const std::function<void(int)> &work)
{
	std::vector<float> ms;
	cudaEvent_t a, b;

	CK(cudaEventCreate(&a));
	CK(cudaEventCreate(&b));
	for (int i = 0; i < times + 2; i++) {
		float t;

		spin<<<1, 1, 0, stream>>>(200000);
		CK(cudaEventRecord(a, stream));
		work(i);
		CK(cudaEventRecord(b, stream));
		CK(cudaEventSynchronize(b));
		CK(cudaEventElapsedTime(&t, a, b));
		if (i >= 2)
			ms.push_back(t);
	}
	CK(cudaGetLastError());
	std::sort(ms.begin(), ms.end());
	return ms[ms.size() / 2];
}

static void line(const char *what, double ms, double bytes)
{
	printf("| %s | %.1f us | %.2f TB/s | %.0f %% |\n", what, ms * 1e3, bytes / ms / 1e9, 100.0 * bytes / ms / 1e9 / read_rate);
	fflush(stdout);
}

static void time_memory(void)
{
	size_t bytes = (size_t)4 << 30;
	uint8_t *x = device<uint8_t>(2 * bytes);
	unsigned *out = device<unsigned>(1);
	double copy, ms = 1e9;

	fill_f32<<<2048, 256, 0, stream>>>((float *)x, bytes / 2, 1);
	for (int blocks : { 132 * 4, 132 * 8, 132 * 16 })
		ms = std::min(ms, median_ms(7, [&](int i) {
			read_all<<<blocks, 512, 0, stream>>>((const uint4 *)(x + (i & 1) * bytes), bytes / 16, out);
		}));
	read_rate = bytes / ms / 1e9;
	copy = median_ms(7, [&](int i) { CK(cudaMemcpyAsync(x + bytes, x, bytes, cudaMemcpyDeviceToDevice, stream)); });
	printf("read %.2f TB/s, copy (read + write) %.2f TB/s\n", read_rate, 2 * bytes / copy / 1e9);
	CK(cudaFree(x));
	CK(cudaFree(out));
}

static struct tq_device_codec *codec_of(const struct tq_quantizer *q, const char *text)
{
	struct tq_device_codec *codec = NULL;

	if (tq_device_codec_create(q, queue, &codec)) {
		printf("%s: %s\n", text, tq_error_text());
		exit(1);
	}
	return codec;
}

static void time_rows(const char *text, uint32_t d, int dtype, size_t input)
{
	size_t es = dtype == TQ_F32 ? 4 : 2, n = input / (d * es);
	struct tq_quantizer *q = quantizer(text, d);
	struct tq_device_codec *codec = codec_of(q, text);
	double bytes = (double)n * (d * es + tq_code_size(q));
	char what[200];

	uint8_t *x = device<uint8_t>(n * d * es), *codes = device<uint8_t>(n * tq_code_size(q));

	if (es == 4)
		fill_f32<<<2048, 256, 0, stream>>>((float *)x, n * d, 5);
	else
		fill_bf16<<<2048, 256, 0, stream>>>((uint16_t *)x, n * d, 5);
	snprintf(what, sizeof(what), "encode %s d=%u, %s, %.1f GiB", es == 4 ? "f32" : "bf16", d, text, n * d * es / 1073741824.0);
	line(what, median_ms(5, [&](int i) { TQ(tq_encode_async(codec, queue, x, dtype, d, n, codes)); }), bytes);
	snprintf(what, sizeof(what), "decode %s d=%u, %s, %.1f GiB", es == 4 ? "f32" : "bf16", d, text, n * d * es / 1073741824.0);
	line(what, median_ms(5, [&](int i) { TQ(tq_decode_async(codec, queue, codes, n, x, dtype, d)); }), bytes);
	CK(cudaFree(x));
	CK(cudaFree(codes));
	tq_device_codec_destroy(codec);
	tq_quantizer_destroy(q);
}

static void time_logits(const char *text, size_t nq)
{
	const size_t heads = 32, n = 65536, sets = 3, d = 128;
	struct tq_quantizer *q = quantizer(text, d);
	struct tq_device_codec *codec = codec_of(q, text);
	size_t size = tq_code_size(q);

	struct tq_batch batch = { heads, nq * tq_device_query_size(codec), n * size, nq * n };
	uint8_t *codes = device<uint8_t>(sets * heads * n * size), *prepared = device<uint8_t>(heads * batch.query_stride);
	float *query = device<float>(heads * nq * d), *scores = device<float>(sets * heads * nq * n);
	char what[200];

	fill_codes<<<4096, 128, 0, stream>>>(codes, sets * heads * n, (unsigned)size, size % 4 ? 2 : 4, 3);
	fill_f32<<<64, 256, 0, stream>>>(query, heads * nq * d, 4);
	TQ(tq_query_prepare_async(codec, queue, query, d, heads * nq, prepared));
	snprintf(what, sizeof(what), "key logits, 32 x 65536 x %zu queries, %s", nq, text);
	line(what, median_ms(25, [&](int i) {
		     TQ(tq_score_async(codec, queue, prepared, nq, codes + i % sets * heads * n * size, n,
				       scores + i % sets * heads * nq * n, n, &batch));
	     }),
	     (double)heads * n * (size + 4.0 * nq));
	for (void *p : { (void *)codes, (void *)prepared, (void *)query, (void *)scores })
		CK(cudaFree(p));
	tq_device_codec_destroy(codec);
	tq_quantizer_destroy(q);
}

static void time_search(const char *text, uint32_t d, size_t n, size_t nq, size_t k)
{
	struct tq_quantizer *q = quantizer(text, d);
	struct tq_device_codec *codec = codec_of(q, text);
	size_t size = tq_code_size(q);
	char what[200];

	uint8_t *codes = device<uint8_t>(n * size), *prepared = device<uint8_t>(nq * tq_device_query_size(codec)),
		*scratch = device<uint8_t>(tq_topk_scratch(codec, nq, n, k));
	float *query = device<float>(nq * d), *best = device<float>(nq * k), *scores = device<float>(nq * n);
	int64_t *ids = device<int64_t>(nq * k);

	fill_codes<<<4096, 128, 0, stream>>>(codes, n, (unsigned)size, 4, 3);
	fill_f32<<<64, 256, 0, stream>>>(query, nq * d, 4);
	TQ(tq_query_prepare_async(codec, queue, query, d, nq, prepared));
	snprintf(what, sizeof(what), "all scores, d=%u, %.0f M rows, %zu queries, %s", d, n * 1e-6, nq, text);
	line(what, median_ms(9, [&](int i) { TQ(tq_score_async(codec, queue, prepared, nq, codes, n, scores, n, NULL)); }),
	     (double)n * (size + 4.0 * nq));
	snprintf(what, sizeof(what), "top %zu, d=%u, %.0f M rows, %zu queries, %s", k, d, n * 1e-6, nq, text);
	line(what, median_ms(9, [&](int i) {
		     TQ(tq_topk_async(codec, queue, prepared, nq, codes, n, k, ids, best, scratch));
	     }),
	     (double)n * size);
	for (void *p : { (void *)codes, (void *)prepared, (void *)scratch, (void *)query, (void *)best, (void *)scores, (void *)ids })
		CK(cudaFree(p));
	tq_device_codec_destroy(codec);
	tq_quantizer_destroy(q);
}

static void time_short(void)
{
	for (const char *s : { "bits=4 correction=none", "bits=4 correction=ls", "bits=3 correction=none", "bits=3 correction=ls",
			       "bits=2 correction=none", "bits=2 correction=ls", "bits=1 correction=ls" })
		time_rows(s, 128, TQ_BF16, (size_t)8 << 30);
	time_rows("bits=4 correction=ls", 128, TQ_F32, (size_t)8 << 30);
	time_rows("bits=4 correction=ls", 64, TQ_BF16, (size_t)4 << 30);
}

static void time_warp(void)
{
	const size_t gib = (size_t)1 << 30;

	for (uint32_t d : { 256, 96, 768, 1024, 1536, 3072, 1000 })
		time_rows("bits=4 correction=ls", d, TQ_BF16, gib);
	time_rows("bits=4 correction=none", 256, TQ_BF16, gib);
	time_rows("bits=4 correction=ls", 1536, TQ_F32, gib);
	time_rows("bits=4 correction=unbiased effort=1 center=both", 1536, TQ_F32, gib);
	for (const char *s : { "bits=1 correction=ls", "bits=2 correction=ls", "bits=3 correction=ls", "bits=8 correction=ls",
			       "bits=2 correction=ls effort=1", "bits=4 correction=ls effort=1" })
		time_rows(s, 256, TQ_BF16, gib);
	for (const char *s : { "bits=5 correction=ls", "bits=6 correction=ls", "bits=8 correction=ls", "bits=8 correction=ls effort=1",
			       "bits=4 correction=ls effort=1" })
		time_rows(s, 128, TQ_BF16, gib);
}

static void time_trellises(void)
{
	for (const char *s : { "bits=1", "bits=2", "bits=3", "bits=4", "code=tcq bits=1", "code=tcq bits=2", "code=tcq bits=3", "code=tcq bits=4",
			       "code=tcq:8 bits=4", "bits=4 query=s16", "code=tcq bits=4 query=s16" })
		for (size_t nq : { 1, 4, 16 })
			if (nq == 4 || s[0] == 'b' || strstr(s, "tcq bits=4"))
				time_logits(s, nq);
	for (const char *s : { "code=tcq bits=1", "code=tcq bits=2", "code=tcq bits=3", "code=tcq bits=4", "code=tcq:8 bits=3" })
		time_rows(s, 128, TQ_BF16, (size_t)1 << 28);
	time_rows("code=tcq bits=4", 1536, TQ_BF16, (size_t)1 << 28);
}

static void time_fractions(void)
{
	static const char *const specs[] = { "bits=1.6", "bits=2.33", "bits=2.5", "bits=3.5", "bits=4.5", "bits=3", "bits=4", "bits=5" };

	for (const char *s : specs)
		for (size_t nq : { 1, 4 })
			time_logits(s, nq);
	for (const char *s : specs)
		time_rows(s, 128, TQ_BF16, (size_t)1 << 28);
}

#include "kv.cuh"
#include "kv_mla.cuh"

static void time_all(void)
{
	time_memory();
	printf("| what | time | bytes per second | of reading |\n|---|---|---|---|\n");
	for (size_t nq : { 1, 4, 8, 16 })
		time_logits("bits=4", nq);
	time_logits("bits=4 scale=f16", 4);
	for (const char *s : { "bits=1", "bits=2", "bits=3", "bits=5", "bits=6", "bits=8", "bits=4 query=s16" })
		time_logits(s, 4);
	time_short();
	time_warp();
	time_search("bits=4", 1536, 4000000, 1, 100);
	time_search("bits=4", 1536, 4000000, 64, 100);
	time_search("bits=4", 128, 16000000, 1, 100);
	time_trellises();
	kv_time_all();
	mla_time_all();
}

int main(int argc, char **argv)
{
	struct cudaDeviceProp prop;

	CK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	open_all();
	CK(cudaGetDeviceProperties(&prop, 0));
	if (argc > 1 && !strncmp(argv[1], "check", 5)) {
		kv_check_all(!strcmp(argv[1], "check-brief"));
		mla_check_all(!strcmp(argv[1], "check-brief"));
		check_short(!strcmp(argv[1], "check-brief"));
		check_warp(!strcmp(argv[1], "check-brief"));
		check_all(!strcmp(argv[1], "check-brief"));
		check_trellises(!strcmp(argv[1], "check-brief"));
		check_fractions(!strcmp(argv[1], "check-brief"));
	}
	if (argc > 1 && !strcmp(argv[1], "radix-check"))
		check_fractions(false);
	if (argc > 1 && !strcmp(argv[1], "radix-time")) {
		time_memory();
		time_fractions();
	}
	if (argc > 1 && !strcmp(argv[1], "tcq-check"))
		check_trellises(false);
	if (argc > 1 && !strcmp(argv[1], "tcq-time")) {
		time_memory();
		time_trellises();
	}
	if (argc > 1 && (!strcmp(argv[1], "kv-check") || !strcmp(argv[1], "kv-brief")))
		kv_check_all(!strcmp(argv[1], "kv-brief"));
	if (argc > 1 && !strcmp(argv[1], "kv-tcq-check"))
		kv_check_trellis(false);
	if (argc > 1 && !strcmp(argv[1], "kv-tcq-time")) {
		time_memory();
		printf("| what | time | bytes per second | of reading |\n|---|---|---|---|\n");
		kv_time("bits=4 correction=ls", 128, 8, 32, 8, 32768, 64);
		kv_time("bits=5 correction=ls", 128, 8, 32, 8, 32768, 64);
		kv_time_append("bits=4 correction=ls", 128, 8, 64);
		kv_time_trellis();
	}
	if (argc > 1 && (!strcmp(argv[1], "rows-check") || !strcmp(argv[1], "rows-brief")))
		check_short(!strcmp(argv[1], "rows-brief"));
	if (argc > 1 && !strcmp(argv[1], "rows-time")) {
		time_memory();
		time_short();
	}
	if (argc > 1 && (!strcmp(argv[1], "warp-check") || !strcmp(argv[1], "warp-brief")))
		check_warp(!strcmp(argv[1], "warp-brief"));
	if (argc > 1 && !strcmp(argv[1], "warp-time")) {
		time_memory();
		time_warp();
	}
	if (argc > 1 && !strcmp(argv[1], "kv-time")) {
		time_memory();
		printf("| what | time | bytes per second | of reading |\n|---|---|---|---|\n");
		kv_time_all();
		mla_time_all();
	}
	if (argc > 1 && !strcmp(argv[1], "mla-check"))
		mla_check_all(false);
	if (argc > 1 && !strcmp(argv[1], "mla-time")) {
		time_memory();
		kv_time("bits=4 correction=ls", 128, 8, 32, 8, 32768, 64);
		mla_time_all();
	}
	if (argc > 1 && !strcmp(argv[1], "time")) {
		printf("%s, %d processors, %d MB of L2\n", prop.name, prop.multiProcessorCount, prop.l2CacheSize >> 20);
		time_all();
	}
	close_all();
	CK(cudaDeviceSynchronize());
	if (passed + failed)
		printf("%u passed, %u failed\n", passed, failed);
	return failed > 0;
}

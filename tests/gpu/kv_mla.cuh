/* SPDX-License-Identifier: Apache-2.0 */
/* The part of bench.cu about keys whose codes are the values too: mla_check_all(), mla_time_all(). */
#pragma once
#include <random>

/* Sequences of one layer in shuffled pages, keys of 512 + 64 coordinates in the device's memory */
struct mla_cache {
	static const size_t dim = 512, raw = 64, width = dim + raw;
	struct tq_quantizer *q;
	struct tq_device_codec *codec;
	struct tq_device_kv *kv = NULL;
	size_t kv_heads, heads, page_tokens, pages_each, page, tokens = 0;
	std::vector<uint32_t> table, lengths;
	uint8_t *pages, *scratch = NULL;
	uint32_t *dtable, *dlengths;
	int64_t *dslots;

	mla_cache(const char *spec, int raw_type, size_t nkv, size_t nq, size_t per_page, const std::vector<uint32_t> &n)
		: kv_heads(nkv), heads(nq), page_tokens(per_page), lengths(n)
	{
		struct tq_device_kv_options o = {};
		std::vector<int64_t> slots;
		std::mt19937 rng(7);

		o.struct_size = sizeof(o);
		o.kv_heads = (uint32_t)nkv;
		o.query_heads = (uint32_t)nq;
		o.page_tokens = (uint32_t)per_page;
		o.key_raw_dim = raw;
		o.raw_type = (uint32_t)raw_type;
		q = quantizer(spec, dim);
		TQ(tq_device_codec_create(q, queue, &codec));
		if (tq_device_kv_create(codec, NULL, queue, &o, &kv)) {
			printf("DIFFERS: attention %s, 512 + 64: %s\n", spec, tq_error_text());
			exit(1);
		}
		page = tq_device_kv_page_size(kv);
		pages_each = (*std::max_element(n.begin(), n.end()) + per_page - 1) / per_page;
		table.resize(n.size() * pages_each);
		for (size_t i = 0; i < table.size(); i++)
			table[i] = (uint32_t)i;
		std::shuffle(table.begin(), table.end(), rng);
		for (size_t s = 0; s < n.size(); s++)
			for (size_t t = 0; t < n[s]; t++)
				slots.push_back((int64_t)(table[s * pages_each + t / per_page] * per_page + t % per_page));
		tokens = slots.size();
		pages = device<uint8_t>(table.size() * page);
		dtable = device<uint32_t>(table.size());
		dlengths = device<uint32_t>(n.size());
		dslots = device<int64_t>(tokens);
		CK(cudaMemcpy(dtable, table.data(), table.size() * 4, cudaMemcpyHostToDevice));
		CK(cudaMemcpy(dlengths, n.data(), n.size() * 4, cudaMemcpyHostToDevice));
		CK(cudaMemcpy(dslots, slots.data(), tokens * 8, cudaMemcpyHostToDevice));
	}

	void append(const void *keys, int dtype, size_t from, size_t n)
	{
		struct tq_device_kv_rows r = {};

		r.struct_size = sizeof(r);
		r.tokens = (uint32_t)n;
		r.dtype = dtype;
		r.keys = keys;
		r.key_stride = kv_heads * width;
		r.slots = dslots + from;
		r.pages = pages;
		TQ(tq_kv_append_async(kv, queue, &r));
	}

	/* a call with scratch of its own */
	struct tq_device_kv_call call(size_t query_tokens, int dtype, const void *query, void *out, uint32_t splits)
	{
		struct tq_device_kv_call c = {};

		c.struct_size = sizeof(c);
		c.sequences = (uint32_t)lengths.size();
		c.tokens = (uint32_t)query_tokens;
		c.max_tokens = *std::max_element(lengths.begin(), lengths.end());
		c.splits = splits;
		c.dtype = dtype;
		c.query = query;
		c.query_stride = heads * width;
		c.out = out;
		c.out_stride = heads * dim;
		c.pages = pages;
		c.table = dtable;
		c.table_stride = pages_each;
		c.lengths = dlengths;
		CK(cudaStreamSynchronize(stream));
		CK(cudaFree(scratch));
		c.scratch = scratch = device<uint8_t>(tq_kv_attend_async_scratch(kv, &c));
		return c;
	}

	~mla_cache()
	{
		CK(cudaStreamSynchronize(stream));
		tq_device_kv_destroy(kv);
		tq_device_codec_destroy(codec);
		tq_quantizer_destroy(q);
		for (void *p : { (void *)pages, (void *)scratch, (void *)dtable, (void *)dlengths, (void *)dslots })
			CK(cudaFree(p));
	}
};

static void mla_check(const char *spec, int raw_type, size_t nkv, size_t nq, size_t per_page, size_t query_tokens, size_t longest,
		      float heat)
{
	mla_cache c(spec, raw_type, nkv, nq, per_page, { (uint32_t)longest, (uint32_t)(longest / 2 + 5), 33, 3 });
	const size_t d = c.dim, width = c.width, n = c.lengths.size(), rows = n * query_tokens * nq;
	std::vector<float> k(c.tokens * nkv * width), query(rows * width), y(d);
	std::vector<uint8_t> code(tq_code_size(c.q));
	std::mt19937 rng((unsigned)longest);
	std::normal_distribution<float> normal;
	char what[200];

	for (size_t i = 0; i < k.size() / width; i++) {
		float a = expf(0.4f * normal(rng));

		for (size_t j = 0; j < width; j++)
			k[i * width + j] = a * normal(rng);
	}
	for (auto &x : query)
		x = heat * normal(rng);
	float *dk = device<float>(k.size()), *dq = device<float>(query.size()), *out = device<float>(rows * d), *lse = device<float>(rows),
	      *again = device<float>(rows * d);
	CK(cudaMemcpy(dk, k.data(), k.size() * 4, cudaMemcpyHostToDevice));
	CK(cudaMemcpy(dq, query.data(), query.size() * 4, cudaMemcpyHostToDevice));
	c.append(dk, TQ_F32, 0, c.tokens);
	/* what the cache makes of them */
	for (size_t i = 0; i < k.size() / width; i++) {
		float *x = k.data() + i * width;

		TQ(tq_encode(c.q, x, d, 1, code.data()));
		TQ(tq_decode(c.q, code.data(), 1, x, d));
		for (size_t j = d; j < width; j++)
			x[j] = raw_type == TQ_F16 ? __half2float(__float2half_rn(x[j])) : __bfloat162float(__float2bfloat16_rn(x[j]));
	}
	for (uint32_t mode = 0; mode < 4; mode++) {
		struct tq_device_kv_call call = c.call(query_tokens, TQ_F32, dq, out, mode == 1 ? 1 : mode == 2 ? 7 : 0);
		double worst = 0, worst_lse = 0;

		call.lse = lse;
		call.window = mode == 3 ? 45 : 0;
		call.softcap = mode == 2 ? 4.0f : 0.0f;
		TQ(tq_kv_attend_async(c.kv, queue, &call));
		call.out = again;
		TQ(tq_kv_attend_async(c.kv, queue, &call));
		std::vector<float> got = fetch(out, rows * d), twice = fetch(again, rows * d), gl = fetch(lse, rows);
		size_t base = 0;

		for (size_t s = 0; s < n; base += c.lengths[s], s++)
			for (size_t t = 0; t < query_tokens; t++)
				for (size_t h = 0; h < nq; h++) {
					size_t row = (s * query_tokens + t) * nq + h, to = c.lengths[s] - (query_tokens - 1 - t);
					size_t from = call.window && to > call.window ? to - call.window : 0;
					const float *first = k.data() + (base * nkv + h / (nq / nkv)) * width, *x = query.data() + row * width;
					std::vector<double> z(to), want(d, 0.0);
					double top = -1e300, sum = 0, off = 0, norm = 0, l;

					if (c.lengths[s] > 1000 && h % 5)
						continue;
					for (size_t i = from; i < to; i++) {
						z[i] = 0;
						for (size_t j = 0; j < width; j++)
							z[i] += (double)first[i * nkv * width + j] * x[j];
						z[i] /= sqrt((double)width);
						z[i] = call.softcap > 0 ? call.softcap * tanh(z[i] / call.softcap) : z[i];
						top = std::max(top, z[i]);
					}
					for (size_t i = from; i < to; i++) {
						double e = exp(z[i] - top);

						sum += e;
						for (size_t j = 0; j < d; j++)
							want[j] += e * first[i * nkv * width + j];
					}
					for (size_t j = 0; j < d; j++) {
						double e = got[row * d + j] - want[j] / sum;

						off += e * e;
						norm += want[j] * want[j] / sum / sum;
					}
					l = fabs(gl[row] - (top + log(sum)));
					worst = sqrt(off / norm) <= worst ? worst : sqrt(off / norm);
					worst_lse = l <= worst_lse ? worst_lse : l;
				}
		snprintf(what, sizeof(what), "MLA, %zu/%zu heads, %zu query tokens, %zu tokens, splits %u, window %u, cap %g: error %.1e, lse %.1e", nq,
			 nkv, query_tokens, longest, call.splits, call.window, call.softcap, worst, worst_lse);
		verdict(worst <= 1e-3 && worst_lse <= 1e-3, what, spec, d);
		verdict(!memcmp(got.data(), twice.data(), rows * d * 4), "MLA twice", spec, d);
		printf("%s: %s\n", spec, what);
	}
	for (void *p : { (void *)dk, (void *)dq, (void *)out, (void *)lse, (void *)again })
		CK(cudaFree(p));
}

static void mla_check_all(bool brief)
{
	mla_check("bits=4 correction=ls", TQ_BF16, 1, 16, 64, 1, brief ? 200 : 3000, 1.0f);
	if (brief)
		return;
	mla_check("bits=4 scale=f16", TQ_F16, 1, 128, 32, 1, 500, 1.0f);
	mla_check("bits=3 correction=ls", TQ_BF16, 2, 18, 32, 2, 300, 1.0f);
	mla_check("bits=2 correction=ls scale=bf16", TQ_F16, 1, 5, 128, 3, 300, 3.0f);
	mla_check("bits=4 correction=ls", TQ_F16, 1, 16, 64, 1, 20000, 3.0f);
}

static void mla_time(const char *spec, size_t nq, size_t n, size_t longest)
{
	mla_cache c(spec, TQ_BF16, 1, nq, 64, std::vector<uint32_t>(n, (uint32_t)longest));
	uint16_t *k = device<uint16_t>(longest * c.width), *query = device<uint16_t>(n * nq * c.width), *out = device<uint16_t>(n * nq * c.dim);
	uint8_t *cold = device<uint8_t>((size_t)256 << 20);
	char what[200];

	for (size_t s = 0; s < n; s++) {
		fill_bf16<<<64, 256, 0, stream>>>(k, longest * c.width, (unsigned)s + 3);
		c.append(k, TQ_BF16, s * longest, longest);
	}
	fill_bf16<<<64, 256, 0, stream>>>(query, n * nq * c.width, 4);
	struct tq_device_kv_call call = c.call(1, TQ_BF16, query, out, 0);
	cudaGraph_t graph;
	cudaGraphExec_t exec;

	CK(cudaStreamSynchronize(stream));
	CK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	TQ(tq_kv_attend_async(c.kv, queue, &call));
	CK(cudaStreamEndCapture(stream, &graph));
	CK(cudaGraphInstantiate(&exec, graph, 0));
	/* what is larger than the L2 several times over is cold by itself; else something else is written before */
	double bytes = (double)n * longest * c.page / 64 + 2.0 * n * nq * (c.dim + c.width), ms = 0;
	std::vector<float> times;
	cudaEvent_t a, b;

	CK(cudaEventCreate(&a));
	CK(cudaEventCreate(&b));
	for (int i = 0; i < 13; i++) {
		float t;

		CK(cudaMemsetAsync(cold, i, (size_t)256 << 20, stream));
		CK(cudaEventRecord(a, stream));
		CK(cudaGraphLaunch(exec, stream));
		CK(cudaEventRecord(b, stream));
		CK(cudaEventSynchronize(b));
		CK(cudaEventElapsedTime(&t, a, b));
		if (i > 1)
			times.push_back(t);
	}
	std::sort(times.begin(), times.end());
	ms = times[times.size() / 2];
	snprintf(what, sizeof(what), "attend %zu x %zu, MLA 512 + 64, %zu heads, pages of 64, %s", n, longest, nq, spec);
	line(what, ms, bytes);
	CK(cudaGraphExecDestroy(exec));
	CK(cudaGraphDestroy(graph));
	for (void *p : { (void *)k, (void *)query, (void *)out, (void *)cold })
		CK(cudaFree(p));
}

static void mla_time_all(void)
{
	const char *four = "bits=4 correction=ls";

	for (size_t nq : { 16, 32, 128 })
		mla_time(four, nq, 8, 32768);
	mla_time(four, 16, 64, 32768);
	mla_time(four, 16, 1, 131072);
	mla_time("bits=3 correction=ls", 16, 64, 32768);
	mla_time("bits=2 correction=ls", 16, 64, 32768);
}

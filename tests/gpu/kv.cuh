/* SPDX-License-Identifier: Apache-2.0 */
/* The part of bench.cu about attention over a KV cache: kv_check_all(), kv_time_all(). */
#pragma once
#include <random>

/* Sequences of @tokens tokens in shuffled pages of one layer, keys of @key and values of @value */
struct kv_cache {
	struct tq_quantizer *q[2];
	struct tq_device_codec *codec[2];
	struct tq_device_kv *kv = NULL, *raw = NULL; /* without tokens in 16 bits, and with */
	static constexpr size_t sinks = 5, recent = 131, ring = 140;
	size_t dim, value_dim, kv_heads, heads, page_tokens, sequences, tokens, pages_each, page, copies;
	std::vector<uint32_t> table;
	uint8_t *pages, *rows16;
	uint32_t *dtable, *dlengths, *areas;

	kv_cache(const char *key, const char *value, size_t d, size_t nkv, size_t nq, size_t per_page, size_t n, size_t longest,
		 size_t ncopies = 1, size_t vd = 0)
		: dim(d), value_dim(vd ? vd : d), kv_heads(nkv), heads(nq), page_tokens(per_page), sequences(n), tokens(longest),
		  pages_each((longest + per_page - 1) / per_page), copies(ncopies)
	{
		struct tq_device_kv_options o = { sizeof(o), (uint32_t)nkv, (uint32_t)nq, (uint32_t)per_page, 0, 0, 0, 0, 0 };
		std::mt19937 rng(7);

		q[0] = quantizer(key, (uint32_t)d);
		q[1] = quantizer(value, (uint32_t)value_dim);
		for (int i = 0; i < 2; i++)
			TQ(tq_device_codec_create(q[i], queue, &codec[i]));
		if (tq_device_kv_create(codec[0], codec[1], queue, &o, &kv)) {
			printf("DIFFERS: attention %s / %s, d=%zu: %s\n", key, value, d, tq_error_text());
			exit(1);
		}
		o.sinks = sinks;
		o.recent = recent;
		o.ring = ring;
		o.raw_type = TQ_BF16;
		TQ(tq_device_kv_create(codec[0], codec[1], queue, &o, &raw));
		rows16 = device<uint8_t>(n * tq_device_kv_raw_size(raw));
		std::vector<uint32_t> area(n);
		for (size_t i = 0; i < n; i++)
			area[i] = (uint32_t)((i + 1) % n);
		areas = device<uint32_t>(n);
		CK(cudaMemcpy(areas, area.data(), n * 4, cudaMemcpyHostToDevice));
		page = tq_device_kv_page_size(kv);
		table.resize(n * pages_each);
		for (size_t i = 0; i < table.size(); i++)
			table[i] = (uint32_t)i;
		std::shuffle(table.begin(), table.end(), rng);
		pages = device<uint8_t>(copies * table.size() * page);
		dtable = device<uint32_t>(table.size());
		dlengths = device<uint32_t>(n);
		CK(cudaMemcpy(dtable, table.data(), table.size() * 4, cudaMemcpyHostToDevice));
		set_lengths(std::vector<uint32_t>(n, (uint32_t)longest));
	}

	void set_lengths(const std::vector<uint32_t> &lengths)
	{
		CK(cudaMemcpy(dlengths, lengths.data(), lengths.size() * 4, cudaMemcpyHostToDevice));
	}

	int64_t slot(size_t sequence, size_t token) const
	{
		return (int64_t)table[sequence * pages_each + token / page_tokens] * (int64_t)page_tokens +
		       (int64_t)(token % page_tokens);
	}

	/* where a token's 16-bit row goes, one of @length */
	int64_t raw_slot(size_t sequence, size_t token, size_t length) const
	{
		size_t area = (sequence + 1) % sequences * (sinks + ring);

		return token < sinks ? (int64_t)(area + token) :
		       token + ring < length ? -1 :
					       (int64_t)(area + sinks + (token - sinks) % ring);
	}

	struct tq_device_kv_call call(size_t query_tokens, int dtype, const void *query, void *out) const
	{
		struct tq_device_kv_call c = {};

		c.struct_size = sizeof(c);
		c.sequences = (uint32_t)sequences;
		c.tokens = (uint32_t)query_tokens;
		c.max_tokens = (uint32_t)tokens;
		c.dtype = dtype;
		c.query = query;
		c.query_stride = heads * dim;
		c.out_stride = heads * value_dim;
		c.out = out;
		c.pages = pages;
		c.table = dtable;
		c.table_stride = pages_each;
		c.lengths = dlengths;
		return c;
	}

	~kv_cache()
	{
		tq_device_kv_destroy(kv);
		tq_device_kv_destroy(raw);
		for (int i = 0; i < 2; i++) {
			tq_device_codec_destroy(codec[i]);
			tq_quantizer_destroy(q[i]);
		}
		for (void *p : { (void *)pages, (void *)dtable, (void *)dlengths, (void *)rows16, (void *)areas })
			CK(cudaFree(p));
	}
};

/* to bf16 and back */
static float rounded(float x)
{
	uint32_t b;

	memcpy(&b, &x, 4);
	b = (b + 0x7fff + (b >> 16 & 1)) & 0xffff0000u;
	memcpy(&x, &b, 4);
	return x;
}

/* Rows as scalar decodes them from its own codes */
static std::vector<float> decoded(const struct tq_quantizer *q, const std::vector<float> &x)
{
	size_t d = tq_dim(q), n = x.size() / d;
	std::vector<uint8_t> codes(n * tq_code_size(q));
	std::vector<float> y(x.size());

	TQ(tq_encode(q, x.data(), d, n, codes.data()));
	TQ(tq_decode(q, codes.data(), n, y.data(), d));
	return y;
}

/*
 * What an output row should be, in float64, over tokens from .. to - 1 and those below @keep, with a logit @sink; each
 * token's share, the sink's left out, is added to @mass[t / page] if that is given. Returns log(sum(exp)).
 */
static double attend_row(const float *query, const float *k, const float *v, size_t step, size_t step_v, size_t d, size_t vd, size_t from, size_t to, size_t keep,
			 double scale, double cap, double sink, std::vector<double> &out, double *mass, size_t page)
{
	std::vector<double> z(to);
	double top = sink, sum = 0, of_sink = 0;

	for (size_t t = 0; t < to; t++) {
		if (t < from && t >= keep) {
			z[t] = -HUGE_VAL;
			continue;
		}
		z[t] = 0;
		for (size_t i = 0; i < d; i++)
			z[t] += (double)k[t * step + i] * query[i];
		z[t] *= scale;
		z[t] = cap > 0 ? cap * tanh(z[t] / cap) : z[t];
		top = std::max(top, z[t]);
	}
	out.assign(vd, 0.0);
	if (sink > -HUGE_VAL)
		of_sink = exp(sink - top);
	for (size_t t = 0; t < to; t++) {
		double e = z[t] > -HUGE_VAL ? exp(z[t] - top) : 0;

		z[t] = e;
		if (e == 0)
			continue;

		sum += e;
		for (size_t i = 0; i < vd; i++)
			out[i] += e * v[t * step_v + i];
	}
	for (size_t t = 0; mass && sum > 0 && t < to; t++)
		mass[t / page] += z[t] / sum;
	sum += of_sink;
	for (size_t i = 0; i < vd && sum > 0; i++)
		out[i] /= sum;
	return top + log(sum);
}

/*
 * Sequences of different lengths, keys with directions that some queries like much (peaked weights) and rows
 * of very different norms; several query tokens, splits and windows, caps and sinks, centres, tokens in 16 bits and
 * the mass of pages; recorded into a graph and replayed.
 */
static void kv_check(const char *key, const char *value, size_t d, size_t nkv, size_t nq, size_t per_page, size_t query_tokens,
		     size_t longest, float heat, size_t vd = 0)
{
	vd = vd ? vd : d;
	const std::vector<uint32_t> lengths = { (uint32_t)longest, (uint32_t)(longest / 2 + 5), (uint32_t)(longest / 3), 33, 1 };
	kv_cache c(key, value, d, nkv, nq, per_page, lengths.size(), longest, 1, vd);
	size_t n = lengths.size(), rows = n * query_tokens * nq, all = 0;
	std::mt19937 rng((unsigned)(d + longest));
	std::normal_distribution<float> normal;
	std::vector<int64_t> slots;
	char what[200];

	for (size_t s = 0; s < n; s++) {
		for (size_t t = 0; t < lengths[s]; t++)
			slots.push_back(c.slot(s, t));
		all += lengths[s];
	}
	c.set_lengths(lengths);
	std::vector<float> k(all * nkv * d), v(all * nkv * vd), query(rows * d);
	for (size_t i = 0; i < all * nkv; i++) {
		float a = expf(0.3f * normal(rng)), b = expf(0.7f * normal(rng));

		for (size_t j = 0; j < std::max(d, vd); j++) {
			if (j < d)
				k[i * d + j] = a * normal(rng);
			if (j < vd)
				v[i * vd + j] = b * normal(rng);
		}
	}
	for (auto &x : query)
		x = heat * normal(rng);
	float *dk = device<float>(k.size()), *dv = device<float>(v.size()), *dq = device<float>(query.size()),
	      *out = device<float>(rows * vd), *lse = device<float>(rows), *again = device<float>(rows * vd);
	int64_t *ds = device<int64_t>(all);
	CK(cudaMemcpy(dk, k.data(), k.size() * 4, cudaMemcpyHostToDevice));
	CK(cudaMemcpy(dv, v.data(), v.size() * 4, cudaMemcpyHostToDevice));
	CK(cudaMemcpy(dq, query.data(), query.size() * 4, cudaMemcpyHostToDevice));
	CK(cudaMemcpy(ds, slots.data(), all * 8, cudaMemcpyHostToDevice));
	struct tq_device_kv_rows r = { sizeof(r), (uint32_t)all, TQ_F32, dk, nkv * d, dv, nkv * vd, ds, c.pages, NULL, NULL, NULL };
	std::vector<float> y = decoded(c.q[0], k), x = decoded(c.q[1], v), y16, x16 = x, hcentre(nkv * d);
	std::vector<int64_t> places;

	/* the same with a centre, and some tokens in 16 bits */
	for (auto &z : hcentre)
		z = normal(rng);
	y16 = k;
	for (size_t i = 0; i < y16.size(); i++)
		y16[i] -= hcentre[i % hcentre.size()];
	y16 = decoded(c.q[0], y16);
	for (size_t i = 0; i < y16.size(); i++)
		y16[i] += hcentre[i % hcentre.size()];
	for (size_t s = 0, i = 0; s < n; s++)
		for (size_t t = 0; t < lengths[s]; t++, i++) {
			places.push_back(c.raw_slot(s, t, lengths[s]));
			if (t < c.sinks || t + c.recent >= lengths[s])
				for (size_t j = 0; j < nkv * (d + vd); j++)
					if (j < nkv * d)
						y16[i * nkv * d + j] = rounded(k[i * nkv * d + j]);
					else
						x16[i * nkv * vd + j - nkv * d] = rounded(v[i * nkv * vd + j - nkv * d]);
		}
	float *centre = device<float>(nkv * d), *mass = device<float>(n * c.pages_each);
	int64_t *dplaces = device<int64_t>(all);
	CK(cudaMemcpy(centre, hcentre.data(), nkv * d * 4, cudaMemcpyHostToDevice));
	CK(cudaMemcpy(dplaces, places.data(), all * 8, cudaMemcpyHostToDevice));

	std::vector<float> hsink(nq);
	for (auto &x : hsink)
		x = 2 * normal(rng);
	hsink[0] = -INFINITY;
	float *sinks = device<float>(nq);
	CK(cudaMemcpy(sinks, hsink.data(), nq * 4, cudaMemcpyHostToDevice));

	for (uint32_t mode = 0; mode < 8; mode++) {
		const struct tq_device_kv *kv = mode < 5 ? c.kv : c.raw;
		struct tq_device_kv_call call = c.call(query_tokens, TQ_F32, dq, out);
		cudaGraph_t graph;
		cudaGraphExec_t exec;

		call.lse = lse;
		call.splits = mode == 1 ? 1 : mode == 2 || mode == 6 ? 7 : 0;
		call.window = mode == 3 ? 45 : mode == 6 ? 200 : mode == 7 ? 77 : 0;
		call.softcap = mode == 4 || mode == 6 ? 4.0f : 0.0f;
		call.sink_logits = mode == 3 || mode == 4 || mode == 6 ? sinks : NULL;
		if (mode >= 5) {
			r.centre = call.centre = centre;
			r.raw_slots = dplaces;
			r.raw = c.rows16;
			call.raw = c.rows16;
			call.areas = c.areas;
			call.keep_sinks = mode == 6;
			call.page_mass = mode == 7 ? NULL : mass;
		}
		const std::vector<float> &keys = mode < 5 ? y : y16, &values = mode < 5 ? x : x16;
		uint8_t *scratch = device<uint8_t>(tq_kv_attend_async_scratch(kv, &call));
		call.scratch = scratch;
		CK(cudaStreamSynchronize(stream));
		CK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
		TQ(tq_kv_append_async(kv, queue, &r));
		TQ(tq_kv_attend_async(kv, queue, &call));
		call.out = again;
		TQ(tq_kv_attend_async(kv, queue, &call));
		CK(cudaStreamEndCapture(stream, &graph));
		CK(cudaGraphInstantiate(&exec, graph, 0));
		for (int i = 0; i < 2; i++)
			CK(cudaGraphLaunch(exec, stream));
		std::vector<float> got = fetch(out, rows * vd), twice = fetch(again, rows * vd), gl = fetch(lse, rows), gm = fetch(mass, n * c.pages_each);
		std::vector<double> want, want_mass(n * c.pages_each);
		double worst = 0, worst_lse = 0, worst_mass = 0;
		size_t base = 0;

		for (size_t s = 0; s < n; base += lengths[s], s++)
			for (size_t t = 0; t < query_tokens; t++)
				for (size_t h = 0; h < nq; h++) {
					size_t row = (s * query_tokens + t) * nq + h, to = lengths[s] - std::min<size_t>(lengths[s], query_tokens - 1 - t);
					size_t from = call.window && to > call.window ? to - call.window : 0, at = base * nkv + h / (nq / nkv);
					double l, off = 0, norm = 0, sink = call.sink_logits ? hsink[h] : -HUGE_VAL;

					/* a long sequence costs the host much: some of its heads will do */
					if (lengths[s] > 8000 && h % 5)
						continue;
					l = attend_row(query.data() + row * d, keys.data() + at * d, values.data() + at * vd, nkv * d, nkv * vd, d, vd, from, to,
						       call.keep_sinks ? c.sinks : 0, 1 / sqrt((double)d), call.softcap, sink, want,
						       want_mass.data() + s * c.pages_each, per_page);
					for (size_t i = 0; i < vd; i++) {
						off += (got[row * vd + i] - want[i]) * (got[row * vd + i] - want[i]);
						norm += want[i] * want[i];
					}
					if (!(off <= 1e30))
						off = 1e30;
					if (to)
						worst = std::max(worst, sqrt(off / norm));
					else if (off != 0)
						worst = 1e9;
					double e = to || sink > -HUGE_VAL ? fabs(gl[row] - l) : gl[row] < -1e38f ? 0 : 1e9;
					worst_lse = e <= worst_lse ? worst_lse : e;
				}
		for (size_t i = 0; call.page_mass && longest <= 8000 && i < want_mass.size(); i++) {
			double e = fabs(gm[i] - want_mass[i]) / (double)(query_tokens * nq);

			worst_mass = e <= worst_mass ? worst_mass : e;
		}
		verdict(worst_mass <= 1e-3, "mass of pages", key, (unsigned)d);
		snprintf(what, sizeof(what), "attention, %zu/%zu heads, %zu query tokens, %zu tokens, splits %u, window %u, cap %g%s: error %.1e, lse %.1e", nq, nkv,
			 query_tokens, longest, call.splits, call.window, call.softcap, mode < 5 ? "" : ", 16 bits", worst, worst_lse);
		verdict(worst <= 1e-3 && worst_lse <= 1e-3, what, key, (unsigned)d);
		verdict(!memcmp(got.data(), twice.data(), rows * vd * 4), "attention twice", key, (unsigned)d);
		if (mode == 0 || mode == 5)
			printf("%s | %s, d=%zu | %zu: %s\n", key, value, d, vd, what);
		CK(cudaGraphExecDestroy(exec));
		CK(cudaGraphDestroy(graph));
		CK(cudaFree(scratch));
	}
	for (void *p : { (void *)dk, (void *)dv, (void *)dq, (void *)out, (void *)lse, (void *)again, (void *)ds, (void *)sinks, (void *)centre, (void *)mass, (void *)dplaces })
		CK(cudaFree(p));
}

/* 16-bit queries and outputs give what 32-bit ones give, rounded */
static void kv_check_dtypes(void)
{
	const size_t d = 128, n = 3, longest = 300, all = n * longest, heads = 8, nkv = 2;
	kv_cache c("bits=4 correction=ls", "bits=4 correction=ls", d, nkv, heads, 64, n, longest);
	std::vector<int64_t> slots;
	float *k = device<float>(all * nkv * d), *q = device<float>(n * heads * d), *out = device<float>(n * heads * d);
	uint16_t *q16 = device<uint16_t>(n * heads * d), *out16 = device<uint16_t>(n * heads * d), *k16 = device<uint16_t>(all * nkv * d);
	int64_t *ds = device<int64_t>(all);

	for (size_t i = 0; i < all; i++)
		slots.push_back(c.slot(i / longest, i % longest));
	CK(cudaMemcpy(ds, slots.data(), all * 8, cudaMemcpyHostToDevice));
	fill_bf16<<<64, 256, 0, stream>>>(k16, all * nkv * d, 3);
	fill_bf16<<<64, 256, 0, stream>>>(q16, n * heads * d, 4);
	std::vector<uint16_t> hk = fetch(k16, all * nkv * d), hq = fetch(q16, n * heads * d);
	std::vector<float> fk(hk.size()), fq(hq.size());
	for (size_t i = 0; i < hk.size(); i++) {
		uint32_t b = (uint32_t)hk[i] << 16;
		memcpy(&fk[i], &b, 4);
	}
	for (size_t i = 0; i < hq.size(); i++) {
		uint32_t b = (uint32_t)hq[i] << 16;
		memcpy(&fq[i], &b, 4);
	}
	CK(cudaMemcpy(k, fk.data(), fk.size() * 4, cudaMemcpyHostToDevice));
	CK(cudaMemcpy(q, fq.data(), fq.size() * 4, cudaMemcpyHostToDevice));
	struct tq_device_kv_rows r = { sizeof(r), (uint32_t)all, TQ_F32, k, nkv * d, k, nkv * d, ds, c.pages, NULL, NULL, NULL };
	struct tq_device_kv_call call = c.call(1, TQ_F32, q, out);
	uint8_t *scratch = device<uint8_t>(tq_kv_attend_async_scratch(c.kv, &call));
	call.scratch = scratch;
	TQ(tq_kv_append_async(c.kv, queue, &r));
	TQ(tq_kv_attend_async(c.kv, queue, &call));
	std::vector<float> want = fetch(out, n * heads * d);
	CK(cudaMemset(c.pages, 0x5a, c.table.size() * c.page));
	r.dtype = TQ_BF16;
	r.keys = r.values = k16;
	call.dtype = TQ_BF16;
	call.query = q16;
	call.out = out16;
	TQ(tq_kv_append_async(c.kv, queue, &r));
	TQ(tq_kv_attend_async(c.kv, queue, &call));
	std::vector<uint16_t> got = fetch(out16, n * heads * d);
	bool same = true;
	for (size_t i = 0; i < got.size(); i++) {
		uint32_t b;
		memcpy(&b, &want[i], 4);
		same = same && got[i] == (uint16_t)((b + 0x7fff + (b >> 16 & 1)) >> 16);
	}
	verdict(same, "attention in bf16", "bits=4", d);
	for (void *p : { (void *)k, (void *)q, (void *)out, (void *)q16, (void *)out16, (void *)k16, (void *)ds, (void *)scratch })
		CK(cudaFree(p));
}

/*
 * Trellis codes of all bits of either side with those of the other, with plain codes, and sizes whose segments end anywhere.
 * Few tokens: scalar takes a millisecond to code a row.
 */
static void kv_check_trellis(bool brief)
{
	const size_t sizes[] = { 128, 64, 256, 96, 136, 40, 16, 200, 248, 80 };
	char key[80], value[80];
	size_t at = 0;

	for (int key_bits = 0; key_bits <= 4; key_bits++)
		for (int value_bits = 0; value_bits <= 4; value_bits++, at++) {
			size_t d = sizes[at % 10], vd = at % 3 ? d : sizes[(at + 3) % 10];

			if (brief ? key_bits != value_bits + 1 : !key_bits && !value_bits)
				continue;
			snprintf(key, sizeof(key), key_bits ? "code=tcq:%d bits=%d correction=ls scale=%s" : "bits=5 effort=1",
				 8 + (key_bits + value_bits) % 2, key_bits, value_bits % 2 ? "f32" : "bf16");
			snprintf(value, sizeof(value), value_bits ? "code=tcq:%d bits=%d correction=unbiased scale=%s" : "bits=3",
				 8 + (key_bits + value_bits + key_bits / 2) % 2, value_bits, key_bits % 2 ? "f16" : "f32");
			kv_check(key, value, d, 2, 2 * (size_t)(1 + key_bits % 4), 32u << at % 3, 1 + value_bits % 2, 200, 1.0f, vd);
		}
	if (brief)
		return;
	for (size_t d : sizes)
		kv_check("code=tcq bits=4", "code=tcq bits=2 correction=unbiased", d, 1, 4, 64, 1, 200, 1.0f);
	for (const char *s : { "code=tcq bits=4", "bits=5 effort=1" })
		kv_check(s, "code=tcq bits=3 correction=unbiased", 128, 1, 4, 64, 1, 2000, 2.0f);
}

static void kv_check_all(bool brief)
{
	kv_check_trellis(brief);
	if (brief) {
		kv_check("bits=4 correction=ls", "bits=4 correction=ls", 128, 2, 8, 64, 1, 300, 1.0f);
		kv_check("bits=3 scale=f16", "bits=2 correction=ls", 64, 2, 6, 32, 2, 200, 1.0f);
		kv_check("bits=8 scale=bf16", "bits=8 correction=unbiased", 64, 2, 8, 64, 1, 200, 1.0f);
		kv_check("bits=5", "bits=1 scale=f16", 96, 2, 8, 64, 1, 200, 1.0f, 160);
		kv_check("bits=4 scale=bf16", "bits=4 correction=ls", 80, 2, 8, 64, 1, 200, 1.0f);
		kv_check("bits=6", "bits=3 scale=f16", 24, 2, 8, 64, 1, 200, 1.0f, 72);
		return;
	}
	kv_check_dtypes();
	for (size_t d : { 64, 96, 128, 256 })
		for (int bits = 2; bits <= 4; bits++) {
			char key[80], value[80];

			snprintf(key, sizeof(key), "bits=%d correction=ls scale=%s", bits, bits == 3 ? "f16" : "f32");
			for (int more = 2; more <= bits; more++) {
				snprintf(value, sizeof(value), "bits=%d correction=ls scale=%s", more, more == 2 ? "bf16" : "f32");
				kv_check(key, value, d, 2, 2 * (size_t)(bits + more - 3), 32u << (bits + more) % 3, 1 + (bits * more + d / 32) % 3, 500, 1.0f);
			}
		}
	/* any bits, and keys and values that differ in size */
	for (int key_bits = 1; key_bits <= 8; key_bits++)
		for (int value_bits = 1; value_bits <= 8; value_bits++)
			if (value_bits > key_bits || key_bits > 4 || value_bits == 1) {
				size_t d = 32 * (1 + (size_t)(3 * key_bits + value_bits) % 8), vd = key_bits == value_bits ? d : 32 * (1 + (size_t)value_bits);
				char key[80], value[80];

				snprintf(key, sizeof(key), "bits=%d correction=ls scale=%s", key_bits, value_bits % 3 ? "bf16" : "f32");
				snprintf(value, sizeof(value), "bits=%d correction=unbiased scale=%s", value_bits, key_bits % 3 ? "f32" : "f16");
				kv_check(key, value, d, 2, 2 * (size_t)(1 + key_bits % 4), 64, 1 + value_bits % 2, 300, 1.0f, vd > 256 ? 256 : vd);
			}
	for (size_t d : { 64, 96, 128, 256 })
		kv_check("bits=8 scale=bf16", "bits=8 correction=unbiased scale=bf16", d, 2, 8, 64, 1, 400, 2.0f);
	for (size_t d : { 64, 128 })
		for (const char *s : { "bits=1 correction=ls", "bits=2", "bits=3", "bits=4" })
			kv_check(s, "bits=1 correction=unbiased scale=f16", d, 2, 8, 64, 1, 200, 1.0f);
	/* sizes between: of own kernels, of bytes, of those for any bits, and keys and values apart */
	for (size_t d : { 16, 40, 72, 80, 112, 136, 200, 248 })
		for (const char *s : { "bits=2", "bits=3 scale=f16", "bits=4 correction=ls scale=bf16", "bits=6", "bits=8" }) {
			kv_check(s, s, d, 2, 8, 64, 1 + d % 3, 300, 1.0f);
			kv_check(s, "bits=4 correction=ls", d, 2, 6, 32, 1, 200, 1.0f, 264 - d);
		}
	kv_check("bits=4 correction=ls", "bits=4 correction=ls", 80, 2, 8, 64, 1, 20000, 1.0f);
	kv_check("bits=4 scale=bf16", "bits=4 scale=bf16", 192, 2, 8, 64, 1, 400, 1.0f, 128);
	kv_check("bits=8 scale=bf16", "bits=8 correction=unbiased scale=bf16", 128, 2, 8, 64, 1, 40000, 1.0f);
	kv_check("bits=4 correction=ls", "bits=4 correction=ls", 128, 2, 8, 64, 1, 40000, 1.0f);
	kv_check("bits=4 correction=ls", "bits=4 correction=ls", 128, 2, 8, 64, 1, 20000, 4.0f);
	kv_check("bits=3 rotation=haar", "bits=3 rotation=givens:3 code=uniform", 128, 1, 4, 128, 1, 3000, 0.1f);
}

/* ---- time ---- */

/* random codes and scales about 1: cheap to make, as slow to read as any */
__global__ static void fill_tiles(uint8_t *x, size_t tiles, unsigned bytes, unsigned scales_at, unsigned key_scale, unsigned value_scale)
{
	for (size_t t = blockIdx.x; t < tiles; t += gridDim.x)
		for (unsigned i = threadIdx.x; i < bytes; i += blockDim.x) {
			uint64_t z = (t * bytes + i + 1) * 0x9e3779b97f4a7c15ull;
			uint8_t v = (uint8_t)((z ^ z >> 29) * 0xbf58476d1ce4e5b9ull >> 56);
			unsigned at = i - scales_at, size = at < 32 * key_scale ? key_scale : value_scale;

			if (i >= scales_at)
				v = at % size == size - 1 ? (size == 4 ? 0x3f : 0x3c) : size == 4 && at % size == 2 ? v | 0x80 : v;
			x[t * bytes + i] = v;
		}
}

static void kv_time(const char *spec, size_t d, size_t nkv, size_t nq, size_t n, size_t longest, size_t per_page,
		    bool raw = false, bool mass = false, const char *values = NULL, size_t vd = 0)
{
	size_t scale = strstr(spec, "scale=f16") ? 2 : 4;
	/* as many copies as make the L2 cold */
	size_t copies = 1 + ((size_t)160 << 20) / (n * longest * nkv * d * 2 * 4 / 8 / 2);
	vd = vd ? vd : d;
	values = values ? values : spec;
	kv_cache c(spec, values, d, nkv, nq, per_page, n, longest, copies > 4 ? 4 : copies, vd);
	unsigned bytes = (unsigned)(c.page / nkv / (per_page / 32));
	uint16_t *query = device<uint16_t>(n * nq * d), *out = device<uint16_t>(n * nq * vd);
	struct tq_device_kv_call call = c.call(1, TQ_BF16, query, out);
	const struct tq_device_kv *kv = raw ? c.raw : c.kv;
	float *masses = device<float>(n * c.pages_each);
	call.raw = c.rows16;
	call.areas = c.areas;
	call.page_mass = mass ? masses : NULL;
	fill_bf16<<<64, 256, 0, stream>>>((uint16_t *)c.rows16, n * tq_device_kv_raw_size(c.raw) / 2, 5);
	uint8_t *scratch = device<uint8_t>(tq_kv_attend_async_scratch(kv, &call));
	std::vector<cudaGraphExec_t> exec(c.copies);
	char what[200];

	fill_tiles<<<8192, 256, 0, stream>>>(c.pages, c.copies * c.table.size() * c.page / bytes, bytes, (unsigned)(bytes - 64 * scale),
					     (unsigned)scale, (unsigned)scale);
	fill_bf16<<<64, 256, 0, stream>>>(query, n * nq * d, 4);
	CK(cudaStreamSynchronize(stream));
	call.scratch = scratch;
	for (size_t i = 0; i < c.copies; i++) {
		cudaGraph_t graph;

		call.pages = c.pages + i * c.table.size() * c.page;
		CK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
		TQ(tq_kv_attend_async(kv, queue, &call));
		CK(cudaStreamEndCapture(stream, &graph));
		CK(cudaGraphInstantiate(&exec[i], graph, 0));
		CK(cudaGraphDestroy(graph));
	}
	snprintf(what, sizeof(what), "attend %zu x %zu, %zu/%zu heads, d=%zu/%zu, pages of %zu, %s, %s%s%s", n, longest, nq, nkv, d, vd, per_page, spec, values,
		 raw ? ", 136 of these in 16 bits" : "", mass ? ", mass of pages" : "");
	line(what, median_ms(15, [&](int i) { CK(cudaGraphLaunch(exec[i % c.copies], stream)); }),
	     (double)n * longest * nkv * bytes / 32 + 2.0 * n * nq * (d + vd));
	for (auto e : exec)
		CK(cudaGraphExecDestroy(e));
	for (void *p : { (void *)query, (void *)out, (void *)scratch, (void *)masses })
		CK(cudaFree(p));
}

/* One token for each of @n sequences */
static void kv_time_append(const char *spec, size_t d, size_t nkv, size_t n, bool raw = false)
{
	const size_t longest = 4096;
	kv_cache c(spec, spec, d, nkv, nkv, 64, n, longest);
	uint16_t *k = device<uint16_t>(n * nkv * d), *v = device<uint16_t>(n * nkv * d);
	std::vector<std::vector<int64_t>> slots(8);
	std::vector<int64_t *> ds;
	char what[200];

	fill_bf16<<<64, 256, 0, stream>>>(k, n * nkv * d, 4);
	fill_bf16<<<64, 256, 0, stream>>>(v, n * nkv * d, 5);
	for (size_t j = 0; j < slots.size(); j++) {
		for (size_t s = 0; s < n; s++)
			slots[j].push_back(c.slot(s, 777 + 131 * j));
		ds.push_back(device<int64_t>(n));
		CK(cudaMemcpy(ds[j], slots[j].data(), n * 8, cudaMemcpyHostToDevice));
	}
	struct tq_device_kv_rows r = { sizeof(r), (uint32_t)n, TQ_BF16, k, nkv * d, v, nkv * d, NULL, c.pages, NULL, NULL, NULL };
	int64_t *places = device<int64_t>(n);
	std::vector<int64_t> hplaces;
	for (size_t s = 0; s < n; s++)
		hplaces.push_back(c.raw_slot(s, 777, 778));
	CK(cudaMemcpy(places, hplaces.data(), n * 8, cudaMemcpyHostToDevice));
	if (raw) {
		r.raw_slots = places;
		r.raw = c.rows16;
	}
	double ms = median_ms(31, [&](int i) {
		r.slots = ds[i % ds.size()];
		TQ(tq_kv_append_async(raw ? c.raw : c.kv, queue, &r));
	});
	snprintf(what, sizeof(what), "append a token for %zu sequences, %zu heads, d=%zu, %s%s", n, nkv, d, spec, raw ? ", and in 16 bits" : "");
	CK(cudaFree(places));
	printf("| %s | %.1f us | | |\n", what, ms * 1e3);
	CK(cudaFree(k));
	CK(cudaFree(v));
	for (auto p : ds)
		CK(cudaFree(p));
}

/* Codes that have no kernel of their own, and sizes that differ */
static void kv_time_wide(void)
{
	const char *four = "bits=4 correction=ls", *eight = "bits=8 correction=ls";

	for (size_t n : { 8, 64 })
		kv_time(eight, 128, 8, 32, n, 32768, 64);
	kv_time(eight, 128, 8, 32, 1, 131072, 64);
	kv_time(eight, 128, 8, 32, 8, 64, 64);
	kv_time(eight, 64, 8, 32, 8, 32768, 64);
	kv_time(eight, 256, 8, 32, 8, 32768, 64);
	kv_time(eight, 128, 8, 32, 8, 32768, 64, false, false, four);
	for (const char *s : { "bits=7 correction=ls", "bits=6 correction=ls", "bits=5 correction=ls", "bits=1 correction=ls" })
		kv_time(s, 128, 8, 32, 8, 32768, 64);
	for (const char *s : { four, "bits=3 correction=ls", "bits=2 correction=ls" })
		kv_time(s, 128, 8, 32, 8, 32768, 64, false, false, "bits=1 correction=ls");
	kv_time("bits=3 correction=ls", 128, 8, 32, 8, 32768, 64, false, false, four);
	kv_time(four, 192, 8, 32, 8, 32768, 64, false, false, four, 128);
	kv_time(four, 128, 8, 32, 8, 32768, 64, false, false, four, 64);
	for (size_t d : { 80, 96, 112, 72 })
		kv_time(four, d, 8, 32, 8, 32768, 64);
}

/* Trellis codes: those of the profiles kv4-fine to kv2-fine first */
static void kv_time_trellis(void)
{
	const char *four = "code=tcq bits=4", *three = "code=tcq bits=3 correction=unbiased", *two = "code=tcq bits=2 correction=unbiased";

	for (size_t n : { 8, 64 }) {
		kv_time("bits=5 effort=1", 128, 8, 32, n, 32768, 64, false, false, three);
		kv_time(four, 128, 8, 32, n, 32768, 64, false, false, two);
		kv_time(three, 128, 8, 32, n, 32768, 64, false, false, "code=tcq bits=1 correction=unbiased");
		kv_time(four, 128, 8, 32, n, 32768, 64);
	}
	kv_time(four, 128, 8, 32, 1, 131072, 64, false, false, two);
	kv_time(three, 128, 8, 32, 8, 32768, 64);
	kv_time(two, 128, 8, 32, 8, 32768, 64);
	kv_time("code=tcq:8 bits=4", 128, 8, 32, 8, 32768, 64);
	kv_time(four, 64, 8, 32, 8, 32768, 64, false, false, two);
	kv_time(four, 256, 8, 32, 8, 32768, 64, false, false, two);
	for (size_t n : { 64, 1, 4096 })
		kv_time_append(four, 128, 8, n);
}

static void kv_time_all(void)
{
	const char *four = "bits=4 correction=ls";

	kv_time(four, 128, 8, 32, 8, 32768, 64);
	kv_time(four, 128, 8, 32, 8, 32768, 64, true);
	kv_time(four, 128, 8, 32, 8, 32768, 64, false, true);
	kv_time(four, 128, 8, 32, 8, 64, 64);
	kv_time(four, 128, 8, 32, 8, 64, 64, true);
	kv_time(four, 128, 8, 32, 64, 32768, 64);
	kv_time(four, 128, 8, 32, 1, 131072, 64);
	kv_time(four, 128, 8, 32, 8, 32768, 32);
	kv_time("bits=4 correction=ls scale=f16", 128, 8, 32, 8, 32768, 64);
	for (const char *s : { "bits=3 correction=ls", "bits=2 correction=ls" }) {
		kv_time(s, 128, 8, 32, 8, 32768, 64);
		kv_time(s, 128, 8, 32, 64, 32768, 64);
		kv_time(s, 128, 8, 32, 1, 131072, 64);
	}
	kv_time_wide();
	kv_time_trellis();
	for (size_t d : { 64, 96, 256 }) {
		kv_time(four, d, 8, 32, 8, 32768, 64);
		kv_time(four, d, 8, 32, 64, 32768 * 64 / d / 2, 64);
	}
	kv_time(four, 128, 8, 64, 8, 32768, 64);
	kv_time(four, 128, 8, 8, 8, 32768, 64);
	kv_time_append(four, 128, 8, 64);
	kv_time_append(four, 128, 8, 64, true);
	kv_time_append(four, 128, 8, 1);
	kv_time_append(four, 128, 8, 4096);
}

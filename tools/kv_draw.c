/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The heat map of tq kv eval: one panel per spec, a row per layer and a column per KV head; the colour is the
 * logarithm of the mean divergence, on one scale for all panels.
 */

#include <math.h>
#include <stdio.h>
#include "cli.h"
#include "kv.h"
#include "svg.h"
#include "vectors.h"

#define LEFT 60
#define TOP 70
#define GAP 40
#define LOWEST (-7.0)
#define HIGHEST 1.0

static double panel_width(const struct kv_dump *d)
{
	return fmax(160, 22.0 * d->kv_heads);
}

static double row_height(const struct kv_dump *d)
{
	return fmax(4, fmin(22, 660.0 / d->layers));
}

/* From white over orange to black */
static void colour_of(double kl, char text[8])
{
	double x = (log10(fmax(kl, 1e-12)) - LOWEST) / (HIGHEST - LOWEST);
	double t = fmin(fmax(x, 0), 1);

	snprintf(text, 8, "#%02x%02x%02x", (unsigned)(255 * fmin(1, 2 - 2 * t)), (unsigned)(255 * (1 - t)),
		 (unsigned)(255 * fmax(0, 1 - 2 * t)));
}

static int draw_panel(struct output *out, const struct kv_dump *d, const struct kv_panel *p, double x)
{
	double w = panel_width(d) / d->kv_heads, h = row_height(d);
	char text[400], colour[8];
	int ret;

	svg_escape(p->title, text, sizeof(text));
	ret = svg_put(out, "<text x=\"%.1f\" y=\"%d\" font-size=\"10\">%s</text>\n", x, TOP - 8, text);
	for (uint32_t layer = 0; layer < d->layers; layer++)
		for (uint32_t head = 0; !ret && head < d->kv_heads; head++) {
			const struct kv_cell *c = &p->cells[(size_t)layer * d->kv_heads + head];

			colour_of(c->kl / c->n, colour);
			ret = svg_put(out,
				      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\">"
				      "<title>layer %u, head %u: %.3g</title></rect>\n",
				      x + w * head, TOP + h * layer, w, h, colour, layer, head, c->kl / c->n);
		}
	return ret;
}

static int draw_scale(struct output *out, double y)
{
	char colour[8];
	int ret = 0;

	for (int e = (int)LOWEST; !ret && e <= (int)HIGHEST; e++) {
		colour_of(pow(10, e), colour);
		ret = svg_put(out,
			      "<rect x=\"%d\" y=\"%.1f\" width=\"44\" height=\"12\" fill=\"%s\" stroke=\"#999\"/>"
			      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"middle\">1e%d</text>\n",
			      LEFT + 44 * (e - (int)LOWEST), y, colour, LEFT + 44 * (e - (int)LOWEST) + 22, y + 25, e);
	}
	return ret;
}

int kv_draw(const char *path, const struct kv_dump *d, const struct kv_panel *panels, size_t n)
{
	double step = panel_width(d) + GAP, height = row_height(d) * d->layers;
	struct output out = {0};
	int ret = output_open(&out, path);

	if (!ret)
		ret = svg_put(&out,
			      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
			      "font-family=\"sans-serif\" font-size=\"11\">\n"
			      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
			      "<text x=\"%d\" y=\"24\" font-size=\"15\">Mean KL divergence of attention by layer (down) and "
			      "KV head (across)</text>\n",
			      fmax(LEFT + step * (double)n, 560), TOP + height + 60, LEFT);
	for (uint32_t layer = 0; !ret && layer < d->layers; layer += d->layers > 40 ? 8 : 1)
		ret = svg_put(&out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%u</text>\n", LEFT - 6,
			      TOP + row_height(d) * (layer + 0.5) + 4, layer);
	for (size_t i = 0; !ret && i < n; i++)
		ret = draw_panel(&out, d, &panels[i], LEFT + step * (double)i);
	if (!ret)
		ret = draw_scale(&out, TOP + height + 18);
	if (!ret)
		ret = svg_put(&out, "</svg>\n");
	if (!ret)
		return output_commit(&out);
	output_abort(&out);
	return ret;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data in host memory through the buffers of two lanes. Rows are copied straight from and to the
 * caller's memory by rectangles, gaps between rows left alone: no staging copy.
 */
#include "stream.h"

#include <stdio.h>
#include <string.h>

static cl_int copy_in(struct tqo_device *dev, struct tqo_lane *l, const struct tqo_job *job)
{
	const size_t origin[3] = {0}, region[3] = {job->in_row, l->rows, 1};
	const uint8_t *from = job->in + l->row0 * job->in_pitch;
	size_t pitch = job->in_pitch, i;

	if (job->ids) {
		for (i = 0; i < l->rows; i++)
			memcpy(l->gather + i * job->in_row, job->in + job->ids[l->row0 + i] * pitch,
			       job->in_row);
		from = l->gather;
		pitch = job->in_row;
	}
	if (pitch == job->in_row || l->rows == 1)
		return dev->api.clEnqueueWriteBuffer(l->queue, l->in, CL_FALSE, 0, l->rows * job->in_row, from,
						     0, NULL, NULL);
	return dev->api.clEnqueueWriteBufferRect(l->queue, l->in, CL_FALSE, origin, origin, region, job->in_row,
						 0, pitch, 0, from, 0, NULL, NULL);
}

static cl_int copy_out(struct tqo_device *dev, struct tqo_lane *l, const struct tqo_job *job)
{
	const size_t origin[3] = {0};
	size_t region[3] = {job->out_row, l->rows, 1};
	uint8_t *to = job->out + l->row0 * job->out_pitch;
	size_t pitch = job->out_pitch;

	if (job->lines) {
		region[0] = l->rows * sizeof(float);
		region[1] = job->lines;
		to = job->out + l->row0 * sizeof(float);
	}
	if (region[1] == 1)
		pitch = region[0];
	return dev->api.clEnqueueReadBufferRect(l->queue, l->out, CL_FALSE, origin, origin, region, region[0], 0,
						pitch, 0, to, 0, NULL, NULL);
}

static cl_int start(struct tqo_device *dev, struct tqo_lane *l, const struct tqo_job *job)
{
	cl_int err = copy_in(dev, l, job);

	if (!err)
		err = job->work(job, l, l->rows);
	if (!err)
		err = copy_out(dev, l, job);
	return err ? err : dev->api.clFlush(l->queue);
}

static int report(const struct tq_host *host, const struct tqo_device *dev, const char *what, cl_int err)
{
	char line[256];

	snprintf(line, sizeof(line), "%s on %s: %s", what, dev->name, tqo_error(err));
	host->log(host, 0, line);
	return TQ_ERR_DEVICE;
}

int tqo_stream(const struct tq_host *host, struct tqo_device *dev, const struct tqo_job *job)
{
	size_t chunk = TQO_LANE_BYTES / job->row_max, row0 = 0;
	cl_int err = CL_SUCCESS, late;
	unsigned turn = 0, i;

	if (tqo_is_forked(dev)) {
		host->log(host, 0, "forked after init");
		return TQ_ERR_DEVICE;
	}
	pthread_mutex_lock(&dev->lock);
	if (job->queries)
		err = dev->api.clEnqueueWriteBuffer(dev->lane[0].queue, dev->queries, CL_TRUE, 0,
						    job->query_bytes, job->queries, 0, NULL, NULL);
	for (; row0 < job->n && !err; turn ^= 1) {
		struct tqo_lane *l = &dev->lane[turn];

		/* A queue is in order, but what it copies from and to must not change under it. */
		if (row0 >= 2 * chunk)
			err = dev->api.clFinish(l->queue);
		if (err)
			break;
		l->row0 = row0;
		l->rows = job->n - row0 < chunk ? job->n - row0 : chunk;
		row0 += l->rows;
		err = start(dev, l, job);
	}
	for (i = 0; i < 2; i++) {
		late = dev->api.clFinish(dev->lane[i].queue);
		err = err ? err : late;
	}
	pthread_mutex_unlock(&dev->lock);
	return err ? report(host, dev, job->what, err) : 0;
}

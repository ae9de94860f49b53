"""Makes tiny translation models for CTranslate2, with random weights and real vocabularies, and
writes CTranslate2's own output for a few sentences. It is meaningless, but the same for every program that
splits, marks and joins the text in the same way.

    tiny_ct2.py FOLDER   writes FOLDER/opus, FOLDER/m2m, FOLDER/madlad and FOLDER/expected.json
"""

import json
import sys
from pathlib import Path

import ctranslate2
import numpy as np
import sentencepiece as spm
from ctranslate2.specs import common_spec, transformer_spec

WIDTH, HEADS, LAYERS, INNER = 32, 4, 1, 64
SENTENCES = ["The weather is fine today.", "Good evening, here is the news."]
CORPUS = [
    f"{who} {does} the {what} {when}."
    for who in ("The minister", "A teacher", "My neighbour", "Good evening, our team")
    for does in ("opens", "reads", "paints", "praises", "is")
    for what in ("old bridge", "weather", "news", "letter", "fine harbour")
    for when in ("today", "at night", "in May", "here")
] + ["El tiempo es bueno hoy.", "Buenas noches, estas son las noticias."] * 8


def fill(spec, rng, vocabulary):
    """Random weights for every tensor of a Transformer, with the original shapes."""

    def linear(place, out, inner):
        place.weight = rng.normal(0, 0.4, (out, inner)).astype(np.float32)
        place.bias = rng.normal(0, 0.1, out).astype(np.float32)

    def norm(place):
        place.gamma, place.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def attention(place, own):
        norm(place.layer_norm)
        linear(place.linear[0], WIDTH * (3 if own else 1), WIDTH)
        if not own:
            linear(place.linear[1], WIDTH * 2, WIDTH)
        linear(place.linear[-1], WIDTH, WIDTH)

    def positions(place):
        place.encodings = rng.normal(0, 1, (600, WIDTH)).astype(np.float32)

    table = rng.normal(0, 1, (vocabulary, WIDTH)).astype(np.float32)
    spec.encoder.embeddings[0].weight = table
    spec.decoder.embeddings.weight = table
    spec.decoder.projection.weight = rng.normal(0, 1, (vocabulary, WIDTH)).astype(np.float32)
    # Favours an early end, and never produces tokens that are no words.
    spec.decoder.projection.bias = np.zeros(vocabulary, np.float32)
    spec.decoder.projection.bias[:4] = [-99, -99, 4, -99]
    for side in (spec.encoder, spec.decoder):
        positions(side.position_encodings)
        if hasattr(side, "layer_norm"):
            norm(side.layer_norm)
        for layer in side.layer:
            attention(layer.self_attention, True)
            if side is spec.decoder:
                attention(layer.attention, False)
            norm(layer.ffn.layer_norm)
            linear(layer.ffn.linear_0, INNER, WIDTH)
            linear(layer.ffn.linear_1, WIDTH, INNER)


def pieces(folder, name, languages, seed):
    prefix = folder / name.removesuffix(".model").removesuffix(".spm")
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS[seed:]), model_prefix=str(prefix), vocab_size=120,
        hard_vocab_limit=False, user_defined_symbols=languages, minloglevel=2,
    )  # fmt: skip
    (folder / f"{prefix.name}.vocab").unlink()
    (folder / f"{prefix.name}.model").rename(folder / name)
    return spm.SentencePieceProcessor(str(folder / name))


def make(folder, files, marks, symbols, seed):
    """A model of a family: the names of its SentencePiece files, its words for languages, and whether
    these are pieces of the text."""
    folder.mkdir(parents=True)
    split = [pieces(folder, name, symbols, n) for n, name in enumerate(files)]
    words = ["<s>", "<pad>", "</s>", "<unk>", *marks]
    for one in split:
        words += [w for w in map(one.id_to_piece, range(len(one))) if w not in words]
    spec = transformer_spec.TransformerSpec.from_config(
        LAYERS, HEADS, pre_norm=True, activation=common_spec.Activation.RELU
    )
    fill(spec, np.random.default_rng(seed), len(words))
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.decoder_start_token = "<pad>"
    spec.config.add_source_eos = False
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(folder))
    return split[0], split[-1]


def say(folder, split, join, before, target):
    """CTranslate2's output for the sentences, with `before` in front of the text."""
    translator = ctranslate2.Translator(str(folder), intra_threads=1)
    out = []
    for sentence in SENTENCES:
        text = before + sentence if before.startswith("<2") else sentence
        marks = [before] if before and not before.startswith("<2") else []
        found = split.encode(text, out_type=str)
        prefix = [[target]] if target else None
        result = translator.translate_batch(
            [[*marks, *found, "</s>"]], target_prefix=prefix, beam_size=2,
            max_decoding_length=3 * len(found) + 16,
        )  # fmt: skip
        best = [p for p in result[0].hypotheses[0] if p not in (target, "</s>")]
        out.append(join.decode(best))
    return out


def main(out):
    out = Path(out)
    expected = {"sentences": SENTENCES}
    for name, files, marks, symbols, before, target in [
        ("opus", ["source.spm", "target.spm"], [">>spa<<"], [], ">>spa<<", None),
        ("m2m", ["sentencepiece.bpe.model"], ["__en__", "__es__"], [], "__en__", "__es__"),
        ("madlad", ["sentencepiece.model"], [], ["<2es>", "<2fr>"], "<2es> ", None),
    ]:
        split, join = make(out / name, files, marks, symbols, sum(name.encode()))
        expected[name] = say(out / name, split, join, before, target)
    (out / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main(sys.argv[1])

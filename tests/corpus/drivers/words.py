"""A tokenizer made in code, small language models that go with it, and sentences to train on."""

import random

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SUBJECTS = ["cats", "dogs", "birds", "fish", "ships", "trains", "planes", "cars"]
VERBS = ["see", "like", "follow", "hear", "pass", "meet"]
PLACES = ["here", "there", "today", "often", "at night", "in spring"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = SUBJECTS + VERBS + " ".join(PLACES).split() + ["do", "not", "?", "yes", "no", "."]


def tokenizer(sides=True):
    """Words as tokens; with `sides`, sentences begin and end with tokens of their own, as encoders want them."""
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(dict.fromkeys(SPECIAL + WORDS))}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if sides:
        made.post_processor = processors.TemplateProcessing(
            "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
        )
    kinds = ["token_type_ids"] if sides else []
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_input_names=["input_ids", "attention_mask", *kinds],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        model_max_length=64,
    )


def sentence(subject=None):
    return f"{subject or random.choice(SUBJECTS)} {random.choice(VERBS)} {random.choice(SUBJECTS)} {random.choice(PLACES)} ."


def llama(width=32, layers=2, dropout=0.0, **more):
    """The configuration of a small decoder."""
    return transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        attention_dropout=dropout,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        **more,
    )


def bert(width=32, layers=2, dropout=0.1, **more):
    """The configuration of a small encoder."""
    return transformers.BertConfig(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=128,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        **more,
    )

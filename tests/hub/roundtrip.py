"""transformers, PEFT and datasets against the hub that `HF_ENDPOINT` names; run by test_libraries.py in a process.

Everything is pushed with the library's own call, and read back with it into an empty cache.
"""

import torch
from datasets import Dataset, load_dataset
from huggingface_hub import HfApi
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

MODEL, ADAPTER, DATA = "tester/tiny", "tester/tiny-adapter", "tester/tiny-data"

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
)
model = AutoModelForCausalLM.from_config(config)
words = Tokenizer(models.WordLevel({"hello": 0, "world": 1, "?": 2}, unk_token="?"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
prompt = tokenizer("world hello", return_tensors="pt")["input_ids"]


def logits(of: torch.nn.Module) -> torch.Tensor:
    """What a model says to the prompt."""
    with torch.no_grad():
        return of(prompt).logits


expected = logits(model)
model.push_to_hub(MODEL)
tokenizer.push_to_hub(MODEL)
assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(MODEL)), expected)
assert AutoTokenizer.from_pretrained(MODEL)("world hello")["input_ids"] == [1, 0]

adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
assert not torch.equal(logits(adapted), expected)
adapted.push_to_hub(ADAPTER)
back = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(MODEL), ADAPTER)
assert torch.equal(logits(back), logits(adapted))

rows = [{"prompt": f"question {number}", "completion": f"answer {number}"} for number in range(5)]
Dataset.from_list(rows).push_to_hub(DATA)
assert load_dataset(DATA, split="train").to_list() == rows

lines = b'{"prompt": "a", "completion": "b"}\n'
api = HfApi()
api.create_repo(DATA + "-lines", repo_type="dataset")
for split in ("train", "validation"):
    api.upload_file(path_or_fileobj=lines, path_in_repo=f"{split}.jsonl", repo_id=DATA + "-lines", repo_type="dataset")
loaded = load_dataset(DATA + "-lines")
assert {split: loaded[split].to_list() for split in loaded} == {
    split: [{"prompt": "a", "completion": "b"}] for split in ("train", "validation")
}

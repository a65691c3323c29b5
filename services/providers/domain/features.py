"""What can be said to providers, by the names that an adapter's `supports` has: the columns of docs/providers.md."""

from __future__ import annotations

from collections.abc import Mapping

GROUPS: Mapping[str, Mapping[str, str]] = {
    "What is asked": {
        "chat": "a question in text, and its answer",
        "stream": "the answer as it comes",
        "system": "system prompts",
        "developer": "messages of the developer, apart from the system's",
        "vision": "pictures",
        "audio_in": "sound",
        "files": "documents",
        "cache_control": "marks of what is to be cached",
    },
    "Tools, and the shape of an answer": {
        "tools": "tools of one's own, and their answers",
        "parallel_tools": "several calls at once, or not, as the client says",
        "tool_choice": "that a tool must be called, or which",
        "json_object": "an answer in JSON",
        "json_schema": "an answer in JSON by a schema",
        "prediction": "the answer that is expected",
    },
    "How it is answered": {
        "n": "several answers at once",
        "seed": "a seed",
        "stop": "stop sequences",
        "top_k": "a limit of candidates for a token",
        "penalties": "frequency and presence penalties",
        "logit_bias": "a bias for tokens",
        "logprobs": "log probabilities",
        "service_tier": "service tiers",
    },
    "What comes back": {
        "reasoning": "how much is thought, and the thinking where it is shown",
        "reasoning_proof": "earlier thinking sent back with its proof",
        "citations": "citations",
        "audio_out": "sound",
    },
    "Beside chat": {
        "embeddings": "embeddings",
        "count": "tokens counted by the provider",
        "images": "pictures made",
        "speech": "texts spoken",
        "transcription": "speech written down",
        "moderation": "moderation",
        "rerank": "documents ranked",
    },
}
"""By what they are about."""

FEATURES: Mapping[str, str] = {name: about for group in GROUPS.values() for name, about in group.items()}

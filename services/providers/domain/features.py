"""What can be said to providers, by the names that an adapter's `supports` has: the columns of docs/providers.md."""

from __future__ import annotations

from collections.abc import Mapping

FEATURES: Mapping[str, str] = {
    "chat": "questions and answers in text",
    "stream": "answers as they come",
    "system": "system prompts",
    "developer": "messages of the developer, apart from the system's",
    "tools": "tools of one's own, and their answers",
    "parallel_tools": "several calls at once, or not, as the client says",
    "tool_choice": "that a tool must be called, or which",
    "vision": "pictures",
    "audio_in": "sound in a question",
    "audio_out": "sound in an answer",
    "files": "documents",
    "json_object": "an answer in JSON",
    "json_schema": "an answer in JSON by a schema",
    "reasoning": "how much is thought, and the thinking shown",
    "reasoning_proof": "earlier thinking sent back with its proof",
    "logprobs": "log probabilities",
    "n": "several answers at once",
    "seed": "a seed",
    "stop": "stop sequences",
    "top_k": "a limit of candidates for a token",
    "penalties": "frequency and presence penalties",
    "logit_bias": "a bias for tokens",
    "service_tier": "service tiers",
    "prediction": "a predicted answer",
    "cache_control": "marks of what is to be cached",
    "citations": "citations in an answer",
    "embeddings": "embeddings",
    "count": "tokens counted by the provider",
    "images": "pictures made, passing through",
    "speech": "speech, passing through",
    "transcription": "transcripts, passing through",
    "moderation": "moderation, passing through",
    "rerank": "reranking, passing through",
}

"""Streams a completion over gRPC: python examples/stream_completion.py "Tell me a story" [MODEL] [ADDRESS]"""

import asyncio
import sys

import grpc

from tollway.chat.v1 import chat_pb2
from tollway.router.v1 import router_pb2, router_pb2_grpc


async def main(question: str, model: str = "sim", address: str = "127.0.0.1:50051") -> None:
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text=question)])
    chat = chat_pb2.ChatRequest(model=model, messages=[message])
    async with grpc.aio.insecure_channel(address) as channel:
        router = router_pb2_grpc.RouterServiceStub(channel)
        async for part in router.StreamChatCompletion(router_pb2.StreamChatCompletionRequest(chat=chat), timeout=60):
            print("".join(delta.text for delta in part.chunk.deltas), end="", flush=True)
    print(f"\n[{part.receipt.deployment}, {part.receipt.cost_nanos / 1e9} USD, trace {part.receipt.trace_id}]")


asyncio.run(main(*sys.argv[1:]))

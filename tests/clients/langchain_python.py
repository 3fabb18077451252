"""LangChain's OpenAI client against `diogenes serve`; run by run.sh."""

import asyncio
import sys
import traceback

from langchain_openai import ChatOpenAI

# One for all: LangChain keeps its connections from one client to the next.
loop = asyncio.new_event_loop()


def cold_plain():
    assert ChatOpenAI(model="plain-lc").invoke("Hello!").content


def cold_stream():
    stream = ChatOpenAI(model="stream-lc").stream("Hello!")
    assert "Hello" in "".join(chunk.content for chunk in stream)


async def text_of(model):
    chat = ChatOpenAI(model=model, stream_chunk_timeout=3, max_retries=0)
    return "".join([chunk.content async for chunk in chat.astream("Hello!")])


def cold_async_stream():
    """The boot outlasts the timeout between two events; the empty ones bridge it."""
    assert "Hello" in loop.run_until_complete(text_of("events-lc"))


def comments_do_not_bridge_a_boot():
    """If they did, empty events would not be needed, and the test above would prove nothing."""
    try:
        loop.run_until_complete(text_of("comments-lc"))
    except TimeoutError:
        pass
    else:
        raise AssertionError("no error")


TESTS = [
    cold_plain,
    cold_stream,
    cold_async_stream,
    comments_do_not_bridge_a_boot,
]

failed = 0
for test in TESTS:
    try:
        test()
        print(f"ok      {test.__name__}")
    except Exception:
        failed += 1
        print(f"FAILED  {test.__name__}")
        traceback.print_exc()
print(f"{len(TESTS) - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)

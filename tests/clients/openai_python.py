"""OpenAI's Python client against `diogenes serve`; run by run.sh."""

import sys
import traceback

import openai

client = openai.OpenAI(timeout=60)
HELLO = [{"role": "user", "content": "Hello!"}]


def text_of(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def cold_stream():
    stream = client.chat.completions.create(model="stream-py", messages=HELLO, stream=True)
    assert "Hello" in text_of(stream)


def warm_stream_with_usage():
    stream = client.chat.completions.create(
        model="stream-py", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    last = list(stream)[-1]
    assert last.usage.completion_tokens > 0


def cold_plain():
    answer = client.chat.completions.with_raw_response.create(model="plain-py", messages=HELLO)
    assert float(answer.headers["x-diogenes-cold-start-ms"]) >= 700
    assert answer.parse().choices[0].message.content


def embeddings():
    answer = client.embeddings.create(model="plain-py", input=["a", "b"])
    assert len(answer.data) == 2 and len(answer.data[0].embedding) > 1


def responses():
    answer = client.responses.create(model="plain-py", input="Hello!")
    assert answer.output_text
    with client.responses.stream(model="plain-py", input="Hello!") as stream:
        kinds = [event.type for event in stream]
    assert kinds[-1] == "response.completed", kinds


def models():
    assert "plain-py" in [model.id for model in client.models.list()]
    assert client.models.retrieve("plain-py").owned_by == "diogenes"


def unknown_model():
    try:
        client.chat.completions.create(model="plain-pi", messages=HELLO)
    except openai.NotFoundError as error:
        assert error.code == "model_not_found" and "did you mean" in error.message
    else:
        raise AssertionError("no error")


def wrong_key():
    try:
        client.with_options(api_key="dg_wrong").models.list()
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"
    else:
        raise AssertionError("no error")


def retry_on_503():
    """The client waits for `Retry-After` and asks again, until the model is warm."""
    patient = client.with_options(max_retries=5)
    assert patient.chat.completions.create(model="reject-py", messages=HELLO).choices


def retry_on_a_failing_replica():
    assert client.chat.completions.create(model="flaky-py", messages=HELLO).choices


def cut_stream_is_an_error():
    stream = client.chat.completions.create(model="cut-py", messages=HELLO, stream=True)
    try:
        list(stream)
    except openai.APIError as error:
        assert error.code == "upstream_cut", error
    else:
        raise AssertionError("a cut stream passed for a whole one")


def failed_start():
    try:
        client.with_options(max_retries=0).chat.completions.create(model="broken-py", messages=HELLO)
    except openai.InternalServerError as error:
        assert error.code == "model_failed_exited" and "code 3" in error.message, error
    else:
        raise AssertionError("no error")


TESTS = [
    cold_stream,
    warm_stream_with_usage,
    cold_plain,
    embeddings,
    responses,
    models,
    unknown_model,
    wrong_key,
    retry_on_503,
    retry_on_a_failing_replica,
    cut_stream_is_an_error,
    failed_start,
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

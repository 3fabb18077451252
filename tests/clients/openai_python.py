"""OpenAI's Python client against `diogenes serve`; run by run.sh."""

import array
import hashlib
import io
import json
import sys
import time
import traceback
import wave

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


def sound():
    """A second of silence and noise as a WAV file, and what the mock says of it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(16000)
        written.writeframes(array.array("h", [(7919 * at) % 65536 - 32768 for at in range(16000)]).tobytes())
    content = file.getvalue()
    return ("a file.wav", content), f"{len(content)} bytes with the sum {sum(content)}"


def transcription():
    file, heard = sound()
    ask = lambda **more: client.audio.transcriptions.create(model="plain-py", file=file, language="de", **more)
    answer = ask()
    assert heard in answer.text and "in de" in answer.text, answer
    assert heard in ask(response_format="text")
    assert ask(response_format="verbose_json").language == "de"
    assert heard in client.audio.translations.create(model="plain-py", file=file).text


def streamed_transcription():
    """vLLM's events, which the client takes as they are."""
    file, heard = sound()
    stream = client.audio.transcriptions.create(model="stream-py", file=file, stream=True)
    text = "".join(event.choices[0]["delta"]["content"] for event in stream)
    assert heard in text, text


def images():
    answer = client.images.generate(model="plain-py", prompt="a barrel", n=2)
    assert len(answer.data) == 2 and answer.data[0].b64_json
    (_, content), heard = sound()
    edited = client.images.edit(model="plain-py", prompt="a lamp", image=[("a.png", content, "image/png")])
    assert heard in edited.data[0].revised_prompt, edited.data[0]


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


def batch():
    """From a model that sleeps to the answers, with everything that the client has for it."""

    def line(number):
        body = {"model": "batch-py", "max_tokens": 4, "messages": HELLO}
        request = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(request).encode() + b"\n"

    content = b"".join(line(number) for number in range(30))
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert file.bytes == len(content) and file.status == "processed", file
    made = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"run": "clients"},
    )
    deadline = time.monotonic() + 60
    while (made := client.batches.retrieve(made.id)).status != "completed":
        assert made.status in ("validating", "in_progress", "finalizing"), made
        assert time.monotonic() < deadline, made
        time.sleep(0.2)
    counts = made.request_counts
    assert (counts.total, counts.completed, counts.failed) == (30, 30, 0), made
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 0, made
    answers = client.files.content(made.output_file_id).text.splitlines()
    answers = [json.loads(answer) for answer in answers]
    assert [answer["custom_id"] for answer in answers] == [f"r{number}" for number in range(30)]
    assert all(answer["response"]["status_code"] == 200 for answer in answers)
    assert made.id in [one.id for one in client.batches.list(limit=1)]
    try:
        client.batches.cancel(made.id)
    except openai.ConflictError as error:
        assert "completed" in error.message, error
    else:
        raise AssertionError("a batch that had ended was cancelled")
    assert client.files.delete(file.id).deleted


def upload_in_parts():
    content = b"0123456789" * 1_000_000
    upload = client.uploads.upload_file_chunked(
        file=content,
        filename="big.jsonl",
        bytes=len(content),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=4 << 20,
        md5=hashlib.md5(content).hexdigest(),
    )
    assert upload.status == "completed" and upload.file.bytes == len(content), upload
    assert client.files.content(upload.file.id).read() == content
    assert upload.file.id in [file.id for file in client.files.list(purpose="batch")]


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
    transcription,
    streamed_transcription,
    images,
    models,
    unknown_model,
    wrong_key,
    retry_on_503,
    retry_on_a_failing_replica,
    cut_stream_is_an_error,
    batch,
    upload_in_parts,
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

"""Anthropic's official client against `diogenes serve`; run by run.sh."""

import os
import sys
import traceback

import anthropic

client = anthropic.Anthropic()
QUESTION = {"max_tokens": 16, "messages": [{"role": "user", "content": "Hello!"}]}


def cold_stream():
    with client.messages.stream(model="stream-an", **QUESTION) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text and message.content[0].text == text
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0


def cold_plain():
    message = client.messages.create(model="plain-an", system="Be brief.", **QUESTION)
    assert message.type == "message" and message.content[0].text
    assert message.usage.output_tokens > 0


def events_come_in_order():
    events = list(client.messages.create(model="plain-an", stream=True, **QUESTION))
    kinds = [event.type for event in events if event.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"], kinds
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], kinds


def with_a_bearer_token():
    key = os.environ["ANTHROPIC_API_KEY"]
    bearer = anthropic.Anthropic(auth_token=key, api_key=None)
    assert bearer.messages.create(model="plain-an", **QUESTION).content


def flaky_is_retried():
    assert client.messages.create(model="flaky-an", **QUESTION).content


def a_cut_stream_raises():
    try:
        with client.messages.stream(model="cut-an", **QUESTION) as stream:
            "".join(stream.text_stream)
    except anthropic.APIError as error:
        assert "before it was complete" in str(error), error
    else:
        raise AssertionError("no error")


def tokens_are_counted_while_it_runs():
    cold_plain()
    count = client.messages.count_tokens(model="plain-an", messages=QUESTION["messages"])
    assert count.input_tokens > 0


def models_are_listed():
    names = [model.id for model in client.models.list()]
    assert "plain-an" in names
    assert client.models.retrieve("plain-an").display_name == "plain-an"


def an_unknown_model_is_not_found():
    try:
        client.messages.create(model="nobody", **QUESTION)
    except anthropic.NotFoundError as error:
        assert error.body["error"]["type"] == "not_found_error", error.body
    else:
        raise AssertionError("no error")


def a_wrong_key_is_refused():
    try:
        anthropic.Anthropic(api_key="wrong").messages.create(model="plain-an", **QUESTION)
    except anthropic.AuthenticationError:
        pass
    else:
        raise AssertionError("no error")


def what_a_model_cannot_do_names_the_field():
    try:
        client.messages.create(model="plain-an", extra_body={"mcp_servers": [{}]}, **QUESTION)
    except anthropic.BadRequestError as error:
        assert "mcp_servers" in str(error), error
    else:
        raise AssertionError("no error")


TESTS = [
    cold_stream,
    cold_plain,
    events_come_in_order,
    with_a_bearer_token,
    flaky_is_retried,
    a_cut_stream_raises,
    tokens_are_counted_while_it_runs,
    models_are_listed,
    an_unknown_model_is_not_found,
    a_wrong_key_is_refused,
    what_a_model_cannot_do_names_the_field,
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

// Anthropic's JavaScript client against `diogenes serve`; run by run.sh.

import assert from "node:assert/strict";
import test from "node:test";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ timeout: 60_000 });
const question = { max_tokens: 16, messages: [{ role: "user", content: "Hello!" }] };

test("cold stream", async () => {
  const stream = client.messages.stream({ model: "stream-aj", ...question });
  let text = "";
  stream.on("text", (piece) => (text += piece));
  const message = await stream.finalMessage();
  assert.ok(text && message.content[0].text === text);
  assert.ok(["end_turn", "max_tokens"].includes(message.stop_reason));
  assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
});

test("cold plain call", async () => {
  const message = await client.messages.create({ model: "plain-aj", system: "Be brief.", ...question });
  assert.ok(message.type === "message" && message.content[0].text);
});

test("events come in order", async () => {
  const kinds = [];
  for await (const event of await client.messages.create({ model: "plain-aj", stream: true, ...question })) {
    if (event.type !== "ping") kinds.push(event.type);
  }
  assert.deepEqual(kinds.slice(0, 2), ["message_start", "content_block_start"]);
  assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
});

test("a bearer token", async () => {
  const bearer = new Anthropic({ authToken: process.env.ANTHROPIC_API_KEY, apiKey: null });
  assert.ok((await bearer.messages.create({ model: "plain-aj", ...question })).content.length);
});

test("a failing replica is asked again", async () => {
  assert.ok((await client.messages.create({ model: "flaky-aj", ...question })).content.length);
});

test("a cut stream is an error", async () => {
  await assert.rejects(
    client.messages.stream({ model: "cut-aj", ...question }).finalMessage(),
    (error) => error instanceof Anthropic.APIError && /before it was complete/.test(error.message),
  );
});

test("tokens are counted", async () => {
  const count = await client.messages.countTokens({ model: "plain-aj", messages: question.messages });
  assert.ok(count.input_tokens > 0);
});

test("models are listed", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("plain-aj"));
});

test("an unknown model is not found", async () => {
  await assert.rejects(
    client.messages.create({ model: "nobody", ...question }),
    (error) => error instanceof Anthropic.NotFoundError && error.error.error.type === "not_found_error",
  );
});

test("what a model cannot do names the field", async () => {
  await assert.rejects(
    client.messages.create({ model: "plain-aj", mcp_servers: [{}], ...question }),
    (error) => error instanceof Anthropic.BadRequestError && /mcp_servers/.test(error.message),
  );
});

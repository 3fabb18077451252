// OpenAI's JavaScript client against `diogenes serve`; run by run.sh.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ timeout: 60_000 });
const messages = [{ role: "user", content: "Hello!" }];

async function textOf(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  return text;
}

test("cold stream", async () => {
  const stream = await client.chat.completions.create({ model: "stream-js", messages, stream: true });
  assert.match(await textOf(stream), /Hello/);
});

test("warm stream", async () => {
  const stream = await client.chat.completions.create({ model: "stream-js", messages, stream: true });
  assert.match(await textOf(stream), /Hello/);
});

test("cold plain call", async () => {
  const { data, response } = await client.chat.completions.create({ model: "plain-js", messages }).withResponse();
  assert.ok(Number(response.headers.get("x-diogenes-cold-start-ms")) >= 700);
  assert.ok(data.choices[0].message.content);
});

test("embeddings", async () => {
  const answer = await client.embeddings.create({ model: "plain-js", input: ["a", "b"] });
  assert.equal(answer.data.length, 2);
});

test("responses", async () => {
  const answer = await client.responses.create({ model: "plain-js", input: "Hello!" });
  assert.ok(answer.output_text);
});

test("a transcription", async () => {
  const content = Uint8Array.from({ length: 5000 }, (_, at) => (at * 31) % 256);
  const sum = content.reduce((sum, byte) => sum + byte, 0);
  const file = await toFile(content, "a.wav");
  const answer = await client.audio.transcriptions.create({ model: "plain-js", file });
  assert.match(answer.text, new RegExp(`5000 bytes with the sum ${sum} `));
});

test("an unknown model is a 404 with a hint", async () => {
  await assert.rejects(
    client.chat.completions.create({ model: "plain-jz", messages }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && /did you mean/.test(error.message),
  );
});

test("a wrong key is a 401", async () => {
  const other = new OpenAI({ apiKey: "dg_wrong" });
  await assert.rejects(other.models.list(), (error) => error instanceof OpenAI.AuthenticationError);
});

test("503 is retried until the model is warm", async () => {
  const patient = new OpenAI({ maxRetries: 5 });
  const answer = await patient.chat.completions.create({ model: "reject-js", messages });
  assert.ok(answer.choices.length);
});

test("a failing replica is asked again", async () => {
  const answer = await client.chat.completions.create({ model: "flaky-js", messages });
  assert.ok(answer.choices.length);
});

test("a cut stream is an error", async () => {
  const stream = await client.chat.completions.create({ model: "cut-js", messages, stream: true });
  await assert.rejects(textOf(stream), (error) => error.code === "upstream_cut");
});

test("a batch", async () => {
  const line = (number) =>
    JSON.stringify({
      custom_id: `r${number}`,
      method: "POST",
      url: "/v1/chat/completions",
      body: { model: "batch-js", max_tokens: 4, messages },
    });
  const content = Array.from({ length: 20 }, (_, number) => line(number)).join("\n");
  const file = await client.files.create({ file: await toFile(Buffer.from(content), "in.jsonl"), purpose: "batch" });
  let batch = await client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  });
  const deadline = Date.now() + 60_000;
  while (batch.status !== "completed") {
    assert.ok(["validating", "in_progress", "finalizing"].includes(batch.status), JSON.stringify(batch));
    assert.ok(Date.now() < deadline, JSON.stringify(batch));
    await new Promise((done) => setTimeout(done, 200));
    batch = await client.batches.retrieve(batch.id);
  }
  assert.equal(batch.request_counts.completed, 20);
  const output = await (await client.files.content(batch.output_file_id)).text();
  assert.equal(output.trimEnd().split("\n").length, 20);
  const listed = [];
  for await (const one of client.batches.list({ limit: 1 })) listed.push(one.id);
  assert.ok(listed.includes(batch.id));
});

test("a failed start says why", async () => {
  const hasty = new OpenAI({ maxRetries: 0 });
  await assert.rejects(
    hasty.chat.completions.create({ model: "broken-js", messages }),
    (error) => error.code === "model_failed_exited" && /code 3/.test(error.message),
  );
});

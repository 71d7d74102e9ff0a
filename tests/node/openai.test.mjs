// The npm package `openai` against a running server; tests/e2e/test_serve_node.py starts it and names it in the environment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';

const { SQUISH_BASE, SQUISH_KEY, SQUISH_MODEL: model } = process.env;
const client = new OpenAI({ baseURL: `${SQUISH_BASE}/v1`, apiKey: SQUISH_KEY, maxRetries: 0, timeout: 120_000 });
const messages = [{ role: 'user', content: 'Name the capital of France.' }];
const greedy = { model, temperature: 0, max_tokens: 10 };
const ask = (fields = {}) => client.chat.completions.create({ ...greedy, messages, ...fields });
const person = {
  type: 'object',
  properties: { color: { enum: ['red', 'green'] }, count: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['color', 'count'],
  additionalProperties: false,
};

async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

test('models are listed and found, and one that is not here is a NotFoundError', async () => {
  const listed = await all(client.models.list());
  assert.deepEqual(listed.map((each) => each.id), [model]);
  assert.equal((await client.models.retrieve(model)).id, model);
  await assert.rejects(client.models.retrieve('nowhere'), (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
});

test('a chat streams what it answers at once, with usage when asked for', async () => {
  const whole = await ask();
  assert.match(whole.choices[0].message.content, /Paris/);
  const parts = await all(await ask({ stream: true, stream_options: { include_usage: true } }));
  const last = parts.pop();
  assert.equal(parts.map((part) => part.choices[0].delta.content ?? '').join(''), whole.choices[0].message.content);
  assert.equal(parts.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
  assert.equal(last.usage.completion_tokens, whole.usage.completion_tokens);
});

test('the stream helper puts the answer together', async () => {
  const stream = client.chat.completions.stream({ ...greedy, messages });
  let told = '';
  stream.on('content', (delta) => (told += delta));
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, told);
  assert.equal(told, (await ask()).choices[0].message.content);
});

test('seed, n, stop and logprobs hold, streamed or not', async () => {
  const fields = { n: 2, seed: 7, temperature: 1.2, logprobs: true, top_logprobs: 2, max_tokens: 4 };
  const one = await ask(fields);
  const two = await ask(fields);
  assert.equal(one.choices.length, 2);
  assert.deepEqual(one.choices, two.choices);
  assert.equal(one.choices[0].logprobs.content.length, 4);
  assert.equal(one.choices[0].logprobs.content[0].top_logprobs.length, 2);
  const said = ['', ''];
  for (const part of await all(await ask({ ...fields, stream: true }))) {
    for (const choice of part.choices) said[choice.index] += choice.delta.content ?? '';
  }
  assert.deepEqual(said, one.choices.map((choice) => choice.message.content));
  const cut = await ask({ stop: ['Paris'] });
  assert.ok(!cut.choices[0].message.content.includes('Paris'));
  assert.equal(cut.choices[0].finish_reason, 'stop');
});

test('an answer with a schema parses and validates', async () => {
  const response_format = { type: 'json_schema', json_schema: { name: 'thing', strict: true, schema: person } };
  const answer = await client.chat.completions.parse({ ...greedy, messages, max_tokens: 60, response_format });
  const value = JSON.parse(answer.choices[0].message.content);
  assert.ok(['red', 'green'].includes(value.color) && Number.isInteger(value.count));
  const parts = await all(await ask({ max_tokens: 60, response_format, stream: true }));
  assert.deepEqual(JSON.parse(parts.map((part) => part.choices[0].delta.content ?? '').join('')), value);
  await assert.rejects(
    ask({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'array', uniqueItems: true } } } }),
    (error) => error instanceof OpenAI.BadRequestError && /uniqueItems/.test(error.message));
});

test('runTools calls a function of this program and goes on with its result', async () => {
  const calls = [];
  const parse = (text) => JSON.parse(text);
  const paint = { name: 'paint', description: 'Paints things.', parameters: person, parse, function: (fields) => (calls.push(fields), 'painted') };
  const runner = client.chat.completions.runTools(
    { ...greedy, messages, max_tokens: 60, parallel_tool_calls: false, tools: [{ type: 'function', function: paint }],
      tool_choice: { type: 'function', function: { name: 'paint' } } });
  await runner.done();
  assert.equal(calls.length, 1);
  assert.ok(['red', 'green'].includes(calls[0].color));
});

test('a tool call streams in pieces', async () => {
  const tools = [{ type: 'function', function: { name: 'paint', parameters: person } }];
  const fields = { tools, tool_choice: 'required', max_tokens: 60, parallel_tool_calls: false };
  const whole = await ask(fields);
  const [call] = whole.choices[0].message.tool_calls;
  assert.equal(whole.choices[0].finish_reason, 'tool_calls');
  const pieces = (await all(await ask({ ...fields, stream: true }))).flatMap((part) => part.choices[0].delta.tool_calls ?? []);
  assert.equal(pieces[0].function.name, 'paint');
  assert.deepEqual(JSON.parse(pieces.map((piece) => piece.function.arguments).join('')), JSON.parse(call.function.arguments));
});

test('completions take lists, echo and logprobs, and stream', async () => {
  const fields = { model, prompt: 'Once upon a time', temperature: 0, max_tokens: 4 };
  const whole = await client.completions.create(fields);
  const parts = await all(await client.completions.create({ ...fields, stream: true }));
  assert.equal(parts.map((part) => part.choices[0].text).join(''), whole.choices[0].text);
  const two = await client.completions.create({ ...fields, prompt: [fields.prompt, 'One, two,'], echo: true, logprobs: 1 });
  assert.equal(two.choices[0].text, fields.prompt + whole.choices[0].text);
  assert.equal(two.choices[1].index, 1);
  assert.equal(two.choices[0].logprobs.token_logprobs[0], null);
});

test('embeddings are the same as base64 (what this client asks for) and as numbers', async () => {
  const input = ['a quick fox', 'a fast fox'];
  const packed = await client.embeddings.create({ model, input });
  const plain = await client.embeddings.create({ model, input, encoding_format: 'float' });
  assert.equal(packed.data.length, 2);
  packed.data[0].embedding.forEach((number, i) => assert.ok(Math.abs(number - plain.data[0].embedding[i]) < 1e-6));
  const short = await client.embeddings.create({ model, input, dimensions: 16 });
  assert.equal(short.data[1].embedding.length, 16);
});

test('responses are answered, streamed, kept, listed and deleted', async () => {
  const fields = { model, input: 'Say hello.', temperature: 0, max_output_tokens: 8 };
  const first = await client.responses.create(fields);
  assert.ok(first.output_text.length > 0);
  const events = await all(await client.responses.create({ ...fields, stream: true }));
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, i) => i));
  const text = events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta).join('');
  assert.equal(text, first.output_text);
  const second = await client.responses.create({ ...fields, input: 'And again.', previous_response_id: first.id });
  assert.ok(second.usage.input_tokens > first.usage.input_tokens);
  assert.equal((await client.responses.retrieve(first.id)).output_text, first.output_text);
  assert.equal((await all(client.responses.inputItems.list(first.id)))[0].role, 'user');
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

test('a conversation remembers', async () => {
  const conversation = await client.conversations.create({ items: [{ type: 'message', role: 'user', content: 'My name is Zoe.' }] });
  await client.responses.create({ model, input: 'Hello.', conversation: conversation.id, max_output_tokens: 2 });
  const items = await all(client.conversations.items.list(conversation.id));
  assert.ok(items.length >= 3);
  await client.conversations.delete(conversation.id);
});

test('a wrong key, a wrong field and a prompt that is too long are errors of their classes', async () => {
  const stranger = new OpenAI({ baseURL: `${SQUISH_BASE}/v1`, apiKey: 'wrong', maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  await assert.rejects(ask({ temperature: 9 }), (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
  await assert.rejects(ask({ messages: [{ role: 'user', content: 'word '.repeat(9000) }] }),
    (error) => error.code === 'context_length_exceeded');
});

test('a stream that is aborted ends the work of the server', async () => {
  const stream = await ask({ stream: true, max_tokens: 4000 });
  for await (const part of stream) {
    if (part.choices[0].delta.content) break;  // leaving the loop aborts the request
  }
  for (let i = 0; ; ++i) {
    const health = await (await fetch(`${SQUISH_BASE}/v1/metrics`, { headers: { Authorization: `Bearer ${SQUISH_KEY}` } })).text();
    if (/^squish_sequences_running 0$/m.test(health)) break;
    assert.ok(i < 100, 'the answer goes on');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

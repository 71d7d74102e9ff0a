// The npm package `ollama` against a running server; tests/e2e/test_serve_node.py starts it and names it in the environment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ollama } from 'ollama';

const { SQUISH_BASE, SQUISH_KEY, SQUISH_MODEL: model } = process.env;
const client = new Ollama({ host: SQUISH_BASE, headers: { Authorization: `Bearer ${SQUISH_KEY}` } });
const messages = [{ role: 'user', content: 'Name the capital of France.' }];
const options = { temperature: 0, num_predict: 10 };
const schema = { type: 'object', properties: { color: { enum: ['red', 'green'] } }, required: ['color'] };

async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

test('version, list, ps and show', async () => {
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+/);
  const listed = await client.list();
  assert.deepEqual(listed.models.map((each) => each.name), [model]);
  assert.equal(listed.models[0].details.family, 'llama');
  await client.generate({ model, prompt: '' });
  assert.equal((await client.ps()).models[0].name, model);
  const shown = await client.show({ model });
  assert.ok(shown.capabilities.includes('completion'));
  assert.equal(shown.model_info['general.architecture'], 'llama');
});

test('a chat streams what it answers at once', async () => {
  const whole = await client.chat({ model, messages, options });
  assert.match(whole.message.content, /Paris/);
  const parts = await all(await client.chat({ model, messages, options, stream: true }));
  assert.equal(parts.map((part) => part.message.content).join(''), whole.message.content);
  assert.equal(parts.at(-1).eval_count, whole.eval_count);
  assert.ok(parts.at(-1).total_duration > 0);
});

test('a prompt streams what it answers at once, and context goes on', async () => {
  const whole = await client.generate({ model, prompt: 'My name is Zoe.', options });
  const parts = await all(await client.generate({ model, prompt: 'My name is Zoe.', options, stream: true }));
  assert.equal(parts.map((part) => part.response).join(''), whole.response);
  const next = await client.generate({ model, prompt: 'Who am I?', context: whole.context, options });
  assert.ok(next.prompt_eval_count > whole.context.length);
  const raw = await client.generate({ model, prompt: 'Once upon a time', raw: true, options, logprobs: true, top_logprobs: 2 });
  assert.equal(raw.logprobs.length, raw.eval_count);
});

test('an answer with a format parses and validates, streamed or not', async () => {
  const fields = { model, messages, format: schema, options: { temperature: 0, num_predict: 40 } };
  const value = JSON.parse((await client.chat(fields)).message.content);
  assert.ok(['red', 'green'].includes(value.color));
  const parts = await all(await client.chat({ ...fields, stream: true }));
  assert.deepEqual(JSON.parse(parts.map((part) => part.message.content).join('')), value);
});

test('tools are given to the model and results taken', async () => {
  const tools = [{ type: 'function', function: { name: 'paint', description: 'Paints.', parameters: schema } }];
  const plain = await client.chat({ model, messages, options: { num_predict: 1 } });
  const more = await client.chat({ model, messages, tools, options: { num_predict: 1 } });
  assert.ok(more.prompt_eval_count > plain.prompt_eval_count + 20, 'the tools are in the prompt');
  const talk = [...messages,
    { role: 'assistant', content: '', tool_calls: [{ function: { name: 'paint', arguments: { color: 'red' } } }] },
    { role: 'tool', tool_name: 'paint', content: 'done' }];
  assert.ok((await client.chat({ model, messages: talk, tools, options })).message.content);
});

test('vectors of texts', async () => {
  const two = await client.embed({ model, input: ['a quick fox', 'a fast fox'] });
  assert.equal(two.embeddings.length, 2);
  const one = await client.embeddings({ model, prompt: 'a quick fox' });
  assert.deepEqual(one.embedding, two.embeddings[0]);
});

test('models are made of others, copied and deleted', async () => {
  const states = await all(await client.create({ model: 'pirate', from: model, system: 'Be a pirate.', parameters: { num_predict: 2 }, stream: true }));
  assert.equal(states.at(-1).status, 'success');
  assert.ok((await client.chat({ model: 'pirate', messages })).eval_count <= 2);
  await client.copy({ source: 'pirate', destination: 'corsair' });
  assert.equal((await client.show({ model: 'corsair' })).system, 'Be a pirate.');
  await client.delete({ model: 'pirate' });
  await client.delete({ model: 'corsair' });
  await assert.rejects(client.show({ model: 'pirate' }), { status_code: 404, error: "model 'pirate' not found" });
});

test('what a model cannot do is said', async () => {
  await assert.rejects(client.chat({ model, messages, think: true }), /does not support thinking/);
  await assert.rejects(client.generate({ model, prompt: 'x', suffix: 'y' }), /filling a gap/);
  await assert.rejects(client.push({ model }), /does not publish/);
});

test('keep_alive 0 unloads', async () => {
  await client.generate({ model, prompt: 'x', options: { num_predict: 1 }, keep_alive: 0 });
  for (let i = 0; (await client.ps()).models.length; ++i) {
    assert.ok(i < 100, 'the model stays');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test('abort ends a stream and the work of the server', async () => {
  const stream = await client.chat({ model, messages: [{ role: 'user', content: 'Count to one thousand.' }], options: { num_predict: 4000 }, stream: true });
  await assert.rejects(async () => {
    for await (const part of stream) if (part.message.content) stream.abort();
  }, { name: 'AbortError' });
  for (let i = 0; ; ++i) {
    const text = await (await fetch(`${SQUISH_BASE}/v1/metrics`, { headers: { Authorization: `Bearer ${SQUISH_KEY}` } })).text();
    if (/^squish_sequences_running 0$/m.test(text)) break;
    assert.ok(i < 100, 'the answer goes on');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

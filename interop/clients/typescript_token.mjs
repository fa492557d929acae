// @modelcontextprotocol/client 2.x with a token it is given: typescript_token.mjs auto|legacy URL TOKEN COUNTING
import assert from 'node:assert/strict';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [mode, url, token, counting] = process.argv.slice(2);
const { tool, args, steps } = JSON.parse(counting);
const requestInit = { headers: { Authorization: `Bearer ${token}` } };

await Promise.all([1, 2, 3].map(async (number) => {
  const client = new Client({ name: 'interop', version: '1.0.0' }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  const { tools } = await client.listTools();
  assert.ok(['echo', tool].every((name) => tools.some((found) => found.name === name)));
  // All at once, so that answers must find their way.
  await Promise.all([...Array(10).keys()].map(async (call) => {
    const message = `client ${number}, call ${call}`;
    const result = await client.callTool({ name: 'echo', arguments: { message } });
    assert.ok(result.content[0].text.endsWith(message), JSON.stringify(result));
  }));
  const told = [];
  await client.callTool({ name: tool, arguments: args }, { onprogress: (progress) => told.push(progress.progress) });
  assert.equal(told.length, steps, JSON.stringify(told));
  await client.close();
}));
process.exit(0);

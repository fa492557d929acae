// What a client of either generation does at a server behind the gateway: typescript_servers.mjs sdk|auto|legacy URL TOKEN USERNAME
import assert from 'node:assert/strict';

import * as client2 from '@modelcontextprotocol/client';
import * as client1 from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [mode, url, token, username] = process.argv.slice(2);
const info = { name: 'interop', version: '1.0.0' };
const [client, Transport] = mode === 'sdk'
  ? [new client1.Client(info), StreamableHTTPClientTransport]
  : [new client2.Client(info, { versionNegotiation: { mode } }), client2.StreamableHTTPClientTransport];
const transport = new Transport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } });

// What is left out is the schema of the result in the one generation, and nothing in the other.
const call = (name, args = {}, options = undefined) => (mode === 'sdk'
  ? client.callTool({ name, arguments: args }, undefined, options)
  : client.callTool({ name, arguments: args }, options));
const said = async (...asked) => (await call(...asked)).content[0].text;

await client.connect(transport);
const { tools } = await client.listTools();
const names = new Set(tools.map(({ name }) => name));
assert.ok(['echo', 'whoami', 'count', 'wait'].every((name) => names.has(name)), [...names].join());
assert.equal(await said('echo', { message: 'hällo' }), 'hällo');
assert.equal(JSON.parse(await said('whoami')).preferred_username, username);
const { contents } = await client.readResource({ uri: 'note://today' });
assert.equal(contents[0].text, 'a note');
const { messages } = await client.getPrompt({ name: 'greet', arguments: { name: 'Alice' } });
assert.equal(messages[0].content.text, 'Greet Alice.');

// The tool ends once this has seen that it began, so what it tells of must not wait for its end.
const seen = [];
const onprogress = ({ progress }) => {
  seen.push(progress);
  if (progress === 1) call('proceed');
};
assert.equal(await said('count', {}, { onprogress }), 'done');
assert.deepEqual(seen, [1, 2]);

const before = Number(await said('cancellations'));
const leaving = new AbortController();
await assert.rejects(call('wait', {}, { signal: leaving.signal, onprogress: () => leaving.abort() }));
// Nothing is said when the server has been told, so it is asked until it has.
while (Number(await said('cancellations')) === before);
await client.close();
process.exit(0);

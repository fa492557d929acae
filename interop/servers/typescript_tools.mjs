// What the servers of both generations of the TypeScript SDK offer. They differ in what they hand to a tool.
import assert from 'node:assert/strict';
import { once } from 'node:events';

import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as z from 'zod';

export const [port, issuer, audience] = process.argv.slice(2);
assert.ok(issuer && audience);

const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const goOn = new EventTarget();
let cancelled = 0;

const text = (words) => ({ content: [{ type: 'text', text: words }] });

async function progress({ token, notify }, done) {
  const params = { progressToken: token, progress: done, total: 2 };
  await notify({ method: 'notifications/progress', params });
}

// Who calls, as the gateway vouches for it.
async function whoami({ assertion }) {
  const { payload } = await jwtVerify(assertion, keys, {
    algorithms: ['ES256', 'EdDSA'],
    audience,
    issuer,
    requiredClaims: ['exp', 'iss', 'aud', 'sub'],
    typ: 'entrada-caller+jwt',
  });
  return text(JSON.stringify(payload));
}

// Goes on once `proceed` is called by whoever saw that it began.
async function count(call) {
  const told = once(goOn, 'proceed');
  await progress(call, 1);
  await told;
  await progress(call, 2);
  return text('done');
}

// Has no end of its own.
async function wait(call) {
  const aborted = once(call.signal, 'abort');
  await progress(call, 1);
  await aborted;
  cancelled += 1;
  return text('never');
}

// `read` makes `{ assertion, token, notify, signal }` of what a tool is handed; `args` the schema of a prompt.
export function offer(server, { read, args }) {
  const message = { inputSchema: z.object({ message: z.string() }) };
  server.registerTool('echo', message, ({ message }) => text(message));
  server.registerTool('whoami', {}, (handed) => whoami(read(handed)));
  server.registerTool('count', {}, (handed) => count(read(handed)));
  server.registerTool('proceed', {}, () => {
    goOn.dispatchEvent(new Event('proceed'));
    return text('proceeding');
  });
  server.registerTool('wait', {}, (handed) => wait(read(handed)));
  server.registerTool('cancellations', {}, () => text(String(cancelled)));
  server.registerResource('note', 'note://today', {}, (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }));
  server.registerPrompt('greet', { argsSchema: args({ name: z.string() }) }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}.` } }],
  }));
  return server;
}

// An MCP server from @modelcontextprotocol/sdk 1.x, which verifies who calls: typescript_mcp.mjs PORT ISSUER AUDIENCE
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';

import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as z from 'zod';

const [port, issuer, audience] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const goOn = new EventTarget();
let cancelled = 0;

const text = (words) => ({ content: [{ type: 'text', text: words }] });

async function progress({ _meta, sendNotification }, done) {
  const params = { progressToken: _meta.progressToken, progress: done, total: 2 };
  await sendNotification({ method: 'notifications/progress', params });
}

// Who calls, as the gateway vouches for it.
async function whoami({ requestInfo }) {
  const assertion = requestInfo.headers['x-entrada-assertion'];
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
async function count(extra) {
  const told = once(goOn, 'proceed');
  await progress(extra, 1);
  await told;
  await progress(extra, 2);
  return text('done');
}

// Has no end of its own.
async function wait(extra) {
  const aborted = once(extra.signal, 'abort');
  await progress(extra, 1);
  await aborted;
  cancelled += 1;
  return text('never');
}

function server() {
  const made = new McpServer({ name: 'TypeScript', version: '1.0.0' });
  const message = { inputSchema: { message: z.string() } };
  made.registerTool('echo', message, ({ message }) => text(message));
  made.registerTool('whoami', {}, whoami);
  made.registerTool('count', {}, count);
  made.registerTool('proceed', {}, () => {
    goOn.dispatchEvent(new Event('proceed'));
    return text('proceeding');
  });
  made.registerTool('wait', {}, wait);
  made.registerTool('cancellations', {}, () => text(String(cancelled)));
  made.registerResource('note', 'note://today', {}, (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }));
  made.registerPrompt('greet', { argsSchema: { name: z.string() } }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}.` } }],
  }));
  return made;
}

const sessions = new Map();
const app = createMcpExpressApp();

app.all('/mcp', async (request, response) => {
  const id = request.get('mcp-session-id');
  let transport = sessions.get(id);
  if (!transport && id) return response.status(404).end();
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (opened) => sessions.set(opened, transport),
      onsessionclosed: (closed) => sessions.delete(closed),
    });
    await server().connect(transport);
  }
  await transport.handleRequest(request, response, request.body);
});

assert.ok(issuer && audience);
app.listen(Number(port), '127.0.0.1');

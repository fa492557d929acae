// An MCP server with sessions, from @modelcontextprotocol/sdk 1.x: typescript_mcp.mjs PORT ISSUER AUDIENCE
import { randomUUID } from 'node:crypto';

import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

import { offer, port } from './typescript_tools.mjs';

const read = ({ requestInfo, sendNotification, signal, _meta }) => ({
  assertion: requestInfo.headers['x-entrada-assertion'],
  notify: sendNotification,
  signal,
  token: _meta?.progressToken,
});
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
    const server = new McpServer({ name: 'TypeScript', version: '1.0.0' });
    await offer(server, { read, args: (shape) => shape }).connect(transport);
  }
  await transport.handleRequest(request, response, request.body);
});

app.listen(Number(port), '127.0.0.1');

// An MCP server without sessions, from @modelcontextprotocol/server 2.x: typescript_stateless.mjs PORT ISSUER AUDIENCE
import { createServer } from 'node:http';

import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod';

import { offer, port } from './typescript_tools.mjs';

const read = ({ http, mcpReq }) => ({
  assertion: http.req.headers.get('x-entrada-assertion'),
  notify: (notification) => mcpReq.notify(notification),
  signal: mcpReq.signal,
  token: mcpReq._meta?.progressToken,
});
const made = () => offer(new McpServer({ name: 'TypeScript', version: '2.0.0' }), { read, args: z.object });
const handler = toNodeHandler(createMcpHandler(made, { legacy: 'reject' }));

createServer((request, response) => handler(request, response)).listen(Number(port), '127.0.0.1');

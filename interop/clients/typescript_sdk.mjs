// @modelcontextprotocol/sdk 1.x
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { scenario } from './scenario.mjs';

await scenario({
  newClient: () => new Client({ name: 'interop', version: '1.0.0' }),
  Transport: StreamableHTTPClientTransport,
  UnauthorizedError,
  finish: (transport, callback) => transport.finishAuth(callback.get('code')),
});

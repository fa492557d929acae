// @modelcontextprotocol/client 2.x: typescript_client.mjs auto|legacy
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

import { scenario } from './scenario.mjs';

const versionNegotiation = { mode: process.argv[2] };

await scenario({
  newClient: () => new Client({ name: 'interop', version: '1.0.0' }, { versionNegotiation }),
  Transport: StreamableHTTPClientTransport,
  UnauthorizedError,
  finish: (transport, callback) => transport.finishAuth(callback),
});

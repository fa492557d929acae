// What both generations of the TypeScript client must do. They differ in where they keep their classes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const demo = JSON.parse(process.env.INTEROP_DEMO);
const [agent, ...agentArguments] = JSON.parse(process.env.INTEROP_AGENT);

class SignedOut extends Error {}

// Keeps what the SDK asks it to, and plays the person, who signs in once and then leaves.
class Provider {
  signIns = 0;
  mostSignIns = 1;
  redirectUrl = 'http://127.0.0.1:39395/callback';
  // Where the document is that describes the client, if it need not register.
  clientMetadataUrl = process.env.INTEROP_CLIENT_DOCUMENT;
  clientMetadata = {
    client_name: 'TypeScript client',
    redirect_uris: [this.redirectUrl],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };

  state = () => 'a-state-of-the-client';
  clientInformation = () => this.client;
  saveClientInformation = (client) => { this.client = client; };
  tokens = () => this.held;
  saveTokens = (tokens) => { this.held = tokens; };
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => { this.verifier = verifier; };
  discoveryState = () => this.discovered;
  saveDiscoveryState = (state) => { this.discovered = state; };
  invalidateCredentials = (what) => { if (what === 'tokens' || what === 'all') this.held = undefined; };

  redirectToAuthorization(url) {
    if (this.signIns >= this.mostSignIns) throw new SignedOut();
    this.signIns += 1;
    const walked = spawnSync(agent, [...agentArguments, url.href], { encoding: 'utf8' });
    assert.equal(walked.status, 0, walked.stderr);
    this.callback = new URL(walked.stdout.trim()).searchParams;
    assert.equal(this.callback.get('state'), 'a-state-of-the-client');
  }
}

async function call(client, name, args, expected) {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(!result.isError && result.content[0].text.includes(expected), JSON.stringify(result));
}

async function revoke(provider) {
  const body = new URLSearchParams({ token: provider.held.refresh_token, client_id: provider.client.client_id });
  const reply = await fetch(`${demo.issuer}/revoke`, { method: 'POST', body });
  assert.equal(reply.status, 200);
}

// Entra wants a second factor once the user is signed in: the client refreshes in vain, and fetches its user.
async function stepUp({ newClient, transport, provider, UnauthorizedError, finish }) {
  provider.mostSignIns = 2;
  for (const signIns of [1, 2]) {
    const refused = transport();
    await assert.rejects(newClient().connect(refused), UnauthorizedError);
    assert.equal(provider.signIns, signIns);
    await finish(refused, provider.callback);
  }
  const client = newClient();
  await client.connect(transport());
  await call(client, 'list_mails', {}, 'Quarterly figures');
  await call(client, 'whoami', {}, demo.username);
  await client.close().catch(() => {});
  process.exit(0);
}

// `finish(transport, callback)` hands the callback's parameters to the SDK.
export async function scenario({ newClient, Transport, UnauthorizedError, finish }) {
  const provider = new Provider();
  const transport = () => new Transport(new URL(demo.mcp_url), { authProvider: provider });
  if (process.env.INTEROP_SCENARIO === 'step_up') {
    await stepUp({ newClient, transport, provider, UnauthorizedError, finish });
  }

  const first = transport();
  await assert.rejects(newClient().connect(first), UnauthorizedError);
  await finish(first, provider.callback);

  const client = newClient();
  await client.connect(transport());
  const { tools } = await client.listTools();
  assert.ok(['echo', 'whoami'].every((name) => tools.some((tool) => tool.name === name)));
  await call(client, 'echo', { message: 'hello' }, 'hello');
  await call(client, 'whoami', {}, demo.username);

  const before = provider.held;
  await sleep((before.expires_in + 1) * 1000);
  await call(client, 'echo', { message: 'again' }, 'again');
  assert.notEqual(provider.held.access_token, before.access_token);
  assert.notEqual(provider.held.refresh_token, before.refresh_token);
  assert.equal(provider.signIns, 1);
  if (provider.clientMetadataUrl) assert.equal(provider.client.client_id, provider.clientMetadataUrl);

  await revoke(provider);
  await sleep((before.expires_in + 1) * 1000);
  await assert.rejects(call(client, 'echo', { message: 'revoked' }, 'revoked'), SignedOut);
  await client.close().catch(() => {});
  process.exit(0);
}

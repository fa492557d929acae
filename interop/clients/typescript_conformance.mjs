// A client for MCP's conformance suite, which names the scenario: typescript_conformance.mjs 1|2 URL, with the token TOKEN if there is one.
// It does all that a server offers. Whether that goes well is for the suite to say.
const [sdk, url] = process.argv.slice(2);
const {
  TOKEN: token,
  MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_PROTOCOL_VERSION: revision, MCP_CONFORMANCE_CONTEXT: context,
} = process.env;
const info = { name: 'interop', version: '1.0.0' };
const capabilities = { elicitation: { form: { applyDefaults: true } } };
const requestInit = token ? { headers: { Authorization: `Bearer ${token}` } } : {};
// The stream that a session has besides. SDKs open it and wait for nothing, so a server that asks there may ask nobody.
const stream = Promise.withResolvers();
const watched = async (to, init) => {
  const response = await fetch(to, init);
  if (init?.method === 'GET') stream.resolve();
  return response;
};
const options = { requestInit, fetch: watched };

// The defaults are for the SDK to fill in.
const elicited = ({ params }) => (
  { action: 'accept', content: 'confirmed' in params.requestedSchema.properties ? { confirmed: true } : {} });

// One generation is loaded, for that takes longest.
async function connection() {
  if (sdk === '1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const { ElicitRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
    const client = new Client(info, { capabilities });
    client.setRequestHandler(ElicitRequestSchema, elicited);
    return [client, new StreamableHTTPClientTransport(new URL(url), options)];
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = revision >= '2026' ? 'auto' : 'legacy';
  const client = new Client(info, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler('elicitation/create', elicited);
  return [client, new StreamableHTTPClientTransport(new URL(url), options)];
}

const [client, transport] = await connection();
const SAMPLES = { string: 'text', number: 5, integer: 5, boolean: true };

// What the suite asks for, or else what the tool needs.
function calls(tools) {
  const asked = context && JSON.parse(context).toolCalls;
  if (asked) return asked;
  const sample = (name, { type }) => (name === 'schema' ? tools[0].inputSchema : SAMPLES[type]);
  return tools.map(({ name, inputSchema: { properties = {} } }) => ({
    name,
    arguments: Object.fromEntries(Object.entries(properties).map(([key, schema]) => [key, sample(key, schema)])),
  }));
}

async function skills() {
  const { looseObject } = await import('zod');
  const { skills: [skill] } = await client.request({ method: 'skills/list', params: {} }, looseObject({}));
  // What it finds there is not what the list says of it, so it leaves it at that.
  if (scenario.includes('verify')) await client.readResource({ uri: skill.resources[0].uri });
}

async function everything() {
  const offered = client.getServerCapabilities() ?? {};
  if (scenario.startsWith('sep-2640')) return skills();
  const { tools } = await client.listTools();
  for (const call of calls(tools)) await client.callTool(call).catch((error) => console.error(call.name, error));
  if (offered.resources) {
    const { resources } = await client.listResources();
    for (const { uri } of resources) await client.readResource({ uri });
  }
  if (offered.prompts) {
    const { prompts } = await client.listPrompts();
    for (const { name } of prompts) await client.getPrompt({ name });
  }
}

await client.connect(transport);
if (scenario.startsWith('elicitation')) await stream.promise;
await everything();
await client.close();
process.exit(0);

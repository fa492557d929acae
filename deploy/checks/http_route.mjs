// Whether each HTTPRoute given as JSON on standard input is what the Gateway API's schema says.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.DEPLOY_TOOLS}/node/`)
const { HTTPRoute } = require('@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1')

for (const route of JSON.parse(readFileSync(0, 'utf8'))) {
  new HTTPRoute(route).validate()
}

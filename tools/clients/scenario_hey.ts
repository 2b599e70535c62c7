// The calls of tools/check_clients with @hey-api/openapi-ts.
import { client } from "./hey/client.gen.js";
import {
  credentialsCreate, credentialsImport, credentialsList, credentialsToken, credentialsUpdate,
} from "./hey/sdk.gen.js";

declare const process: { env: Record<string, string> };

client.setConfig({ baseUrl: process.env.URL as "/", auth: () => process.env.TOKEN });

function expect(condition: unknown, message: unknown): asserts condition {
  if (!condition) throw new Error(JSON.stringify(message));
}

const body = {
  properties: { kind: "stripe_key", name: "From hey-api", secret: "sk_live_hey0000000000000000", test: false },
  metadata: { from: "hey" },
};
const created = await credentialsCreate({ body });
expect(created.data, created.error);
const list = await credentialsList({ query: { metadata: JSON.stringify({ from: "hey" }) } });
expect(list.data?.data.length === 1, list.error);
const patched = await credentialsUpdate({ path: { id: created.data.id }, body: { name: "Renamed" } });
expect(patched.data?.name === "Renamed", patched.error);
const many = await credentialsImport({ body: [body] });
expect(many.data?.rejected === 0, many.error);
const token = await credentialsToken({ path: { id: created.data.id } });
expect(token.error, token.data);
console.log("hey-api: imported, filtered by metadata, patched, imported many, token read");

// The calls of tools/check_clients with openapi-typescript and openapi-fetch.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

declare const process: { env: Record<string, string> };

const client = createClient<paths>({
  baseUrl: process.env.URL,
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
});

function expect(condition: unknown, message: unknown): asserts condition {
  if (!condition) throw new Error(JSON.stringify(message));
}

const body: components["schemas"]["CredentialImportRequest"] = {
  properties: { kind: "stripe_key", name: "From fetch", secret: "sk_live_fetch000000000000000", test: false },
  metadata: { from: "fetch" },
};
const created = await client.POST("/v1/credentials", { body });
expect(created.data, created.error);
const list = await client.GET("/v1/credentials", {
  params: { query: { metadata: JSON.stringify({ from: "fetch" }), limit: 5 } },
});
expect(list.data?.data.length === 1 && list.data.data[0]?.metadata.from === "fetch", list);
const patched = await client.PATCH("/v1/credentials/{id}", {
  params: { path: { id: created.data.id } },
  body: { name: "Renamed" },
});
expect(patched.data?.name === "Renamed", patched.error);
const many = await client.POST("/v1/credentials/import", { body: [body] });
expect(many.data?.unchanged === 1 || many.data?.updated === 1, many);
const token = await client.POST("/v1/credentials/{id}/token", { params: { path: { id: created.data.id } } });
expect(token.error && token.error.status >= 400, token);
const wrong = await client.POST("/v1/credentials", { body: { properties: { kind: "x" } } });
expect(wrong.error?.validation_errors, wrong);
console.log("openapi-fetch: imported, filtered by metadata, patched, imported many, token and error read");

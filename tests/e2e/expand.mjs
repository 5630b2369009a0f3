// Expands queries with QMD's own code: node expand.mjs QUERIES.json RESULT.json DATABASE. `kept` is what QMD would search,
// `session` what preload.mjs saw of the model's work.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [queries, result, dbPath] = process.argv.slice(2);
const qmd = join(process.env.QMD_E2E_INSTALL, "node_modules/@tobilu/qmd/dist/index.js");
const { createStore } = await import(pathToFileURL(qmd));
// The models are named by QMD_GENERATE_MODEL and its like.
const store = await createStore({ dbPath, config: { collections: {} } });
const rows = [];
for (const query of JSON.parse(readFileSync(queries, "utf8"))) {
  const kept = await store.expandQuery(query);
  rows.push({ query, kept: kept.map((line) => [line.type, line.query]), session: globalThis.qmdSessions.at(-1) });
  console.error(`${rows.length} ${query}: ${rows.at(-1).session.answer.length} tokens`);
}
if (globalThis.qmdSessions.length !== rows.length) throw new Error("QMD did not ask the model once a query");
writeFileSync(result, JSON.stringify(rows));
await store.close();
process.exit(0); // as QMD's own command does: node-llama-cpp keeps threads alive

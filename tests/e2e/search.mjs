// Searches QMD's index with expansions made elsewhere: node search.mjs QUERIES.json RESULT.json. Each query comes with its
// lines, [type, text]. The result holds the files that QMD's own hybrid search ranks for each, best first, and every vector
// that QMD compared: those of its chunks, in order, by file, and those of queries and lines, by text.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [queries, result] = process.argv.slice(2);
const qmd = join(process.env.QMD_E2E_INSTALL, "node_modules/@tobilu/qmd/dist/index.js");
const { createStore } = await import(pathToFileURL(qmd));
const asked = JSON.parse(readFileSync(queries, "utf8"));
const lines = new Map(asked.map((row) => [row.query, row.lines.map(([type, query]) => ({ type, query }))]));
const store = await createStore({ dbPath: process.env.INDEX_PATH });
store.internal.expandQuery = async (query) => lines.get(query);

const texts = {};
const searchVec = store.internal.searchVec;
store.internal.searchVec = (text, ...rest) => {
  texts[text] = [...rest[4]];
  return searchVec(text, ...rest);
};
const rows = [];
for (const { query } of asked) {
  const found = await store.search({ query, rerank: false, limit: 20 });
  rows.push({ query, files: found.map((document) => document.file) });
}

const chunks = {};
const stored = store.internal.db.prepare("SELECT embedding FROM vectors_vec WHERE hash_seq = ?");
const pieces = store.internal.db.prepare(
  "SELECT d.path, cv.hash || '_' || cv.seq AS hash_seq FROM content_vectors cv JOIN documents d ON d.hash = cv.hash ORDER BY cv.seq",
);
for (const { path, hash_seq } of pieces.all()) {
  const { buffer, byteOffset, byteLength } = stored.get(hash_seq).embedding;
  (chunks[path] ??= []).push([...new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength))]);
}
writeFileSync(result, JSON.stringify({ rows, chunks, texts }));
await store.close();
process.exit(0); // as QMD's own command does: node-llama-cpp keeps threads alive

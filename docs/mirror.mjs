import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const [url, key, category, file] = process.argv.slice(2); // node mirror.mjs URL KEY CATEGORY FILE: mirror a category
const headers = { Authorization: `Bearer ${key}` };
let { cursor, page, documents } = existsSync(file) ? JSON.parse(readFileSync(file)) : { page: "", documents: [] };
documents = new Map(documents);

async function get(path) {
  const answer = await fetch(`${url}/api/v1/storage/${path}`, { headers, signal: AbortSignal.timeout(60_000) });
  if ([404, 410].includes(answer.status)) [cursor, page, documents] = [undefined, "", new Map()]; // copy again
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}
for (;;)
  try {
    cursor ??= (await get(`changes/${category}?since=now`)).next;
    while (page !== null) { // copy; what changes meanwhile comes again behind the cursor, and does no harm
      const part = await get(`json/${category}?aggregate=true&cursor=${page}`);
      for (const item of part.items) documents.set(item.key, item.value);
      page = part.nextCursor;
    }
    writeFileSync(`${file}.new`, JSON.stringify({ cursor, page, documents: [...documents] }));
    renameSync(`${file}.new`, file);
    const { changes, next } = await get(`changes/${category}?since=${cursor}&wait=30`);
    for (const { op, key, value } of changes)
      op === "delete" || op === "expire" ? documents.delete(key) : documents.set(key, value);
    cursor = next;
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }

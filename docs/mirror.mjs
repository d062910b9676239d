// Mirror a category into a file: node mirror.mjs URL KEY CATEGORY FILE
import { writeFileSync } from "node:fs";

const [url, key, category, file] = process.argv.slice(2);
const documents = new Map();
let cursor = "";

async function ask(path, headers = {}) {
  const answer = await fetch(`${url}/api/v1/storage/${path}`, { headers: { Authorization: `Bearer ${key}`, ...headers } });
  if (answer.status === 410) cursor = ""; // changes after it are not kept any more: begin anew
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer;
}

// The cursor comes first. The pages come last to first: a document never moves to a later page.
async function copy() {
  const now = (await (await ask(`changes/${category}?since=now`)).json()).next;
  documents.clear();
  const pages = Number((await ask(`json/${category}?limit=100`)).headers.get("X-Total-Pages"));
  for (let page = pages; page > 0; page--)
    for (const item of await (await ask(`json/${category}?limit=100&page=${page}`)).json()) documents.set(item.key, item.value);
  return now;
}

function apply(change) {
  documents.delete(change.key);
  if (change.op !== "delete" && change.op !== "expire") documents.set(change.key, change.value);
}

for (;;) {
  try {
    cursor ||= await copy();
    const answer = await ask(`changes/${category}`, { Accept: "text/event-stream", "Last-Event-ID": cursor });
    let text = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      const events = (text + piece).split("\n\n");
      text = events.pop();
      for (const event of events) {
        const { event: name, id, data } = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s)));
        if (name === "change") apply(JSON.parse(data));
        cursor = id;
      }
      writeFileSync(file, JSON.stringify(Object.fromEntries(documents)));
    }
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

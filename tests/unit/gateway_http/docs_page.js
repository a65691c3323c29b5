// As much of a browser as the page of /docs needs: prints all text that it shows for the document on standard input.
"use strict";
const { readFileSync } = require("node:fs");

class Node {
  constructor() { this.children = []; this.text = ""; }
  set textContent(text) { this.text = text; this.children = []; }
  append(...children) { this.children.push(...children); }
  get shown() { return [this.text, ...this.children.map((each) => (each.shown === undefined ? each : each.shown))].join("\n"); }
}

const [page, openapi] = [process.argv[2], readFileSync(0, "utf8")];
const places = { about: new Node(), operations: new Node() };
globalThis.document = { createElement: () => new Node(), getElementById: (id) => places[id] };
globalThis.fetch = async (url) => {
  if (url !== "openapi.json") throw new Error(`it asks for ${url}`);
  return { json: async () => JSON.parse(openapi) };
};
const script = readFileSync(page, "utf8").match(/<script>([^]*)<\/script>/)[1];
new Function(script)();
setTimeout(() => console.log(places.about.shown, places.operations.shown), 0);

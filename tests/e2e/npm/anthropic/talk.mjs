// Talks to the address given, as applications do with this package, and prints what came of it as JSON.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0, timeout: 20_000 });
const question = { max_tokens: 400, messages: [{ role: "user", content: "The quick brown fox" }] };
const tools = [
  {
    name: "get_weather",
    description: "The weather somewhere.",
    input_schema: {
      type: "object",
      properties: { city: { type: "string" }, unit: { enum: ["celsius", "fahrenheit"] } },
      required: ["city", "unit"],
    },
  },
];
const told = {};

told.whole = await client.messages.create({ model: "sim/echo", ...question });

const texts = [];
const streamed = client.messages.stream({ model: "sim/echo:rate=100", ...question });
streamed.on("text", (piece) => texts.push(piece));
told.streamed = await streamed.finalMessage();
told.texts = texts;
told.requestId = streamed.request_id;

const snapshots = [];
const calling = client.messages.stream({ model: "sim/text:calls=2", tools, ...question });
calling.on("inputJson", (piece, snapshot) => snapshots.push(snapshot));
told.called = await calling.finalMessage();
told.snapshot = snapshots.at(-1);

const results = told.called.content.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "21 °C" }));
told.answered = await client.messages.create({
  model: "sim",
  max_tokens: 400,
  tools,
  messages: [
    ...question.messages,
    { role: "assistant", content: told.called.content },
    { role: "user", content: results },
  ],
});

const thinking = [];
const thought = client.messages.stream({ model: "sim/reasoning", ...question });
thought.on("thinking", (piece) => thinking.push(piece));
told.thought = await thought.finalMessage();
told.thinking = thinking;

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return { name: error.constructor.name, status: error.status ?? null, type: error.type ?? null, text: error.message };
  }
}
told.missing = await failure(client.messages.create({ model: "no-such-model", ...question }));
told.wrong = await failure(
  client.messages.create({ model: "sim", max_tokens: 5, messages: [{ role: "user", content: 7 }] }),
);
told.cut = await failure(client.messages.stream({ model: "sim/cut", ...question }).finalMessage());

console.log(JSON.stringify(told));

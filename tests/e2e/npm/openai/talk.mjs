// Talks to the address given, as applications do with this package, and prints what came of it as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0, timeout: 20_000 });
const messages = [{ role: "user", content: "The quick brown fox" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" }, unit: { enum: ["celsius", "fahrenheit"] } },
  required: ["city", "unit"],
};
const tools = [{ type: "function", function: { name: "get_weather", description: "The weather somewhere.", parameters } }];
const told = {};

told.whole = await client.chat.completions.create({ model: "sim/echo", messages });

const texts = [];
const streamed = client.chat.completions.stream({
  model: "sim/echo:rate=100",
  messages,
  stream_options: { include_usage: true },
});
streamed.on("content", (piece) => texts.push(piece));
told.streamed = await streamed.finalChatCompletion();
told.texts = texts;

told.called = await client.chat.completions
  .stream({ model: "sim/text:calls=2", messages, tools })
  .finalChatCompletion();
const called = told.called.choices[0].message;
const results = called.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "21 °C" }));
told.answered = await client.chat.completions.create({
  model: "sim",
  messages: [...messages, called, ...results],
  tools,
});

const thought = [];
for await (const chunk of await client.chat.completions.create({ model: "sim/reasoning", messages, stream: true })) {
  thought.push(chunk.choices[0]?.delta?.reasoning_content ?? "");
}
told.thought = thought.join("");

const before = [];
for await (const chunk of await client.completions.create({
  model: "sim/echo",
  prompt: "Once upon a time",
  echo: true,
  stream: true,
  stream_options: { include_usage: true },
})) {
  before.push(chunk);
}
told.completion = before.flatMap((chunk) => chunk.choices.map((choice) => choice.text)).join("");
told.completionUsage = before.at(-1).usage;

const events = [];
const responding = client.responses.stream({ model: "sim/reasoning", input: "The quick brown fox" });
responding.on("event", (event) => events.push([event.type, event.sequence_number]));
told.response = await responding.finalResponse();
told.events = events;

const functions = [{ type: "function", name: "get_weather", parameters, strict: false }];
const asked = await client.responses
  .stream({ model: "sim/text:calls=2", input: "The quick brown fox", tools: functions })
  .finalResponse();
told.items = asked.output;
const outputs = asked.output.map((item) => ({
  type: "function_call_output",
  call_id: item.call_id,
  output: "21 °C",
}));
told.items2 = await client.responses.create({
  model: "sim",
  input: [{ role: "user", content: "The quick brown fox" }, ...asked.output, ...outputs],
  tools: functions,
});

const failure = (error) => ({ name: error.constructor.name, status: error.status, code: error.code, text: error.message });
told.missing = await client.chat.completions.create({ model: "no-such-model", messages }).catch(failure);
told.wrong = await client.responses.create({ model: "sim", input: "x", previous_response_id: "resp_1" }).catch(failure);
told.cut = await client.chat.completions
  .stream({ model: "sim/cut:after=3", messages })
  .finalChatCompletion()
  .catch(failure);
const brokenOff = async () => {
  for await (const _ of await client.responses.create({ model: "sim/cut:after=3", input: "x", stream: true }));
};
told.cutResponse = await brokenOff().catch(failure);

console.log(JSON.stringify(told));

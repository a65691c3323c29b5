// Talks to the address given, as applications do with this package, and prints what came of it as JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "tollway",
  baseURL: `${process.argv[2]}/v1`,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const prompt = "The quick brown fox";
const settings = { maxRetries: 0, prompt };
const told = {};

const streamed = streamText({ model: provider("sim/echo:rate=100"), ...settings });
const texts = [];
for await (const piece of streamed.textStream) texts.push(piece);
told.texts = texts;
told.finish = await streamed.finishReason;
told.usage = await streamed.usage;

const thought = await generateText({ model: provider("sim/reasoning"), ...settings });
told.thought = thought.reasoningText;
const thinking = streamText({ model: provider("sim/reasoning"), ...settings });
await thinking.consumeStream();
told.thinking = await thinking.reasoningText;

const weather = tool({
  description: "The weather somewhere.",
  inputSchema: z.object({ city: z.string(), unit: z.enum(["celsius", "fahrenheit"]) }),
  execute: async () => "21 °C",
});
const calling = streamText({
  model: provider("sim/text:calls=2"),
  tools: { weather },
  stopWhen: stepCountIs(2),
  ...settings,
});
await calling.consumeStream();
const steps = await calling.steps;
told.calls = steps[0].toolCalls.map((call) => [call.toolName, call.input]);
told.answered = steps[1].text;

const schema = z.object({ number: z.string(), lines: z.array(z.string()), total: z.number(), paid: z.boolean() });
told.object = (await generateObject({ model: provider("sim"), schema, ...settings })).object;

const failure = (error) => ({ name: error.name, status: error.statusCode, text: error.message });
told.missing = await generateText({ model: provider("no-such-model"), ...settings }).catch(failure);
const errors = [];
const cut = streamText({
  model: provider("sim/cut:after=3"),
  onError: ({ error }) => errors.push(error.message ?? String(error)),
  ...settings,
});
await cut.consumeStream();
told.cut = { errors, finish: await cut.finishReason.then(String, failure) };

console.log(JSON.stringify(told));

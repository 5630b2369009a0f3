// Loaded into every node process of QMD's (node --import). Where QMD runs a model it gets QMD's own node-llama-cpp with
// two changes: one thread (its default of at least four spinning ones stalls for minutes on two cores), and a seed that
// hangs on the prompt alone (QMD's comes from the clock). QMD_E2E_TOKENS, if set, ends answers sooner. Everything else
// that QMD asks for passes through and is written down in globalThis.qmdSessions.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { crc32 } from "node:zlib";

const modules = join(process.env.QMD_E2E_INSTALL, "node_modules");
const load = (path) => import(pathToFileURL(join(modules, path)));

if (/[\\/](qmd\.js|expand\.mjs|search\.mjs)$/.test(process.argv[1] ?? "")) {
  const nodeLlamaCpp = await load("node-llama-cpp/dist/index.js");
  const llm = await load("@tobilu/qmd/dist/llm.js");
  globalThis.qmdSessions = [];
  let grammar = null;

  const getLlama = async (options) => {
    const llama = await nodeLlamaCpp.getLlama({ ...options, maxThreads: 1 });
    const createGrammar = llama.createGrammar.bind(llama);
    llama.createGrammar = (asked) => {
      grammar = asked.grammar;
      return createGrammar(asked);
    };
    return llama;
  };

  class LlamaChatSession extends nodeLlamaCpp.LlamaChatSession {
    async promptWithMeta(prompt, options) {
      const answer = [];
      const meta = await super.promptWithMeta(prompt, {
        ...options,
        maxTokens: Number(process.env.QMD_E2E_TOKENS ?? options.maxTokens),
        seed: crc32(prompt),
        onToken: (tokens) => answer.push(...tokens),
      });
      const { maxTokens, temperature, topK, topP, minP, repeatPenalty, seed, dryRepeatPenalty, xtc } = options;
      globalThis.qmdSessions.push({
        user: prompt,
        system: this.getChatHistory()
          .filter((turn) => turn.type === "system")
          .map((turn) => (typeof turn.text === "string" ? turn.text : nodeLlamaCpp.LlamaText.fromJSON(turn.text).toString())),
        grammar: options.grammar ? grammar : null,
        sampling: { maxTokens, temperature, topK, topP, minP, repeatPenalty, seed, dryRepeatPenalty, xtc },
        contextSize: this.context.contextSize,
        tokens: [...this.sequence.contextTokens], // the prompt and the answer, as the model has read them
        answer,
        raw: meta.responseText,
        stop: meta.stopReason,
      });
      return meta;
    }
  }

  llm.setNodeLlamaCppModuleForTest({ ...nodeLlamaCpp, getLlama, LlamaChatSession });
}

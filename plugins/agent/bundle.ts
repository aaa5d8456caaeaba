/** Makes the program that machines fetch: the agent, the configured plugins' halves, and one native library. */

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AgentBundle, type AgentBundleFile, type AgentHalfSource, OverdubError } from '@overdub/core';
import type { StdinOptions } from 'esbuild';

const ENTRY = 'main.mjs';
/** Beside it, what the agent starts on a thread of its own (`program/receiver/receiver.ts`). */
const THREAD = 'receiver.mjs';
/** What esbuild calls the lines that put the parts together. */
const STDIN = 'agent-entry.mjs';
const IS_SOURCE = import.meta.url.endsWith('.ts');
const DIR = dirname(own('program/main'));
/** Loads its own native library by name at run time, so it cannot be part of one file. */
const UNBUNDLED = ['koffi'];
const NATIVE_PACKAGE = '@koromix/koffi-linux-x64';

/** Builds once per set of halves; sources that change want a restart of the appliance, like everything else. */
export function agentBundler(): (halves: readonly AgentHalfSource[]) => Promise<AgentBundle> {
  const built = new Map<string, Promise<AgentBundle>>();
  return (halves) => {
    const key = JSON.stringify(halves);
    const known = built.get(key) ?? buildBundle(halves);
    built.set(key, known);
    known.catch(() => built.delete(key));
    return known;
  };
}

/** Rejects with PLUGIN_FAILED when a half cannot be bundled, naming what is wrong with it. */
export async function buildBundle(halves: readonly AgentHalfSource[]): Promise<AgentBundle> {
  const contents = new Map<string, Uint8Array>();
  const inputs = new Set<string>();
  for (const [path, program] of await programsOf(halves)) {
    contents.set(path, program.bytes);
    for (const input of program.inputs) inputs.add(input);
  }
  const native = await nativeFiles();
  for (const [path, file] of native) contents.set(path, await readFile(file));
  const byDigest = new Map<string, Uint8Array>();
  const files: AgentBundleFile[] = [];
  for (const [path, bytes] of [...contents].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const digest = createHash('sha256').update(bytes).digest('hex');
    byDigest.set(digest, bytes);
    files.push({ path, digest, bytes: bytes.length, mode: 0o644 });
  }
  const whole = createHash('sha256');
  for (const file of files) whole.update(`${file.path}\0${file.mode}\0${file.digest}\n`);
  return {
    digest: whole.digest('hex'),
    entry: ENTRY,
    files,
    inputs: [...new Set([...inputs, ...native.values()])],
    async read(digest) {
      const bytes = byDigest.get(digest);
      if (bytes !== undefined) return bytes;
      throw new OverdubError(
        'NOT_FOUND',
        'The agent asks for a file that the current bundle does not have.',
        'It fetches the current bundle by itself.',
      );
    },
  };
}

interface BundledProgram {
  readonly bytes: Uint8Array;
  /** Absolute paths. */
  readonly inputs: readonly string[];
}

/** Path in the bundle → program: the agent's, and those of the threads that it and the halves start. */
async function programsOf(halves: readonly AgentHalfSource[]): Promise<Map<string, BundledProgram>> {
  const threads = halves.flatMap(({ name, threads: started = {} }) =>
    Object.entries(started).map(([thread, url]) => [`${name}-${thread}.mjs`, url] as const),
  );
  const programs = new Map([
    [ENTRY, await bundleProgram(halves)],
    [THREAD, await bundle({ entryPoints: [own('program/receiver/thread')] })],
  ]);
  for (const [path, url] of threads) {
    if (programs.has(path)) throw twice(path);
    programs.set(path, await bundle({ entryPoints: [fileURLToPath(url)] }));
  }
  return programs;
}

function twice(path: string): OverdubError {
  return new OverdubError(
    'PLUGIN_FAILED',
    `Two plugins start a thread whose program would be ${path} on machines.`,
    'Give one of the threads another name in the agentThreads of its plugin.',
  );
}

/** Two ways in: `run` is the agent that the loader starts, `main` the commands on directories (`overdub agent …`). */
async function bundleProgram(halves: readonly AgentHalfSource[]): Promise<BundledProgram> {
  const lines = halves.map(
    (half, at) => `import half${at} from ${JSON.stringify(fileURLToPath(half.agent))};`,
  );
  const contents = [
    `import { runAgent } from ${JSON.stringify(own('program/main'))};`,
    `import { directoryCommands } from ${JSON.stringify(own('commands/directory'))};`,
    `import { runAlone } from '@overdub/core/command-line';`,
    ...lines,
    `const halves = [${halves.map((_half, at) => `half${at}`).join(', ')}];`,
    `export const run = (options) => runAgent(options, halves);`,
    `export const main = () => runAlone(directoryCommands, halves);`,
  ].join('\n');
  return await bundle({ stdin: { contents, resolveDir: DIR, sourcefile: STDIN } });
}

/** A source in a checkout, else what was built of it. */
function own(path: string): string {
  return fileURLToPath(new URL(`./${path}.${IS_SOURCE ? 'ts' : 'js'}`, import.meta.url));
}

/** One file of this and all that it imports. */
async function bundle(
  from: { readonly stdin: StdinOptions } | { readonly entryPoints: string[] },
): Promise<BundledProgram> {
  const { build } = await import('esbuild');
  try {
    const result = await build({
      ...from,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node22',
      conditions: IS_SOURCE ? ['overdub-source'] : [],
      // As for the configuration: what a half beside it does not find there is looked for in the installation.
      nodePaths: createRequire(import.meta.url).resolve.paths('@overdub/core') ?? [],
      external: UNBUNDLED,
      // Dependencies written for CommonJS ask for Node's own modules by `require`.
      banner: {
        js: "import { createRequire as $require } from 'node:module'; const require = $require(import.meta.url);",
      },
      write: false,
      metafile: true,
      absWorkingDir: DIR,
      logLevel: 'silent',
      legalComments: 'none',
    });
    const { contents } = result.outputFiles[0] as { contents: Uint8Array };
    const inputs = Object.keys(result.metafile.inputs).map((path) => resolve(DIR, path));
    return { bytes: contents, inputs: inputs.filter((path) => basename(path) !== STDIN) };
  } catch (cause) {
    throw new OverdubError(
      'PLUGIN_FAILED',
      `The agent's program cannot be put together: ${cause instanceof Error ? cause.message : String(cause)}`,
      'Correct the agent.ts of the plugin that is named, or what it names in agentThreads.',
      { cause },
    );
  }
}

/** koffi as the smallest tree that Node resolves, its entry and one binary: path in the bundle → file. */
async function nativeFiles(): Promise<Map<string, string>> {
  const require = createRequire(import.meta.url);
  const koffi = dirname(require.resolve('koffi'));
  const native = dirname(createRequire(join(koffi, 'index.cjs')).resolve(NATIVE_PACKAGE));
  const files = new Map<string, string>();
  const add = (from: string, to: string) => files.set(to, from);
  add(join(koffi, 'package.json'), 'node_modules/koffi/package.json');
  add(join(koffi, 'index.js'), 'node_modules/koffi/index.js');
  add(join(koffi, 'indirect.js'), 'node_modules/koffi/indirect.js');
  for (const name of await scripts(join(koffi, 'src/koffi'))) {
    add(join(koffi, 'src/koffi', name), `node_modules/koffi/src/koffi/${name}`);
  }
  for (const name of ['package.json', 'index.js', 'linux_x64/koffi.node']) {
    add(join(native, name), `node_modules/${NATIVE_PACKAGE}/${name}`);
  }
  return files;
}

async function scripts(dir: string): Promise<string[]> {
  const names = await readdir(dir, { recursive: true });
  return names.filter((name) => name.endsWith('.js')).sort();
}

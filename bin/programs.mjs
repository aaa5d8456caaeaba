/**
 * The agent's bundle as a program of `overdub agent snapshot|restore|rollback`, kept below the user's cache directory.
 *
 * Such a command works on a directory of this machine and talks to an appliance elsewhere: it needs none of what the
 * configuration loads (some 400 sources, the HTTP server, the schemas), only which plugins have a half for machines.
 * From the kept bundle it costs a second of CPU and 60 MiB less, each time.
 *
 * The bundle counts as long as every file that had a part in it reads as it did: our own, the configuration and what
 * that loaded, of other packages their package.json, and the kept files themselves. Reading them all takes some 15 ms.
 * A configuration that picks its plugins by anything but its files, such as the environment, is not seen to change.
 * Whatever cannot be kept or trusted is not used: then the command runs from the sources, as every other one does.
 */
import { hash, randomUUID } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const GROUP = 'agent';
const VERSION = 1;
const DAY_MS = 86_400_000;
/** `…/node_modules/name/` or `…/node_modules/@scope/name/`, the innermost. */
const PACKAGE = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+\//;
/** Ours, which may be built and installed again at one version. */
const OURS = /\/node_modules\/@overdub\/(?!.*\/node_modules\/)/;

/** The commands that a bundle runs (`directoryCommands` of the plugin agent). */
const COMMANDS = ['snapshot', 'restore', 'rollback'];

/** What may be kept for this command line; undefined where it names no command that has a program. */
export function programsOf(root, cache, args) {
  if (args[0] !== GROUP || !COMMANDS.includes(args[1])) return undefined;
  if (args.includes('--help') || args.includes('-h')) return undefined;
  // The bundle's native library is built for this one kind of machine.
  if (process.arch !== 'x64' || process.platform !== 'linux') return undefined;
  return new Programs(root, cache, args);
}

class Programs {
  #dir;
  #index;
  #configuration;
  #loaded = new Set();

  constructor(root, cache, args) {
    this.#dir = join(cache, 'programs');
    this.#configuration = configurationFiles(args);
    const key = hash('sha256', JSON.stringify([VERSION, root, this.#configuration]));
    this.#index = join(this.#dir, `${key.slice(0, 32)}.json`);
  }

  /** URL of the module to import, while everything is as it was when it was kept; else undefined. */
  find() {
    try {
      if (!isOurs(this.#dir)) return undefined;
      const { files, digest, entry } = JSON.parse(readFileSync(this.#index, 'utf8'));
      return digestOf(files) === digest ? pathToFileURL(entry).href : undefined;
    } catch {
      // Absent, cut off, of another version, made from files that are gone: there is no program, and one is made.
      return undefined;
    }
  }

  /** Notes which modules are loaded from now on: among them is what the configuration consists of. */
  watch() {
    registerHooks({
      resolve: (specifier, context, next) => {
        const found = next(specifier, context);
        if (found.url.startsWith('file:')) this.#loaded.add(fileURLToPath(found.url));
        return found;
      },
    });
  }

  /** True once the bundle is in place; false where the cache directory does not let itself be written or trusted. */
  async keep(bundle) {
    if (bundle.inputs === undefined) return false;
    try {
      mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
      if (!isOurs(this.#dir)) return false;
      const dir = join(this.#dir, randomUUID());
      const kept = [];
      for (const { path, digest, mode } of bundle.files) {
        const file = join(dir, path);
        mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
        writeFileSync(file, await bundle.read(digest), { mode });
        kept.push(file);
      }
      const inputs = [...bundle.inputs, ...this.#loaded, ...this.#configuration].map(standsFor);
      const files = [...new Set([...inputs, ...kept])].sort();
      const part = `${this.#index}.${process.pid}`;
      writeFileSync(part, JSON.stringify({ files, digest: digestOf(files), entry: join(dir, bundle.entry) }));
      renameSync(part, this.#index);
      this.#removeOthers();
      return true;
    } catch (error) {
      // Read-only, full, somebody else's: the command does its work all the same.
      if (error?.syscall !== undefined) return false;
      throw error;
    }
  }

  /** Bundles that no index names, unless a process may just be starting from one. */
  #removeOthers() {
    const names = readdirSync(this.#dir);
    const indexes = names.filter((name) => name.endsWith('.json'));
    const named = indexes.map((name) => readFileSync(join(this.#dir, name), 'utf8')).join('\n');
    for (const name of names.filter((one) => !indexes.includes(one))) {
      const path = join(this.#dir, name);
      if (named.includes(name) || Date.now() - lstatSync(path).mtimeMs < DAY_MS) continue;
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/** The configuration that `--config` names, else what lies in the working directory: absolute paths. */
function configurationFiles(args) {
  const joined = args.find((arg) => arg.startsWith('--config='))?.slice('--config='.length);
  const given = joined ?? (args.includes('--config') ? args[args.indexOf('--config') + 1] : undefined);
  if (given !== undefined) return [resolve(given)];
  const names = readdirSync(process.cwd()).filter((name) => name.startsWith('overdub.config.'));
  return names.sort().map((name) => resolve(name));
}

/** A program that others could write would run as us. */
function isOurs(dir) {
  const info = lstatSync(dir);
  return info.isDirectory() && info.uid === process.getuid() && (info.mode & 0o022) === 0;
}

/** Files of a foreign package change with its version only. */
function standsFor(path) {
  const [folder] = OURS.test(path) ? [] : (PACKAGE.exec(path) ?? []);
  return folder === undefined ? path : join(folder, 'package.json');
}

/** One digest over all of them, names and lengths included. */
function digestOf(files) {
  const parts = files.map((path) => `${path}\0${hash('sha256', readFileSync(path))}\n`);
  return hash('sha256', parts.join(''));
}

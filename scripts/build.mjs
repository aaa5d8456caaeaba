/**
 * `npm run build`: makes `dist` in every package, plain JavaScript with declarations, as `npm pack` ships it. Development
 * needs none of it: there the sources run as they are.
 *
 * tsc compiles all packages at once, each seeing the others' sources; `npm run typecheck` is what checks types. Every
 * file keeps its place below its package's folder, so that whatever a module looks up beside itself is found there.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** `outDir` of tsconfig.build.json: on one filesystem with the packages. */
const compiled = join(root, '.cache', 'build');
/** Neither compiled nor shipped. */
const NOT_ASSETS = /\.(ts|md)$|^(package\.json|embed-wasm\.mjs|node_modules|dist)$/;

function main() {
  rmSync(compiled, { recursive: true, force: true });
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const options = { cwd: root, stdio: 'inherit' };
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], options);
  if (status !== 0) return status ?? 1;
  const packages = ['core', ...readdirSync(join(root, 'plugins')).map((name) => join('plugins', name))];
  for (const folder of packages) {
    copyAssets(join(root, folder), join(compiled, folder));
    cpSync(join(root, 'LICENSE'), join(compiled, folder, 'LICENSE'));
    put(join(compiled, folder), join(root, folder, 'dist'));
  }
  rmSync(join(compiled, 'core'), { recursive: true, force: true });
  rmSync(join(compiled, 'plugins'), { recursive: true, force: true });
  put(compiled, join(root, 'dist'));
  return 0;
}

/** The finished folder takes the place of an older one. */
function put(from, to) {
  for (const file of filesBelow(from)) finish(file);
  rmSync(to, { recursive: true, force: true });
  renameSync(from, to);
}

/** What tsc leaves: modules named by URL, which are loaded later, and declarations' imports. */
function finish(file) {
  const rule = file.endsWith('.d.ts')
    ? /((?:from|import\() ?(['"])\.{1,2}\/[^'"]*)\.ts(?=\2)/g
    : /(new URL\((['"])\.{1,2}\/[^'"]*)\.ts(?=\2, import\.meta\.url\))/g;
  if (!/\.(d\.ts|js)$/.test(file)) return;
  const text = readFileSync(file, 'utf8');
  const finished = text.replaceAll(rule, '$1.js');
  if (finished !== text) writeFileSync(file, finished);
}

/** Scripts, the loader: what modules read beside themselves. */
function copyAssets(from, to) {
  for (const file of filesBelow(from)) {
    const path = relative(from, file);
    if (path.split('/').some((part) => NOT_ASSETS.test(part))) continue;
    mkdirSync(dirname(join(to, path)), { recursive: true });
    cpSync(file, join(to, path));
  }
}

function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return basename(path) === 'node_modules' ? [] : filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

process.exitCode = main();

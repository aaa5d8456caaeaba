import { expect, test } from 'vitest';
import { readText, trackedFiles } from './repository-files.ts';

const MAX_LINES = 400;
/** Made by programs. */
const GENERATED = new Set(['package-lock.json', 'plugins/diff-xdelta/wasm-bytes.ts']);
const files = trackedFiles().filter((path) => !GENERATED.has(path));
const code = files.filter((path) => /\.(ts|mjs|cjs|js|sh)$/.test(path));

test(`no source file has more than ${MAX_LINES} lines`, () => {
  const long = code.filter((path) => readText(path).split('\n').length - 1 > MAX_LINES);
  expect(long).toEqual([]);
});

test('no file names a directory of one machine or a registry', () => {
  // Put together, so that this file does not find itself.
  const words = [
    ['/wo', 'rk/'],

    ['regis', 'try\\.[a-z]'],
    ['artifac', 'tory'],
    ['verda', 'ccio'],
  ];
  const pattern = new RegExp(words.map((parts) => parts.join('')).join('|'));
  const text = [...files, 'package-lock.json'].filter((path) => !/\.(png|wasm|gz|zst|tar|bin)$/.test(path));
  const found = text.flatMap((path) => {
    const match = pattern.exec(readText(path));
    return match === null ? [] : [`${path}: ${match[0]}`];
  });
  expect(found).toEqual([]);
});

test('the lockfile holds integrity and no download addresses', () => {
  const { packages } = JSON.parse(readText('package-lock.json')) as {
    packages: Record<string, { resolved?: string; integrity?: string; link?: boolean }>;
  };
  const remote = Object.entries(packages).filter(
    ([path, { link }]) => path.startsWith('node_modules/') && !link,
  );
  expect(remote.length).toBeGreaterThan(100);
  expect(remote.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  expect(
    remote.filter(([, { integrity }]) => !/^sha512-/.test(integrity ?? '')).map(([path]) => path),
  ).toEqual([]);
});

test('nothing is left to be done later', () => {
  const marks = new RegExp(['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X:'].join('|'));
  expect(code.filter((path) => marks.test(readText(path)))).toEqual([]);
});

test('TypeScript that Node runs as it is: relative imports end in .ts, nothing is compiled', () => {
  const typescript = code.filter((path) => path.endsWith('.ts'));
  const wrong = typescript.filter((path) =>
    /(from|import)\s*\(?'\.{1,2}\/[^']*(?<!\.ts|\.mjs|\.json)'/.test(readText(path)),
  );
  expect(wrong).toEqual([]);
});

import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { ROOT, runTool } from './repository-files.ts';

const DEPCRUISE = 'dependency-cruiser/bin/dependency-cruiser.mjs';
const CONFIG = ['--config', '.dependency-cruiser.cjs'];

test('imports go one way', () => {
  const folders = ['core', 'plugins', 'bin', 'scripts', 'test', 'examples', 'defaults.ts'];
  const { code, output } = runTool(DEPCRUISE, [...CONFIG, ...folders]);
  expect(code, output).toBe(0);
});

/** What must be refused: a file, and the rule that refuses it. */
const WRONG: readonly (readonly [rule: string, path: string, text: string])[] = [
  ['core-domain', 'core/domain/a.ts', `import '../hooks/h.ts';`],
  ['core-domain', 'core/domain/b.ts', `import 'node:fs';`],
  ['core-contracts', 'core/contracts/a.ts', `import '../operations/o.ts';`],
  ['core-plugin-host', 'core/plugin-host/a.ts', `import '../operations/o.ts';`],
  ['core-repository', 'core/repository/a.ts', `import '../hooks/h.ts';`],
  ['repository-packs', 'core/repository/packs/a.ts', `import '../reading/r.ts';`],
  ['repository-upkeep', 'core/repository/upkeep/a.ts', `import '../open.ts';`],
  ['core-operations', 'core/operations/a.ts', `import '../cli/c.ts';`],
  ['core-root', 'core/scheduler/a.ts', `import '../appliance.ts';`],
  ['core-cli', 'core/cli/a.ts', `import '../operations/o.ts';`],
  ['core-knows-no-plugin', 'core/operations/b.ts', `import '../../plugins/x/index.ts';`],
  ['core-testing-is-for-tests', 'core/operations/c.ts', `import '../testing/t.ts';`],
  ['only-attribution-imports-tapable', 'core/operations/d.ts', `import 'tapable';`],
  ['plugin-sees-public-doors', 'plugins/x/a.ts', `import '../../core/operations/o.ts';`],
  ['plugin-sees-no-plugin', 'plugins/x/b.ts', `import '../y/index.ts';`],
  ['no-cycles', 'plugins/x/c.ts', `import './d.ts'; export const c = 1;`],
  ['resolvable', 'plugins/x/e.ts', `import '@overdub/no-such';`],
  ['nobody-imports-tests', 'plugins/x/f.ts', `import './x.test.ts';`],
];
const BYSTANDERS: readonly (readonly [path: string, text: string])[] = [
  ['core/hooks/h.ts', ''],
  ['core/repository/reading/r.ts', ''],
  ['core/repository/open.ts', ''],
  ['core/operations/o.ts', ''],
  ['core/cli/c.ts', ''],
  ['core/appliance.ts', ''],
  ['core/testing/t.ts', ''],
  ['plugins/x/index.ts', ''],
  ['plugins/y/index.ts', ''],
  ['plugins/x/d.ts', `import './c.ts'; export const d = 1;`],
  ['plugins/x/x.test.ts', ''],
];

test('the rules refuse what they are for', () => {
  const folder = mkdtempSync(join(tmpdir(), 'overdub-layers-'));
  try {
    for (const file of ['.dependency-cruiser.cjs', 'tsconfig.json', 'package.json']) {
      cpSync(join(ROOT, file), join(folder, file));
    }
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    for (const [path, text] of [...BYSTANDERS, ...WRONG.map(([, path, text]) => [path, text] as const)]) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), `${text}\nexport {};\n`);
    }
    const { code, output } = runTool(DEPCRUISE, [...CONFIG, 'core', 'plugins'], folder);
    expect(code).toBeGreaterThan(0);
    const plain = stripVTControlCharacters(output);
    const missed = WRONG.filter(([rule, path]) => !plain.includes(`error ${rule}: ${path}`));
    expect(missed, plain).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('biome finds nothing', () => {
  const { code, output } = runTool('@biomejs/biome/bin/biome', ['check', '--max-diagnostics=50', '.']);
  expect(code, output).toBe(0);
});

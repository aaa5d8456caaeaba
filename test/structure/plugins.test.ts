import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ConfiguredPlugin, SchemaNode } from '@overdub/core';
import { describe, expect, test } from 'vitest';
import { ROOT, readText, trackedFiles } from './repository-files.ts';

const FOLDERS = readdirSync(join(ROOT, 'plugins'));
const PLUGINS = FOLDERS.filter((name) => !name.startsWith('lib-'));
const tracked = trackedFiles();

async function load(name: string): Promise<ConfiguredPlugin> {
  const module = (await import(`../../plugins/${name}/index.ts`)) as { default: () => ConfiguredPlugin };
  return module.default();
}

describe.each(FOLDERS)('plugins/%s', (name) => {
  test('its package has its name, one version with the core, and a README', () => {
    const package_ = JSON.parse(readText(`plugins/${name}/package.json`));
    expect(package_.name).toBe(`@overdub/${name}`);
    expect(package_.version).toBe(JSON.parse(readText('core/package.json')).version);
    expect(readText(`plugins/${name}/README.md`)).toMatch(new RegExp(`^# ${name}\n`));
  });

  test('it is tested', () => {
    const ownTests = tracked.filter(
      (path) => path.startsWith(`plugins/${name}/`) && path.endsWith('.test.ts'),
    );
    expect(ownTests).not.toEqual([]);
  });
});

describe.each(PLUGINS)('the plugin %s', (name) => {
  test('exports a factory whose definition has the folder’s name', async () => {
    const { definition } = await load(name);
    expect(definition.name).toBe(name);
    expect(definition.apiVersion).toMatch(/^\^1\./);
  });

  test('has an options schema, each option with a description', async () => {
    const { definition } = await load(name);
    const { type, properties = {} } = definition.options as SchemaNode;
    expect(type).toBe('object');
    const silent = Object.entries(properties).filter(([, option]) => option.description === undefined);
    expect(silent.map(([option]) => option)).toEqual([]);
  });

  test('its README lists every option, and none that does not exist', async () => {
    const { definition } = await load(name);
    const options = Object.keys((definition.options as SchemaNode).properties ?? {});
    const documented = optionsOf(readText(`plugins/${name}/README.md`));
    expect([...documented].sort()).toEqual(options.sort());
  });

  test('its agent half exists where it says', async () => {
    const { definition } = await load(name);
    const declared = existsSync(join(ROOT, 'plugins', name, 'agent.ts'));
    if (declared) expect(definition.agent?.href, 'agent.ts is not declared').toMatch(/\/agent\.ts$/);
    if (definition.agent !== undefined) expect(existsSync(definition.agent)).toBe(true);
  });
});

/** First-column names of the table whose head begins with `option`; `machines[].name` counts as `machines`. */
function optionsOf(readme: string): ReadonlySet<string> {
  const table = /^\| option \|.*\n\|[-| ]+\|\n((?:\|.*\n)*)/m.exec(readme)?.[1] ?? '';
  const cells = table.split('\n').map((row) => row.split('|')[1] ?? '');
  return new Set(
    cells.flatMap((cell) =>
      [...cell.matchAll(/`([A-Za-z][A-Za-z0-9]*)/g)].map((match) => match[1] as string),
    ),
  );
}

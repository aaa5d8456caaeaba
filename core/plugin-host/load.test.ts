import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findConfig } from './load.ts';

const run = promisify(execFile);
const core = new URL('../index.ts', import.meta.url).href;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-load-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const SITE_PLUGIN = `
import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
const options: object = Type.Object({ greeting: Type.Optional(Type.String()) });
export default definePlugin({ name: 'site', apiVersion: '^1.0.0', options: options as never, apply: () => undefined });
`;

/** Loads with a real Node, as `overdub` does: a test runner's own import() would hide how names resolve. */
async function load(file: string): Promise<{ stdout: string; stderr: string }> {
  const script = `
    import { loadConfig } from ${JSON.stringify(core)};
    try {
      const config = await loadConfig(process.argv[1]);
      console.log(JSON.stringify({ ...config, plugins: config.plugins.map((p) => [p.definition?.name, p.options, p.optional]) }));
    } catch (error) {
      console.log(JSON.stringify(error));
    }`;
  const flags = ['--conditions=overdub-source', '--input-type=module', '--eval', script, file];
  return await run(process.execPath, flags);
}

async function loadText(name: string, text: string) {
  const file = join(folder, name);
  await writeFile(file, text);
  const { stdout, stderr } = await load(file);
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

describe('a module', () => {
  test.each(['ts', 'mjs', 'js'])(
    '.%s far from any package.json finds the installation',
    async (extension) => {
      const config = await loadText(
        `overdub.config.${extension}`,
        `import { defineConfig } from '@overdub/core';
       export default defineConfig({ plugins: [], state: 'state', http: { port: 0 } });`,
      );
      expect(config).toEqual({ plugins: [], state: join(folder, 'state'), http: { port: 0 } });
    },
  );

  test('a site’s own plugin beside it resolves the same way', async () => {
    await writeFile(join(folder, 'site.ts'), SITE_PLUGIN);
    const config = await loadText(
      'overdub.config.ts',
      `import site from './site.ts'; export default { plugins: [site({ greeting: 'hello' })] };`,
    );
    expect(config.plugins).toEqual([['site', { greeting: 'hello' }, false]]);
  });

  test('a package beside it comes before the installation’s', async () => {
    const own = join(folder, 'node_modules', 'typebox');
    await mkdir(own, { recursive: true });
    await writeFile(join(own, 'package.json'), '{"name":"typebox","type":"module","exports":"./index.js"}');
    await writeFile(join(own, 'index.js'), 'export const Type = "the site’s own";');
    const config = await loadText(
      'overdub.config.ts',
      `import { Type } from 'typebox'; export default { plugins: [], repository: Type };`,
    );
    expect(config.repository).toBe('the site’s own');
  });

  test('an import that is nowhere is CONFIG_INVALID and named', async () => {
    const error = await loadText('overdub.config.ts', `import x from '@overdub/boot-pxi'; export default x;`);
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    expect(error.message).toContain('@overdub/boot-pxi');
    expect(error.remedy).toContain('spelling');
  });

  test.each([
    ['a syntax error', 'export default {'],
    ['an enum', 'enum A { B } export default { plugins: [] };'],
    ['a throw', 'throw new Error("boom"); export default {};'],
    ['no default export', 'export const config = { plugins: [] };'],
    ['another default export', 'export default 42;'],
  ])('%s is CONFIG_INVALID and names the file', async (_what, text) => {
    const error = await loadText('overdub.config.ts', text);
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    expect(error.message).toContain(join(folder, 'overdub.config.ts'));
  });
});

describe('keys', () => {
  test.each([
    ['plugin: []', 'overdub.config.ts: the option `plugin` does not exist. Did you mean `plugins`?'],
    [
      'plugins: [], http: { prot: 1 }',
      'overdub.config.ts: the option `http.prot` does not exist. Did you mean `port`?',
    ],
    [
      'plugins: [], http: { port: 70777 }',
      'overdub.config.ts: the option `http.port` is 70777; it must be an integer from 0 to 65535.',
    ],
    ['plugins: 7', 'overdub.config.ts: the option `plugins` is 7; it must be a list of any value.'],
    ['', 'overdub.config.ts: the option `plugins` is missing; it must be a list of any value.'],
  ])('{ %s }', async (keys, message) => {
    const error = await loadText('overdub.config.ts', `export default { ${keys} };`);
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', message });
  });
});

describe('JSON and YAML', () => {
  test('name plugins with options; relative ones are files beside the configuration', async () => {
    await writeFile(join(folder, 'site.ts'), SITE_PLUGIN);
    const plugins = [
      ['site', { greeting: 'hi' }, true],
      ['site', {}, false],
    ];
    const json = {
      plugins: [{ plugin: './site.ts', options: { greeting: 'hi' }, optional: true }, './site.ts'],
    };
    expect((await loadText('a.json', JSON.stringify(json))).plugins).toEqual(plugins);
    const yaml = 'plugins:\n- plugin: ./site.ts\n  options: {greeting: hi}\n  optional: true\n- ./site.ts\n';
    expect((await loadText('a.yaml', yaml)).plugins).toEqual(plugins);
  });

  test('bare names are looked for in the folder first, as @overdub/name and as name', async () => {
    for (const name of ['@overdub/mine', 'yours']) {
      const package_ = join(folder, 'node_modules', name);
      await mkdir(package_, { recursive: true });
      await writeFile(
        join(package_, 'package.json'),
        `{"name":"${name}","type":"module","exports":{"import":"./index.js"}}`,
      );
      await writeFile(
        join(package_, 'index.js'),
        `export default (options, settings) => ({ definition: { name: '${name}' }, options, optional: false });`,
      );
    }
    const config = await loadText('a.yml', 'plugins: [mine, yours]');
    expect(config.plugins).toEqual([
      ['@overdub/mine', {}, false],
      ['yours', {}, false],
    ]);
  });

  test('an unknown plugin is named, with what was looked for', async () => {
    const error = await loadText('a.json', '{"plugins":["boot-pxi"]}');
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    expect(error.message).toBe(
      'The plugin boot-pxi is not installed (looked for @overdub/boot-pxi and boot-pxi).',
    );
  });

  test('a plugin whose own import is missing says which', async () => {
    await writeFile(join(folder, 'site.ts'), `import 'no-such-package'; export default () => undefined;`);
    const error = await loadText('a.json', '{"plugins":["./site.ts"]}');
    expect(error.message).toContain('The plugin ./site.ts cannot be loaded');
    expect(error.message).toContain('no-such-package');
  });

  test('a module that is no plugin is refused', async () => {
    await writeFile(join(folder, 'site.ts'), 'export const nothing = 1;');
    expect((await loadText('a.json', '{"plugins":["./site.ts"]}')).message).toContain(
      'does not export a plugin',
    );
  });

  test.each([
    ['a.json', '{"plugins":[', 'cannot be loaded'],
    ['a.yaml', 'plugins: [', 'cannot be loaded'],
    ['b.json', '{"plugins":[{"plugin":"x","option":{}}]}', 'Did you mean `options`?'],
    ['c.json', '[]', 'it must be an object'],
    ['d.yaml', '', 'it must be an object'],
  ])('%s with %j is CONFIG_INVALID', async (name, text, message) => {
    const error = await loadText(name, text);
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    expect(error.message).toContain(message);
  });
});

describe('finding', () => {
  test('none is undefined, one is found, two are refused', async () => {
    expect(await findConfig(folder)).toBeUndefined();
    await writeFile(join(folder, 'overdub.config.yaml'), 'plugins: []');
    expect(await findConfig(folder)).toBe(join(folder, 'overdub.config.yaml'));
    await writeFile(join(folder, 'overdub.config.ts'), 'export default { plugins: [] }');
    await expect(findConfig(folder)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('a named file that is not there is CONFIG_INVALID', async () => {
    const { stdout } = await load(join(folder, 'absent.ts'));
    expect(JSON.parse(stdout)).toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
